"""`entitlements check` as its users run it: a process and a store, and the same answer as over HTTP."""

import asyncio
import json
import os
import pty
import subprocess
import time
from collections.abc import Sequence

import pytest

from entitlements.cli.times import rfc3339
from entitlements.ingest import Ingest
from entitlements.policy import BUILT_IN
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.command import COMMAND, PATIENCE, environment, refusal, run
from tests.support.customers import opened
from tests.support.histories import MONTH, START
from tests.support.service import Clock, serving

PLAIN = subscription()
PAUSED = PLAIN | pausing("void")
THEN = rfc3339(START + MONTH)


@pytest.fixture
def url(store_url: str) -> str:
    """Return a store with a paused customer, and one of a connected account."""

    async def filled() -> None:
        async with opened(store_url) as store:
            ingest = Ingest(store, BUILT_IN)
            for n, body in enumerate((event(PLAIN), update(PLAIN, PAUSED)), 1):
                await ingest.deliver(encoded(body), START + n)
            other = event(PLAIN | {"id": "sub_2"}, id="evt_3", account="acct_1")
            await ingest.deliver(encoded(other), START + 3)

    asyncio.run(filled())
    return store_url


def check(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command against a store."""
    return run("check", *arguments, ENTITLEMENTS_REDIS_URL=url)


def lines(finished: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """Return what was printed, by the name at the beginning of each line."""
    return {line[:14].strip(): line[14:] for line in finished.stdout.splitlines()}


def over_http(url: str, query: Sequence[tuple[str, int]], account: str | None) -> object:
    """Return what the service answers to the same question at present."""

    async def asked() -> object:
        async with serving(url, clock=Clock(time.time())) as service:
            headers = {"Stripe_Account": account} if account else {}
            said = "&".join(f"{name}={value}" for name, value in query)
            path = f"/v1/customers/cus_1/entitlements/pro?{said}"
            return (await service.ask(path, **headers)).json()

    return asyncio.run(asked())


def test_what_is_granted_is_told_for_people(url: str) -> None:
    """Why, by which rule and subscription, until when and what comes then; no colour in a pipe."""
    done = check(url, "cus_1", "pro", "--at", str(START + 10))

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    said = lines(done)
    assert said.pop("reason").startswith("paused_void: collection is paused")
    assert said == {
        "granted": "pro to cus_1",
        "rule": "pause_collection.void",
        "subscription": "sub_1",
        "quantity": "1",
        "as of": rfc3339(START + 10),
        "until": f"{THEN}, then denied (paused_void)",
        "policy": BUILT_IN.digest,
    }


def test_what_is_denied_is_exit_code_1(url: str) -> None:
    """At the very second that `until` named, and for what is not known; what is null is left out."""
    done = check(url, "cus_1", "pro", "--at", THEN)
    assert (done.returncode, lines(done)["denied"]) == (1, "pro to cus_1")

    unknown = check(url, "cus_9", "pro")
    assert (unknown.returncode, unknown.stderr) == (1, "")
    assert lines(unknown)["reason"] == "unknown_customer: nothing was ever heard of this customer"
    assert not {"rule", "subscription", "until"} & lines(unknown).keys()


@pytest.mark.parametrize("account", [None, "acct_1"])
@pytest.mark.parametrize(
    "query",
    [
        [],
        [("at", START)],
        [("at", START + 10)],
        [("known_at", START + 1)],
        [("at", START + 10), ("known_at", START + 1)],
    ],
    ids=str,
)
def test_json_is_what_the_service_answers(
    url: str, query: list[tuple[str, int]], account: str | None
) -> None:
    """To the letter, at any instant, by what was known at any instant, of any account."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in query]
    options += ["--account", account] if account else []
    done = check(url, "cus_1", "pro", "--json", *options)

    found = json.loads(done.stdout)
    assert found == over_http(url, query, account)
    assert done.returncode == (0 if found["granted"] else 1)


def test_a_doubt_is_told(url: str) -> None:
    """Flags come with what they mean."""

    async def filled() -> None:
        async with opened(url) as store:
            items = PLAIN["items"] | {"has_more": True}
            more = PAUSED | {"id": "sub_3", "customer": "cus_3", "items": items}
            body = event(more, id="evt_4")
            await Ingest(store, BUILT_IN).deliver(encoded(body), START + 4)

    asyncio.run(filled())
    said = lines(check(url, "cus_3", "other", "--at", str(START + 10)))
    assert said["flag"].startswith("has_more_items: the subscription has more items")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("cus 1", "pro"), "CUSTOMER is no id."),
        (("cus_1", ""), "FEATURE is no id."),
        (("cus_1", "pro", "--account", "a b"), "--account is no id."),
        (("cus_1", "pro", "--at", "soon"), "'soon' is not a time."),
        (("cus_1", "pro", "--known-at", "1e3"), "'1e3' is not a time."),
    ],
)
def test_what_cannot_be_asked_is_exit_code_2(
    url: str, arguments: tuple[str, ...], sentence: str
) -> None:
    """With one sentence that says what to give instead."""
    assert refusal(check(url, *arguments)).startswith(sentence)


def test_a_store_that_nobody_has_used_is_no_answer(store_url: str) -> None:
    """It is not the one that was meant: nothing is denied on its word, and nothing is written."""
    assert "names no policy" in refusal(check(store_url, "cus_1", "pro"))


@pytest.mark.parametrize("settings", [{}, {"NO_COLOR": "1"}])
def test_colour_is_for_terminals(url: str, settings: dict[str, str]) -> None:
    """And for those who have not said otherwise."""
    mine, its = pty.openpty()
    env = environment(ENTITLEMENTS_REDIS_URL=url, TERM="xterm", **settings)
    with os.fdopen(mine, "rb", buffering=0) as terminal:
        arguments = ("check", "cus_1", "pro", "--at", str(START + 10))
        subprocess.run([*COMMAND, *arguments], env=env, stdout=its, timeout=PATIENCE, check=True)
        said = terminal.read(65_536)
        os.close(its)
    assert (b"\x1b[" in said) == (not settings)
    assert b"granted" in said
