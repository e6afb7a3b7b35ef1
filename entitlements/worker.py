"""What must happen without anybody asking: retention, word of the quarantine, and reads that settle a doubt.

The log, the change feed and the audit keep what the policy retains; the quarantine keeps everything.

Answers never wait for this: whatever the clock changes takes effect at the read.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from entitlements.errors import StoreError
from entitlements.heal import AT_ONCE, Healer
from entitlements.store import quarantine
from entitlements.store.store import Store

EVERY = 60.0
"""Seconds between rounds of retention."""

HEAL_EVERY = 1.0
"""Seconds between looks at what is in doubt."""

log = structlog.get_logger()


async def work(
    store: Store,
    *,
    healer: Healer | None = None,
    clock: Callable[[], float] = time.time,
    every: float = EVERY,
) -> None:
    """Go on until cancelled. Without a healer, what is in doubt waits for the events that are missing."""
    log.info("working", heals=healer is not None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_rounds("retention", lambda: _retain(store, clock), every))
        if healer:
            tasks.create_task(_rounds("healing", lambda: _heal(healer), HEAL_EVERY))


async def _rounds(name: str, once: Callable[[], Awaitable[None]], every: float) -> None:
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
    trimmed = await store.trim(int((clock() - retention) * 1000))
    if waiting := await quarantine.count(store):
        log.warning("quarantine", waiting=waiting)
    log.info("retention", trimmed=trimmed) if trimmed else log.debug("retention", trimmed=0)


async def _heal(healer: Healer) -> None:
    """Read what is due, as long as there may be more."""
    while await healer.heal() == AT_ONCE:
        pass
