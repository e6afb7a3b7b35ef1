"""One run: the window is fixed, what it would do is foreseen, and then, if it is to be applied, exactly that is done.

It is done after every batch: stopped there, it goes on from its cursor. What was done is measured against what held
before, customer by customer, not taken from what was foreseen.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, closing, suppress
from typing import Protocol

from entitlements.beside import beside
from entitlements.errors import EntitlementsError, StoreError
from entitlements.ingest import Ingest
from entitlements.model import Outcome
from entitlements.patience import patiently
from entitlements.preview import Step, Tally
from entitlements.redecide import Difference, Kind
from entitlements.rehearse import Consequence, Rehearsal
from entitlements.replay.offer import Load, Offer, settled
from entitlements.replay.sources import BATCH, Source
from entitlements.store import audit, replays
from entitlements.store.audit import Deed
from entitlements.store.replays import Asked, Run, Status
from entitlements.store.store import Store

LISTED_AT_ONCE = 250
"""Differences that are written together."""

BEAT = 2.0
"""Seconds between words of a run: well within replays.LEASE."""

KINDS: tuple[Kind, ...] = ("gains", "loses", "flips", "past")

Take = Callable[[Sequence[bytes]], Awaitable[list[Outcome]]]
"""Does something with bodies, and returns what became of each."""


def new(asked: Asked, deed: Deed, *, dry_run: bool, resumes: Run | None = None) -> Run:
    """Return a run that has not begun; it takes over the window of another one where it resumes that."""
    return Run(
        id=_name(deed.at, resumes=resumes is not None),
        asked=asked,
        by=deed.by,
        reason=deed.reason,
        dry_run=dry_run,
        started_at=deed.at,
        seen_at=deed.at,
        upto=resumes.upto if resumes else "",
        after=_left(resumes) if resumes else "",
        resumes=resumes.id if resumes else None,
    )


def _name(at: int, *, resumes: bool) -> str:
    """Return a name for a run; names stand in the order of runs, and in one second what resumes another comes later."""
    return f"rp_{at:x}{resumes:d}{secrets.token_hex(3)}"


def _left(run: Run) -> str:
    """Return where what is left of a run begins: only what it had applied is done."""
    return run.after if run.phase == "previewing" else run.cursor


class Told(Protocol):
    """Who is told while a run goes on."""

    def progress(self, run: Run) -> None:
        """Hear how far it is, after each batch."""

    def unreadable(self, why: str) -> None:
        """Hear of something that is no event."""

    def consequence(self, run: Run, found: Consequence) -> None:
        """Hear of a customer who is concerned: first as it is foreseen, and of a run that is applied, as it became."""


class Nobody:
    """Hears nothing."""

    def progress(self, run: Run) -> None:
        """Do nothing about it."""

    def unreadable(self, why: str) -> None:
        """Likewise."""

    def consequence(self, run: Run, found: Consequence) -> None:
        """Likewise."""


class Replay:
    """Makes one run."""

    def __init__(
        self,
        ingest: Ingest,
        source: Source,
        run: Run,
        clock: Callable[[], float],
        told: Told | None = None,
    ) -> None:
        self._store = ingest.store
        self._ingest = ingest
        self._source = source
        self.run = run
        self._clock = clock
        self._told = told or Nobody()
        self._stop = False
        self._named = 0
        """Deliveries that have a name."""

    def stop(self, status: Status = "stopped", why: str | None = None) -> None:
        """Let it end after the batch at hand."""
        if not self._stop:
            self._stop, self.run.status, self.run.why = True, status, why

    async def begin(self) -> None:
        """Fix the window, and record the run. Raises Conflict where another one is being applied, StoreError."""
        try:
            self.run.upto = self.run.upto or await self._source.end()
            await replays.begin(self._store, self.run)
        except BaseException:
            self._source.close()
            raise

    async def go(self) -> Run:
        """Do all of a run that has begun, and close the source. What goes wrong ends the run, and is raised."""
        with closing(self._source):
            return await self._go()

    async def _go(self) -> Run:
        run = self.run
        try:
            async with beside(self._beat()):
                await self._do()
            run.status = run.status if self._stop else "done"
        except EntitlementsError as error:
            run.status, run.why = "failed", str(error)
            raise
        except asyncio.CancelledError:
            run.status, run.why = "stopped", "the process that did it ended"
            raise
        finally:
            run.ended_at = run.seen_at = int(self._clock())
            with suppress(StoreError):  # it shows as interrupted then
                await replays.end(self._store, run)
        return run

    async def _do(self) -> None:
        run, now = self.run, int(self._clock())
        if not run.dry_run:
            deed = Deed(run.by, run.reason, run.started_at)
            await audit.write(self._store, deed.record("replay.apply", run.id))
        self._ingest.policy = policy = await self._store.policy_in_force()
        with Rehearsal(self._store, policy, now, livemode=self._ingest.livemode) as rehearsal:

            async def foresee(bodies: Sequence[bytes]) -> list[Outcome]:
                found = await patiently(lambda: rehearsal.take(bodies))
                return [one.receipt.outcome for one in found]

            await self._all(foresee)
            await self._sum(rehearsal.consequences())
            if run.dry_run or self._stop:
                return
            run.phase = "applying"
            await self._all(self._take)
            run.phase = "comparing"
            await self._sum(rehearsal.consequences(happened=True))

    async def _take(self, bodies: Sequence[bytes]) -> list[Outcome]:
        run, now = self.run, self._clock()
        deed = Deed(run.by, run.reason, int(now))
        first, self._named = self._named, self._named + len(bodies)
        names = [f"{run.id}.{n}" for n in range(first, self._named)]
        receipts = await patiently(lambda: self._ingest.replay(bodies, now, deed, names))
        return [receipt.outcome for receipt in receipts]

    async def _all(self, take: Take) -> None:
        """Do something with every event of the window, and count what becomes of each."""
        run = self.run
        run.events, run.outcomes, run.unreadable, run.cursor = 0, {}, 0, run.after
        async with aclosing(self._source.loads(run.after, run.upto)) as loads:
            async for load in loads:
                for why in load.unreadable:
                    self._told.unreadable(why)
                found = await self._each(load.offers, take)
                self._count(load, found)
                self._told.progress(run)
                if self._stop:
                    return

    async def _each(self, offers: Sequence[Offer], take: Take) -> list[Outcome]:
        """Return what becomes of each: what is held already is not even read."""
        known = await patiently(lambda: settled(self._store, offers))
        rest = [offer.read() for offer, outcome in zip(offers, known, strict=True) if not outcome]
        looked = [o for some in _parts(rest) for o in await take(some)]
        return [outcome for outcome in known if outcome] + looked

    def _count(self, load: Load, found: Sequence[Outcome]) -> None:
        run = self.run
        run.events += len(found)
        run.outcomes = dict(Counter(run.outcomes) + Counter(found))
        run.unreadable += len(load.unreadable)
        run.cursor, run.share = load.cursor, load.share

    async def _sum(self, customers: AsyncIterator[Consequence]) -> None:
        """Sum up who gains and who loses, in the place of what was summed up before."""
        run, tally, ambiguous = self.run, Tally.of(*KINDS), 0
        listed = _Listed(self._store, run.id)
        await patiently(lambda: replays.forget_differences(self._store, run.id))
        async for found in customers:
            ambiguous += len(found.ambiguous)
            if found.differences:
                tally.add(Step(0, 1, found.differences))
            if found.differences or found.ambiguous:
                self._told.consequence(run, found)
            await listed.add(found.differences)
        await listed.close()
        run.customers, run.ambiguous = tally.customers, ambiguous
        run.concerned, run.answers, run.features = tally.concerned, tally.answers, tally.features

    async def _beat(self) -> None:
        """Say that it goes on, and hear whether it is to end."""
        while True:
            await asyncio.sleep(BEAT)
            self.run.seen_at = int(self._clock())
            with suppress(StoreError):  # the batch at hand tells, if that lasts
                if ending := await replays.tell(self._store, self.run):
                    self.stop(*ending)


class _Listed:
    """The differences that are kept of a run: many in one write, for each of which the store syncs its disk."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self._room = replays.LISTED
        self._waiting = list[Difference]()

    async def add(self, found: Sequence[Difference]) -> None:
        """Keep some, as far as there is room."""
        some = found[: self._room]
        self._room -= len(some)
        self._waiting += some
        if len(self._waiting) >= LISTED_AT_ONCE:
            await self.close()

    async def close(self) -> None:
        """Write what waits."""
        some, self._waiting = self._waiting, []
        await patiently(lambda: replays.list_differences(self._store, self._run, some))


def _parts(bodies: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (bodies[n : n + BATCH] for n in range(0, len(bodies), BATCH))
