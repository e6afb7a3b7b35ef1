"""`entitlements paused` as its users run it: a process, a store, and a sandbox that is Stripe."""

import asyncio
import csv
import io
import json
import subprocess
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from entitlements.cli.dev import KEY
from entitlements.ingest import Ingest
from entitlements.paused_there import DIFFERING
from entitlements.pauses import COLUMNS
from entitlements.policy import BUILT_IN
from entitlements.sandbox.hosting import running
from entitlements.sandbox.shapes import Body
from entitlements.sandbox.world import Sandbox
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.command import refusal, run
from tests.support.customers import opened

DAY = 86_400
NOW = int(time.time())
Finished = subprocess.CompletedProcess[str]


class World:
    """A store, and a sandbox that is Stripe: what one is told need not be what the other holds."""

    def __init__(self, sandbox: Sandbox, api: str, store: Store, url: str) -> None:
        self._sandbox = sandbox
        self._env = {"ENTITLEMENTS_REDIS_URL": url, "ENTITLEMENTS_STRIPE_API_KEY": KEY}
        self._env["ENTITLEMENTS_STRIPE_API_BASE"] = api
        self._ingest = Ingest(store, BUILT_IN)

    async def here(self, n: int, pause: Body, at: int = NOW - 10, **more: Any) -> None:  # noqa: ANN401  any field of an event
        """Let the store know of a pause."""
        plain = _subscription(n)
        created = event(plain, id=f"evt_{n}_a", created=at - 5, **more)
        paused = update(plain, plain | pause, id=f"evt_{n}_b", created=at, **more)
        for body in (created, paused):
            receipt = await self._ingest.deliver(encoded(body), NOW)
            assert receipt.outcome in {"applied", "unchanged"}

    def there(self, n: int, pause: Body) -> None:
        """Let Stripe hold a subscription."""
        body = _subscription(n) | pause
        self._sandbox.account.held["subscription"][body["id"]] = body

    async def run(self, *arguments: str, **env: str) -> Finished:
        """Run the command."""
        return await asyncio.to_thread(run, "paused", *arguments, **(self._env | env))


def _subscription(n: int) -> Body:
    made = subscription(id=f"sub_{n}", customer=f"cus_{n}", created=NOW - n)
    made["items"]["data"][0]["current_period_end"] = NOW - 3 * DAY
    return made


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give both, empty."""
    sandbox = Sandbox(seed=1)
    async with running(sandbox) as api, opened(store_url) as store:
        yield World(sandbox, api, store, store_url)


@pytest.mark.asyncio
async def test_it_is_a_table_json_or_csv(world: World) -> None:
    """The newest pause first; what a table leaves out is said."""
    await world.here(1, pausing("mark_uncollectible"), NOW - 5 * DAY)
    await world.here(2, pausing("void", NOW + DAY), account="acct_1")
    table, lines = await world.run(), await world.run("--json")
    rows, few = await world.run("--csv"), await world.run("--limit", "1")
    days = [
        time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (NOW - 10, NOW + DAY, NOW - 5 * DAY)
    ]
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["subscription", "collection", "since,", "until", "access", "days", "given"],
        ["acct_1/cus_2", "sub_2", "void", *days[:2], "denied", "0"],
        ["cus_1", "sub_1", "mark_uncollectible", days[2], "open", "granted", "3"],
    ]
    assert table.stderr == "2 shown, of 2 looked at.\n"
    found = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [one["subscription"] for one in found] == ["sub_2", "sub_1"]
    assert found[1]["features"][0]["object"] == "entitlement"
    read = list(csv.DictReader(io.StringIO(rows.stdout)))
    assert tuple(read[0]) == COLUMNS
    assert [(row["account"], row["days_given_away"]) for row in read] == [
        ("acct_1", "0"),
        ("", "3"),
    ]
    assert [line.split()[1] for line in few.stdout.splitlines()] == ["collection", "sub_2"]


@pytest.mark.asyncio
async def test_filters_are_those_of_the_call(world: World) -> None:
    """And a wrong one is a sentence."""
    await world.here(1, pausing("mark_uncollectible"))
    await world.here(2, pausing("void", NOW + 3 * DAY))
    await world.here(3, pausing("void"), account="acct_1")

    async def found(*arguments: str) -> set[str]:
        out = (await world.run("--csv", *arguments)).stdout
        return {row["subscription"] for row in csv.DictReader(io.StringIO(out))}

    assert await found("--behavior", "void") == {"sub_2", "sub_3"}
    assert await found("--access", "granted") == {"sub_1"}
    assert await found("--product", "lite") == set()
    assert await found("--resumes-within", "7d") == {"sub_2"}
    assert await found("--account", "acct_1") == {"sub_3"}
    assert "--resumes-within" in refusal(await world.run("--resumes-within", "soon"))
    assert (await world.run("--behavior", "vanish")).returncode == 2


@pytest.mark.asyncio
async def test_stripe_can_be_asked_instead(world: World) -> None:
    """In every page of its list; since when is not known there, and neither is access."""
    for n in range(1, 251):
        world.there(n, pausing("void", NOW + DAY) if n % 100 == 0 else {})
    world.there(251, pausing("void", NOW - DAY))  # over by the clock
    world.there(252, pausing("void") | {"status": "canceled"})
    stripe = ("--source", "stripe")
    table = await world.run(*stripe)
    rows = await world.run(*stripe, "--csv", "--resumes-within", "2d", "--product", "pro")
    none = await world.run(*stripe, "--json", "--behavior", "keep_as_draft")
    assert [line.split()[:3] for line in table.stdout.splitlines()[1:]] == [
        ["cus_200", "sub_200", "void"],
        ["cus_100", "sub_100", "void"],
    ]
    assert table.stderr == "2 shown, of 252 looked at.\n"
    assert [row["subscription"] for row in csv.DictReader(io.StringIO(rows.stdout))] == [
        "sub_200",
        "sub_100",
    ]
    assert (none.returncode, none.stdout) == (0, "")


@pytest.mark.asyncio
async def test_what_stripe_cannot_be_asked_is_a_sentence(world: World) -> None:
    """It knows nothing of access, and nobody without a key."""
    assert "leave out --access" in refusal(
        await world.run("--source", "stripe", "--access", "granted")
    )
    assert "ENTITLEMENTS_STRIPE_API_KEY" in refusal(
        await world.run("--source", "stripe", ENTITLEMENTS_STRIPE_API_KEY="")
    )


@pytest.mark.asyncio
async def test_the_two_are_compared(world: World) -> None:
    """What is only here, what is only there, and what is paused in another way; exit code 1 says that there is any."""
    for n in range(1, 130):  # two pages
        world.there(n, {})
    for n, here, there in (
        (1, pausing("void"), pausing("void")),
        (2, pausing("void"), pausing("keep_as_draft")),
        (3, pausing("void", NOW + DAY), pausing("void", NOW + 2 * DAY)),
        (4, pausing("void"), {"pause_collection": None}),
        (
            5,
            pausing("void", NOW - DAY),
            {"pause_collection": None},
        ),  # over by the clock: neither is
    ):
        await world.here(n, here)
        world.there(n, there)
    world.there(6, pausing("void"))
    await world.here(999, pausing("void"))  # Stripe knows nothing of it
    await world.here(998, pausing("void"), account="acct_1")  # nor is it of this account
    table, rows = await world.run("--compare"), await world.run("--compare", "--csv")

    assert (table.returncode, rows.returncode) == (1, 1)
    read = {row["subscription"]: row for row in csv.DictReader(io.StringIO(rows.stdout))}
    assert tuple(read["sub_2"]) == DIFFERING
    assert {name: row["kind"] for name, row in read.items()} == {
        "sub_2": "differs",
        "sub_3": "differs",
        "sub_4": "only_here",
        "sub_6": "only_there",
        "sub_999": "only_here",
    }
    assert (read["sub_2"]["behavior_here"], read["sub_2"]["behavior_there"]) == (
        "void",
        "keep_as_draft",
    )
    assert "only here" in table.stdout
    assert "leave out the filters" in refusal(await world.run("--compare", "--behavior", "void"))


@pytest.mark.asyncio
async def test_what_is_newer_here_than_the_read_is_no_difference(world: World) -> None:
    """Whatever Stripe said before that says nothing about it."""
    world.there(1, {"pause_collection": None})
    await world.here(1, pausing("void"), NOW + 3_600)
    await world.here(2, pausing("void"), NOW + 3_600)
    found = await world.run("--compare", "--json")

    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.asyncio
async def test_a_walk_of_stripe_that_ends_early_says_so(world: World) -> None:
    """What it has not seen is no difference."""
    await world.here(1, pausing("void"))
    found = await world.run("--compare", "--csv", ENTITLEMENTS_STRIPE_API_KEY="pk_test_wrong")

    assert found.returncode == 2
    assert found.stdout.splitlines() == [",".join(DIFFERING)]
    assert "Stripe says" in found.stderr
