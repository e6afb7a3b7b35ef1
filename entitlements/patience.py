"""A long run outlives a failover: what the store could not do is asked of it again, for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from entitlements.errors import NotDurable, StoreBusy, StoreUnavailable

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before it is asked again; after the last one its error stands."""

PASSES = (StoreUnavailable, NotDurable, StoreBusy)
"""What may be over by then."""

Found = TypeVar("Found")


async def patiently(call: Callable[[], Awaitable[Found]], waits: Sequence[float] = WAITS) -> Found:
    """Make a call that may be made again. Raises what it raises the last time."""
    for wait in waits:
        try:
            return await call()
        except PASSES:
            await asyncio.sleep(wait)
    return await call()


async def at_once(call: Callable[[], Awaitable[Found]]) -> Found:
    """Make a call now, and once."""
    return await call()
