"""Replays that a service makes beside its other work, for whoever asks over HTTP."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from entitlements.errors import BadRequest, Conflict, EntitlementsError
from entitlements.ingest import Ingest
from entitlements.replay.run import Replay, new
from entitlements.replay.sources import of_service
from entitlements.settings import Settings
from entitlements.store import replays
from entitlements.store.audit import Deed
from entitlements.store.replays import Asked, Run
from entitlements.store.store import Store

MOST = 4
"""Runs at a time; one of them may write."""

GRACE = 5.0
"""Seconds for the batch at hand when the process ends."""

log = structlog.get_logger()


class Background:
    """The runs of one process, which end with it."""

    def __init__(self, settings: Settings, store: Store, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._going: dict[asyncio.Task[None], Replay] = {}

    async def begin(self, asked: Asked, deed: Deed, *, dry_run: bool) -> Run:
        """Begin a run. Raises Conflict where it has to wait for others, StripeKeyMissing, StoreError."""
        return await self._begin(asked, new(asked, deed, dry_run=dry_run))

    async def take_up(self, name: str, deed: Deed, *, dry_run: bool) -> Run:
        """Begin a run over exactly the window of one that was previewed, or what is left of one that was stopped.

        Raises NotFound, BadRequest for that of a file, and as `begin`.
        """
        found = await replays.one(self._store, name, self._clock())
        if found.asked.source == "file":
            raise BadRequest(
                f"{name} is of a file, which is where its command was run: go on there."
            )
        if found.status == "running":
            raise Conflict(f"{name} still runs. Let it end, or cancel it.")
        return await self._begin(
            found.asked, new(found.asked, deed, dry_run=dry_run, resumes=found)
        )

    async def _begin(self, asked: Asked, run: Run) -> Run:
        if len(self._going) >= MOST:
            raise Conflict(f"This process makes {MOST} replays already. Let one end, or cancel it.")
        policy = await self._store.policy_in_force()
        ingest = Ingest(self._store, policy, livemode=self._settings.livemode)
        made = Replay(
            ingest, of_service(self._settings, self._store, asked, self._clock), run, self._clock
        )
        await made.begin()
        task = asyncio.create_task(self._go(made))
        self._going[task] = made
        task.add_done_callback(self._going.pop)
        return run

    async def _go(self, made: Replay) -> None:
        log.info("replay_began", replay=made.run.id, by=made.run.by, dry_run=made.run.dry_run)
        with suppress(EntitlementsError):  # the run says what went wrong
            await made.go()
        log.info("replay_ended", replay=made.run.id, status=made.run.status, events=made.run.events)

    async def aclose(self) -> None:
        """End every run after its batch, or at once if that takes too long."""
        going = dict(self._going)
        for made in going.values():
            made.stop("stopped", "the process that did it ended")
        if going:
            await asyncio.wait(going, timeout=GRACE)
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)
