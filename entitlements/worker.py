"""What must happen unasked: telling what the clock changes, retention, word of the quarantine, settling doubts.

The log, the change feed and the audit keep what the policy retains; the quarantine keeps everything.

Answers never wait for this: whatever the clock changes takes effect at the read. Here it is only told, on time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from entitlements import metrics
from entitlements.errors import StoreError
from entitlements.flips import flips
from entitlements.heal import AT_ONCE, Healer
from entitlements.scheduled import Scheduled
from entitlements.store import quarantine
from entitlements.store.due import Due, Waiting
from entitlements.store.retention import trim
from entitlements.store.store import Store

EVERY = 60.0
"""Seconds between rounds of retention."""

LOOK_AT_STRIPE = 10.0
"""Seconds between looks at whether a walk of Stripe's subscriptions is due."""

HEAL_EVERY = 1.0
"""Seconds between looks at what is in doubt."""

LOOK_EVERY = 0.25
"""Seconds between looks at who is due, at most: there is one at the beginning of each second, when flips are."""

BATCH = 64
"""Customers whose flips are told side by side."""

log = structlog.get_logger()


async def work(
    store: Store,
    *,
    healer: Healer | None = None,
    scheduled: Scheduled | None = None,
    clock: Callable[[], float] = time.time,
    every: float = EVERY,
) -> None:
    """Go on until cancelled. Without a healer, what is in doubt waits for the events that are missing.

    With `scheduled`, Stripe's subscriptions are walked when that is due.
    """
    log.info("working", heals=healer is not None, reconciles=scheduled is not None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_rounds("retention", lambda: _retain(store, clock), every))
        tasks.create_task(_rounds("flips", lambda: _tell(Due(store), clock), 0))
        if healer:
            tasks.create_task(_rounds("healing", lambda: _heal(healer), HEAL_EVERY))
        if scheduled:
            tasks.create_task(_rounds("reconciling", scheduled.once, LOOK_AT_STRIPE))


async def _rounds(name: str, once: Callable[[], Awaitable[object]], every: float) -> None:
    """Do something again and again. A store that is out of reach is tried again at the next round."""
    while True:
        try:
            await once()
        except StoreError as error:
            log.warning("worker_round_failed", part=name, detail=str(error))
        await asyncio.sleep(every)


async def _retain(store: Store, clock: Callable[[], float]) -> None:
    """Trim the log and the change feed to what the policy retains."""
    retention = (await store.policy_in_force()).log_retention
    trimmed = await trim(store, int((clock() - retention) * 1000))
    if waiting := await quarantine.count(store):
        log.warning("quarantine", waiting=waiting)
    log.info("retention", trimmed=trimmed) if trimmed else log.debug("retention", trimmed=0)


async def _heal(healer: Healer) -> None:
    """Read what is due, as long as there may be more."""
    while await healer.heal() == AT_ONCE:
        pass


async def _tell(due: Due, clock: Callable[[], float]) -> None:
    """Wait for the next look, then tell what the clock has changed of everybody who is due."""
    await asyncio.sleep(min(LOOK_EVERY, 1 - clock() % 1))
    while waiting := await due.waiting(int(clock()), BATCH):
        if not any(await asyncio.gather(*(_tell_one(due, one, clock) for one in waiting))):
            return  # others are at it


async def _tell_one(due: Due, one: Waiting, clock: Callable[[], float]) -> bool:
    found = flips(one.held, one.subject, int(clock()))
    told = await due.tell(one, found)
    if told:
        for change in found.changes:
            metrics.flip(clock() - change.at)
    return told
