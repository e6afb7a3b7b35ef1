"""Calls of Stripe one after the other, within the rate that all processes share; made again where Stripe asks to wait.

Source: https://docs.stripe.com/rate-limits: excess is answered with 429, and waits should grow.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from entitlements.errors import StripeUnavailable
from entitlements.patience import patiently
from entitlements.store.reads import Reads

RATE = 15
"""Calls a second, of all processes together: fewer than heal.RATE, so that doubts are read beside a long walk."""

WAITS = (1, 2, 4, 8, 16)
"""Seconds before a call is made again; after the last one its error stands."""

Found = TypeVar("Found")


class Paced:
    """Paces the calls of StripeApi: `StripeApi(key, base, Paced(Reads(store)))`.

    Made again are those that Stripe limits, fails or leaves unanswered; of writes the idempotency key makes it safe.
    """

    def __init__(
        self,
        reads: Reads,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        waits: Sequence[int] = WAITS,
    ) -> None:
        self._reads = reads
        self._clock = clock
        self._sleep = sleep
        self._waits = waits

    async def __call__(self, call: Callable[[], Awaitable[Found]]) -> Found:
        """Make a call, once it is permitted. Raises what it raises: StripeUnavailable after the last try alone."""
        for wait in self._waits:
            await self._permit()
            try:
                return await call()
            except StripeUnavailable:
                await self._sleep(wait)
        await self._permit()
        return await call()

    async def _permit(self) -> None:
        while not await patiently(self._asked):
            await self._sleep(1 - self._clock() % 1)

    async def _asked(self) -> bool:
        return await self._reads.permit(int(self._clock()), RATE)
