"""Doubts that Stripe can settle: what was read of a subscription goes in by the same door as an event.

A read is fenced. It carries Stripe's own clock at its beginning, so the canonical order puts it before whatever
happened later, and it never overwrites something newer. It says nothing of the second in doubt while that second may
still go on: then it is made again a little later.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from entitlements import metrics
from entitlements.errors import StripeError
from entitlements.ingest import Ingest, Receipt
from entitlements.model import Subject
from entitlements.reading import event_of
from entitlements.store.reads import Doubt, Reads
from entitlements.stripe_api import Read

LEASE = 30
"""Seconds for which a read is one worker's: longer than it can take."""

AT_ONCE = 4
"""Reads that one worker makes side by side."""

RATE = 20
"""Calls a second, of all processes together. Stripe allows 25 in a sandbox: https://docs.stripe.com/rate-limits."""

TRIES = 12
"""After them it is left to a person: with their backoff, after about three hours."""

FIRST, LONGEST = 2, 3_600
"""Seconds from one try to the next: twice as long each time, up to the longest."""

UNSETTLED = ("ambiguous", "duplicate", "quarantined")
"""What becomes of a read that settles nothing: the doubt goes on, nothing new was said, or it is not understood."""

log = structlog.get_logger()


class Source(Protocol):
    """Who can be asked what a subscription is like."""

    async def subscription(self, subject: Subject, name: str) -> Read:
        """Return that, and when it was. Raises StripeError."""


class Healer:
    """Reads from Stripe what order cannot tell."""

    def __init__(
        self, source: Source, reads: Reads, ingest: Ingest, clock: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._reads = reads
        self._ingest = ingest
        self._clock = clock

    async def heal(self) -> int:
        """Read what is due now, once each. Returns how many were healed. Raises StoreError."""
        due = await self._reads.claim(int(self._clock()), LEASE, AT_ONCE)
        healed = await asyncio.gather(*(self._settle(doubt) for doubt in due))
        return sum(healed)

    async def _settle(self, doubt: Doubt) -> bool:
        if not await self._reads.permit(int(self._clock()), RATE):
            await self._reads.put_off(doubt, int(self._clock()) + 1)
            return False
        try:
            read = await self._source.subscription(doubt.subject, doubt.subscription)
        except StripeError as error:
            await self._again(doubt, str(error))
            return False
        receipt = await self._ingest.deliver(event_of(read, doubt.subject.account), self._clock())
        if receipt.outcome in UNSETTLED:
            await self._again(doubt, f"the read of {read.stamp} was {receipt.outcome}")
            return False
        await self._healed(doubt, receipt)
        return True

    async def _healed(self, doubt: Doubt, receipt: Receipt) -> None:
        await self._reads.forget(doubt)
        metrics.read("healed")
        log.info("doubt_healed", subscription=doubt.subscription, outcome=receipt.outcome)

    async def _again(self, doubt: Doubt, why: str) -> None:
        last = doubt.tries >= TRIES
        metrics.read("given_up" if last else "failed")
        tell = log.error if last else log.warning
        tell("doubt_given_up" if last else "doubt_not_healed", tries=doubt.tries, detail=why)
        wait = min(LONGEST, FIRST * 2 ** (doubt.tries - 1))
        await self._reads.put_off(doubt, None if last else int(self._clock()) + wait)
