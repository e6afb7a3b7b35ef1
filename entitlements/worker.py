"""What must happen without anybody asking: old entries are trimmed, quarantined events told.

The log, the change feed and the audit keep what the policy retains; the quarantine keeps everything.

Answers never wait for this: whatever the clock changes takes effect at the read.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from entitlements.errors import StoreError
from entitlements.store import quarantine
from entitlements.store.store import Store

EVERY = 60.0
"""Seconds between rounds."""

log = structlog.get_logger()


async def work(
    store: Store, *, clock: Callable[[], float] = time.time, every: float = EVERY
) -> None:
    """Go on until cancelled. A store that is out of reach is tried again at the next round."""
    log.info("working")
    while True:
        try:
            retention = (await store.policy_in_force()).log_retention
            trimmed = await store.trim(int((clock() - retention) * 1000))
            if waiting := await quarantine.count(store):
                log.warning("quarantine", waiting=waiting)
            log.info("retention", trimmed=trimmed) if trimmed else log.debug("retention", trimmed=0)
        except StoreError as error:
            log.warning("worker_round_failed", detail=str(error))
        await asyncio.sleep(every)
