"""What must happen without anybody asking: the log and the change feed are trimmed to what the policy retains.

Answers never wait for this: whatever the clock changes takes effect at the read.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from entitlements.errors import StoreError
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
            log.info("retention", trimmed=trimmed) if trimmed else log.debug("retention", trimmed=0)
        except StoreError as error:
            log.warning("worker_round_failed", detail=str(error))
        await asyncio.sleep(every)
