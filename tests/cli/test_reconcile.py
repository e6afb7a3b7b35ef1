"""`entitlements reconcile` as its users run it: a process, a store, and a sandbox that is Stripe."""

import asyncio
import csv
import io
import json
import signal
import subprocess
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from entitlements.drift import COLUMNS
from entitlements.policy_file import parse
from entitlements.reconcile import Scope
from entitlements.sandbox import subscription as life
from entitlements.sandbox.api import create_api
from entitlements.store import audit
from tests.support.command import environment, refusal, run, running
from tests.support.listening import listening
from tests.support.reconciled import World, subject, worlds
from tests.support.servers import until

Finished = subprocess.CompletedProcess[str]
HEAL = ("--apply", "--reason", "the endpoint was down", "--actor", "ann")


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a sandbox and a store."""
    async with worlds(store_url) as found:
        yield found


async def command(world: World, *arguments: str, **env: str) -> Finished:
    """Run the command."""
    return await asyncio.to_thread(run, "reconcile", *arguments, **(world.env | env))


@pytest.mark.asyncio
async def test_it_previews_and_heals_on_confirmation(world: World) -> None:
    """The same is shown before and after; the second time there is nothing to do."""
    first = await world.subscribe(1)
    await world.happens(life.pause_collection(first, "void", 1_900_000_000), lost=True)
    await world.happens(life.cancel(await world.subscribe(2), 1), lost=True)
    await world.subscribe(3, lost=True)
    world.clock.now += 60
    preview = await command(world)
    before = await world.store.customer(subject(3))
    healed = await command(world, *HEAL)
    again = await command(world, *HEAL)

    assert (preview.returncode, healed.returncode, again.returncode) == (1, 0, 0), healed.stderr
    assert before.version == 0
    assert preview.stdout == healed.stdout
    rows = [line.split() for line in preview.stdout.splitlines()]
    assert rows == [
        ["subscription", "differs", "here", "at", "Stripe"],
        ["cus_3", "sub_3", "missing", "here", "active"],
        ["cus_2", "sub_2", "stale", "here", "active", "canceled"],
        ["cus_1", "sub_1", "stale", "here", "active", "active", "void", "to", "2030-03-17"],
        ["differs", "subscriptions"],
        ["missing", "here", "1"],
        ["stale", "here", "2"],
        ["gone", "there", "0"],
        ["different", "policy", "0"],
        ["gains", "loses", "flips", "past"],
        ["customers", "1", "1", "1", "0"],
        ["pro", "1", "1", "1", "0"],
    ]
    assert "Nothing is written. Heal it with --apply" in preview.stderr
    assert "3 looked at, 0 in step, 0 newer here, 0 not understood, 3 healed." in healed.stderr
    assert "3 looked at, 3 in step" in again.stderr
    records = await audit.latest(world.store, 10)
    assert {(r.by, r.reason, r.action) for r in records} == {
        ("ann", "the endpoint was down", "reconcile.apply")
    }


@pytest.mark.asyncio
async def test_it_says_what_differs_where_both_sides_look_alike(world: World) -> None:
    """Why a subscription is paused, which an old endpoint is not told, and what else there is than a status."""
    old, later = "2026-08-26.dahlia", 1_900_000_000
    await world.happens(life.pause(await world.subscribe(1), 1_800_000_000), version=old)
    await world.happens(life.update(await world.subscribe(2), {"cancel_at": later}), lost=True)
    world.clock.now += 60
    preview = await command(world)

    lines = [" ".join(line.split()) for line in preview.stdout.splitlines()]
    assert lines[1:3] == [
        "cus_2 sub_2 stale here active cancel_at 2030-03-17T17:46:40Z",
        "cus_1 sub_1 stale here paused, and why was not said paused because pause_requested",
    ]


@pytest.mark.asyncio
async def test_machines_get_csv_or_json(world: World) -> None:
    """CSV names what differs; JSON who gains and loses as well, and the sums."""
    await world.subscribe(1, lost=True)
    await world.subscribe(2)
    rows, lines = await command(world, "--csv"), await command(world, "--json")

    (row,) = csv.DictReader(io.StringIO(rows.stdout))
    assert (tuple(row), row["subscription"], row["cause"]) == (COLUMNS, "sub_1", "missing_here")
    drift, difference, sums = map(json.loads, lines.stdout.splitlines())
    assert (drift["object"], drift["status_there"]) == ("drift", "active")
    assert (difference["customer"], difference["kind"]) == ("cus_1", "gains")
    assert (sums["object"], sums["looked"], sums["drift"]["missing_here"]) == (
        "reconciliation",
        2,
        1,
    )
    assert (rows.returncode, lines.returncode) == (1, 1)


@pytest.mark.asyncio
async def test_it_walks_one_customer_or_a_connected_account(world: World) -> None:
    """And fills a store that has nothing, whatever the walk."""
    await world.subscribe(1, lost=True)
    await world.subscribe(2, lost=True)
    await world.subscribe(1, lost=True, account="acct_1")
    await world.store.redis.flushall()
    one = await command(world, "--customer", "cus_1", *HEAL)
    connected = await command(world, "--account", "acct_1", *HEAL)

    assert (one.returncode, connected.returncode) == (0, 0), one.stderr + connected.stderr
    versions = [
        await world.store.customer(subject(n, a)) for n, a in ((1, None), (2, None), (1, "acct_1"))
    ]
    assert [record.version for record in versions] == [1, 0, 1]


@pytest.mark.asyncio
async def test_ctrl_c_stops_behind_a_page_and_says_how_to_go_on(
    world: World, tmp_path: Path
) -> None:
    """While Stripe limits the rate, too; the rest is not taken for gone."""
    for n in range(1, 231):
        await world.subscribe(n, lost=True)
    await world.subscribe(500)
    del world.sandbox.account.held["subscription"]["sub_500"]
    world.sandbox.refuse = 1

    def interrupted() -> tuple[int, str]:
        env = environment(**world.env)
        with running("reconcile", *HEAL, home=tmp_path, env=env) as process:
            until(lambda: world.sandbox.refuse == 0, 30)
            return process.stop(signal.SIGINT), process.err

    code, said = await asyncio.to_thread(interrupted)
    assert code == 1, said
    assert "Stopping behind the page at hand." in said
    assert "Go on with: entitlements reconcile --resume sub_131" in said
    assert "100 looked at, 0 in step" in said

    rest = await command(world, "--resume", "sub_131", *HEAL)
    assert rest.returncode == 1, rest.stderr
    assert "130 looked at, 0 in step, 0 newer here, 0 not understood, 130 healed." in rest.stderr
    assert "What is gone there is not known: only a whole run" in rest.stderr
    whole = await command(world, "--csv")
    assert whole.returncode == 1
    (row,) = csv.DictReader(io.StringIO(whole.stdout))
    assert (row["subscription"], row["cause"]) == ("sub_500", "gone_there")
    assert "230 looked at, 230 in step" in whole.stderr
    assert "left as it is held" in whole.stderr


class OnePage:
    """A Stripe that lists one page of subscriptions, and then refuses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass on, but for what is asked behind a subscription."""
        answer = JSONResponse({"error": {"message": "Not today."}}, 403)
        behind = b"starting_after" in scope.get("query_string", b"")
        await (answer if behind else self._app)(scope, receive, send)


@pytest.mark.asyncio
async def test_a_walk_that_ends_early_proves_nothing(world: World) -> None:
    """What was seen is told, and where to go on; exit code 1."""
    for n in range(1, 231):
        await world.subscribe(n, lost=n == 230)
    api = create_api(world.sandbox)
    api.add_middleware(OnePage)
    async with listening(api) as base:
        found = await command(world, "--csv", "--expect", "231", ENTITLEMENTS_STRIPE_API_BASE=base)

    assert found.returncode == 1, found.stderr
    (row,) = csv.DictReader(io.StringIO(found.stdout))
    assert (row["subscription"], row["cause"]) == ("sub_230", "missing_here")
    assert "The walk ended early: Stripe says: Not today." in found.stderr
    assert "100 looked at, 99 in step" in found.stderr
    assert "nothing is known of the rest. Go on with: entitlements reconcile --resume sub_131" in (
        found.stderr
    )


@pytest.mark.asyncio
async def test_another_policy_is_healed_as_well(world: World) -> None:
    """Who loses by it is shown."""
    await world.happens(life.pause_collection(await world.subscribe(1), "keep_as_draft"))
    await world.store.enforce(parse('pause_collection.keep_as_draft = "revoke"'))
    world.clock.now += 60
    preview, healed = await command(world), await command(world, *HEAL)

    assert (preview.returncode, healed.returncode) == (1, 0), healed.stderr
    assert preview.stdout == healed.stdout
    assert ["different", "policy", "1"] in [line.split() for line in healed.stdout.splitlines()]
    assert ["customers", "0", "1", "0", "0"] in [
        line.split() for line in healed.stdout.splitlines()
    ]


@pytest.mark.asyncio
async def test_what_cannot_be_run_is_a_sentence(world: World) -> None:
    """Without a key or a reason, with the key of the other mode or of nobody, and behind what is not there."""
    await world.subscribe(1)
    assert "--reason" in refusal(await command(world, "--apply"))
    assert "STRIPE_API_KEY" in refusal(
        await asyncio.to_thread(run, "reconcile", ENTITLEMENTS_REDIS_URL=world.url)
    )
    live = await command(world, ENTITLEMENTS_LIVEMODE="true")
    assert live.returncode == 2
    assert "key" in live.stderr
    wrong = await command(world, ENTITLEMENTS_STRIPE_API_KEY="pk_test_wrong")
    assert (wrong.returncode, "Stripe says" in wrong.stderr) == (2, True)
    behind = await command(world, "--resume", "sub_9")
    assert (behind.returncode, "Stripe says" in behind.stderr) == (2, True)
    assert str(Scope()) == "every subscription"


@pytest.mark.asyncio
async def test_a_worker_reconciles_by_a_schedule(world: World, tmp_path: Path) -> None:
    """If it is told to, and has a key for it."""
    await world.subscribe(1, lost=True)
    every = {"ENTITLEMENTS_RECONCILE_EVERY": "1d"}

    def healed() -> Mapping[str, object]:
        env = environment(**world.env, **every)
        with running("worker", home=tmp_path, env=env) as process:
            process.until('"reconciled"')
            return process.lines("reconciled")[0]

    line = await asyncio.to_thread(healed)
    assert (line["looked"], line["healed"], line["missing_here"]) == (1, 1, 1)
    assert (await world.store.customer(subject(1))).version == 1
    without = await asyncio.to_thread(run, "worker", ENTITLEMENTS_REDIS_URL=world.url, **every)
    assert "ENTITLEMENTS_STRIPE_API_KEY" in without.stderr.splitlines()[-1]
    assert without.returncode == 2
