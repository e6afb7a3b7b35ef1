"""A run does exactly what it foresaw: for a window that never moves, once, and with a record."""

import asyncio
import io
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.errors import Conflict, NotFound, StoreUnavailable
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.replay.run import Nobody, Replay, Told, new
from entitlements.replay.sources import FromFile, FromLog, Source
from entitlements.store import audit, keys, replays
from entitlements.store.audit import Deed
from entitlements.store.log import Log
from entitlements.store.replays import LEASE, Asked, Run
from entitlements.store.store import Store
from tests.simulation.life import bodies_of
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.customers import NOW, opened
from tests.support.servers import client

DEED = Deed("ann", "the endpoint was down", NOW)
BOB = Deed("bob", "not now", NOW)
FILE, LOG = Asked(source="file", path="-"), Asked(source="log")
PLAIN = subscription()
PAUSED = PLAIN | pausing("void")
LIFE = [encoded(event(PLAIN)), encoded(update(PLAIN, PAUSED))]


def people(count: int) -> list[bytes]:
    """Return the creation of so many customers."""
    bodies = (subscription(id=f"sub_p{n}", customer=f"cus_p{n}") for n in range(count))
    return [encoded(event(body, id=f"evt_p{n}")) for n, body in enumerate(bodies)]


def lines(bodies: Sequence[bytes]) -> FromFile:
    """Return a file of events, a line each, that can be read again."""
    raw = b"\n".join(bodies)
    return FromFile(io.BytesIO(raw), FILE, size=len(raw))


def replay(store: Store, source: Source, run: Run, told: Told | None = None) -> Replay:
    """Return a run that can be begun."""
    return Replay(Ingest(store, BUILT_IN), source, run, lambda: NOW, told)


async def made(store: Store, source: Source, asked: Asked = FILE, *, dry_run: bool = False) -> Run:
    """Make a run to its end."""
    return await whole(replay(store, source, new(asked, DEED, dry_run=dry_run)))


async def whole(made: Replay) -> Run:
    """Begin a run and make it to its end."""
    await made.begin()
    return await made.go()


class Stopping(Nobody):
    """Does something after so many batches of a phase."""

    def __init__(self, phase: str, batches: int, do: Callable[[], object]) -> None:
        self._left, self._phase, self._do = batches, phase, do

    def progress(self, run: Run) -> None:
        """Count them."""
        self._left -= run.phase == self._phase
        if self._left == 0:
            self._do()


@pytest.mark.asyncio
async def test_a_preview_writes_nothing_but_that_it_was_made(redis_url: str) -> None:
    """Who gains what, of how many events; and the run can be looked at."""
    async with opened(redis_url) as store:
        found = await made(store, lines([*LIFE, b'{"object":"customer"}']), dry_run=True)

        assert (found.status, found.events, found.unreadable) == ("done", 2, 1)
        assert found.outcomes == {"applied": 2}
        assert (found.customers, found.concerned["gains"]) == (1, 1)
        assert await store.customer(Subject("cus_1")) == await store.customer(Subject("nobody"))
        assert await replays.one(store, found.id, NOW) == found
        (told,) = await replays.differences(store, found.id, 0, 10)
        assert (told.kind, told.customer, told.feature) == ("gains", "cus_1", "pro")
        assert await audit.latest(store, 10) == []


@pytest.mark.asyncio
async def test_what_is_applied_is_reported_as_it_was_foreseen(redis_url: str) -> None:
    """The same table; and recorded with who and why."""
    async with opened(redis_url) as store:
        await Ingest(store, BUILT_IN).deliver(LIFE[0], NOW)
        foreseen = await made(store, lines(LIFE), dry_run=True)
        done = await made(store, lines(LIFE))

        assert done.outcomes == foreseen.outcomes == {"duplicate": 1, "applied": 1}
        assert (done.concerned, done.answers) == (foreseen.concerned, foreseen.answers)
        assert await replays.differences(store, done.id, 0, 10) == await replays.differences(
            store, foreseen.id, 0, 10
        )
        (record,) = await audit.latest(store, 10)
        assert (record.by, record.action, record.about) == ("ann", "replay.apply", done.id)
        again = await made(store, lines(LIFE))
        assert (again.outcomes, again.customers) == ({"duplicate": 2}, 0)


@pytest.mark.asyncio
async def test_the_log_heals_a_record_that_was_lost(redis_url: str) -> None:
    """Only what was lost goes in again; what is in the log is not written there twice."""
    async with opened(redis_url) as store:
        ingest = Ingest(store, BUILT_IN)
        other = encoded(event({"id": "in_1"}, "invoice.paid", id="evt_other"))
        odd = encoded(event(PLAIN | {"items": None}, id="evt_odd"))
        for body in [*LIFE, *people(3), other, odd]:
            await ingest.deliver(body, NOW)
        held = await store.wholes([Subject("cus_1"), Subject("cus_p2")])
        p = store.partition("cus_1")
        for name in (
            keys.customer(p, Subject("cus_1")),
            keys.subscription(p, Subject("cus_1"), "sub_1"),
        ):
            await store.redis.delete(name)

        found = await made(store, FromLog(store, LOG), LOG)

        assert found.outcomes == {"duplicate": 5, "applied": 2}
        assert found.concerned["gains"] == 1
        assert [w.record.decisions for w in await store.wholes([w.subject for w in held])] == [
            w.record.decisions for w in held
        ]


@pytest.mark.asyncio
async def test_what_comes_after_the_beginning_is_not_part_of_it(store_url: str) -> None:
    """The window of a preview holds for what is applied by it."""
    async with opened(store_url) as store:
        ingest = Ingest(store, BUILT_IN)
        await ingest.deliver(people(1)[0], NOW)
        foreseen = await made(store, FromLog(store, LOG), LOG, dry_run=True)
        for body in LIFE:
            await ingest.deliver(body, NOW)

        run = new(LOG, DEED, dry_run=False, resumes=foreseen)
        done = await whole(replay(store, FromLog(store, LOG), run))

        assert (foreseen.events, done.events) == (1, 1)
        assert (done.upto, done.resumes) == (foreseen.upto, foreseen.id)


@pytest.mark.asyncio
async def test_one_at_a_time_is_applied(store_url: str) -> None:
    """The other one is named; a preview disturbs nobody."""
    async with opened(store_url) as store:
        first = new(FILE, DEED, dry_run=False)
        await replays.begin(store, first)
        with pytest.raises(Conflict, match=first.id):
            await made(store, lines(LIFE))
        assert (await made(store, lines(LIFE), dry_run=True)).status == "done"
        await replays.end(store, first)
        assert (await made(store, lines(LIFE))).status == "done"


@pytest.mark.asyncio
async def test_one_that_was_stopped_goes_on_where_it_was(store_url: str) -> None:
    """After the batch at hand; the rest is done by the run that takes it up."""
    bodies = people(1_200)
    async with opened(store_url) as store:

        def stop() -> None:
            first.stop()

        run = new(FILE, DEED, dry_run=False)
        first = replay(store, lines(bodies), run, Stopping("applying", 1, stop))
        stopped = await whole(first)
        assert (stopped.status, stopped.events, stopped.cursor) == ("stopped", 500, "500")
        assert stopped.concerned["gains"] == 500

        rest = new(FILE, DEED, dry_run=False, resumes=stopped)
        done = await whole(replay(store, lines(bodies), rest))
        assert (done.status, done.outcomes) == ("done", {"applied": 700})
        again = new(FILE, DEED, dry_run=False, resumes=stopped)
        with pytest.raises(Conflict, match="not what it was"):
            await whole(replay(store, lines(bodies[1:]), again))


@pytest.mark.asyncio
async def test_one_that_was_stopped_before_it_wrote_begins_anew(store_url: str) -> None:
    """What was only foreseen is not done yet."""
    bodies = people(600)
    async with opened(store_url) as store:

        def stop() -> None:
            first.stop()

        run = new(FILE, DEED, dry_run=False)
        first = replay(store, lines(bodies), run, Stopping("previewing", 1, stop))
        stopped = await whole(first)
        assert (stopped.status, stopped.phase, stopped.cursor) == ("stopped", "previewing", "500")

        again = new(FILE, DEED, dry_run=False, resumes=stopped)
        assert (await whole(replay(store, lines(bodies), again))).outcomes == {"applied": 600}


@pytest.mark.asyncio
async def test_anybody_can_cancel_it(store_url: str) -> None:
    """Whoever runs it hears of it, and stops."""
    async with opened(store_url) as store:
        run = new(FILE, DEED, dry_run=False)
        await replays.begin(store, run)
        await replays.cancel(store, run, BOB)
        assert await replays.tell(store, run) == ("cancelled", "cancelled by bob")
        (record,) = await audit.latest(store, 10)
        assert (record.by, record.action, record.reason) == ("bob", "replay.cancel", "not now")
        await replays.end(store, run)
        run.status = "done"
        with pytest.raises(Conflict, match="does not run"):
            await replays.cancel(store, run, BOB)


@pytest.mark.asyncio
async def test_one_that_died_is_interrupted_and_lets_the_next_one_begin(store_url: str) -> None:
    """Its lease runs out; should it wake up, it hears that it is to stop."""
    async with opened(store_url) as store:
        dead = new(FILE, DEED, dry_run=False)
        await replays.begin(store, dead)
        assert (await replays.one(store, dead.id, NOW + LEASE)).status == "running"
        assert (await replays.one(store, dead.id, NOW + LEASE + 1)).status == "interrupted"
        await store.redis.delete(keys.replays("lease"))  # as time does
        live = new(FILE, DEED, dry_run=False)
        await replays.begin(store, live)

        ending = await replays.tell(store, dead)

        assert ending
        assert ending.status == "stopped"
        assert [run.id for run in await replays.latest(store, NOW)] == sorted(
            [dead.id, live.id], reverse=True
        )
        with pytest.raises(NotFound):
            await replays.one(store, "rp_nobody", NOW)


@pytest.mark.asyncio
async def test_of_one_second_that_which_resumes_another_is_the_latest(store_url: str) -> None:
    """Whatever their names are, of which a part is by chance."""
    async with opened(store_url) as store:
        shown = [new(FILE, DEED, dry_run=True) for _ in range(8)]
        done = [new(FILE, DEED, dry_run=True, resumes=run) for run in shown]
        for run in (*done, *shown):
            await replays.begin(store, run)

        found = [run.id for run in await replays.latest(store, NOW)]

        assert set(found[:8]) == {run.id for run in done}
        assert set(found[8:]) == {run.id for run in shown}


@pytest.mark.asyncio
async def test_what_fails_is_told_and_lets_the_next_one_begin(store_url: str) -> None:
    """With the reason, and where it was."""
    async with opened(store_url) as store:
        run = new(FILE, DEED, dry_run=False)

        def break_it() -> None:
            with client(store_url) as plain:
                plain.config_set("maxmemory", 1)

        try:
            with pytest.raises(StoreUnavailable):
                await whole(replay(store, lines(LIFE), run, Stopping("previewing", 1, break_it)))
        finally:
            with client(store_url) as plain:
                plain.config_set("maxmemory", 0)
        assert run.status == "failed"
        assert "OutOfMemory" in str(run.why)


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_every_run_does_what_it_foresaw(store_url: str, data: st.DataObject) -> None:
    """Of any lives, any part of which is held: outcomes, differences, doubts. A second one does nothing."""

    def choose(options: int) -> int:
        return data.draw(st.integers(0, options - 1))

    people = ("cus_1", "sub_a"), ("cus_1", "sub_b"), ("cus_2", "sub_c")
    bodies = bodies_of(people, choose)
    arrivals = data.draw(st.permutations(bodies))
    held = choose(len(arrivals))
    Random(held).shuffle(bodies)  # noqa: S311  a test's own

    async def tried() -> None:
        with client(store_url) as plain:
            plain.flushall()
        async with opened(store_url, replace(BUILT_IN, log_retention=10**9)) as store:
            ingest = Ingest(store, await store.policy_in_force())
            for body in arrivals[:held]:
                await ingest.deliver(body, NOW)
            foreseen = await made(store, lines(bodies), dry_run=True)
            done = await made(store, lines(bodies))
            assert (done.outcomes, done.answers, done.ambiguous) == (
                foreseen.outcomes,
                foreseen.answers,
                foreseen.ambiguous,
            )
            for source, asked in ((lines(bodies), FILE), (FromLog(store, LOG), LOG)):
                again = await made(store, source, asked)
                assert set(again.outcomes) == {"duplicate"}
                assert again.customers == 0
            entries = [e.event async for b in Log(store).read() for e in b.entries]
            assert len(entries) == len(set(entries))

    asyncio.run(tried())
