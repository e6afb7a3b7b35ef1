"""The marks of many events at once: of those that were kept and moved no subscription."""

from collections.abc import Collection

import msgspec

from entitlements.model import Outcome
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.replies import text
from entitlements.store.store import Store


async def outcomes(store: Store, events: Collection[str]) -> dict[str, Outcome]:
    """Return what became of those among some events that have a mark, in one round trip.

    One that has waited in the quarantine for longer than marks are kept is known by its place there (keep.lua).
    """
    pipeline = store.redis.pipeline(transaction=False)
    for event in events:
        p = store.partition(event)
        pipeline.get(keys.event(p, event))
        pipeline.exists(keys.waiting(p, event))
    async with reaching():
        replies = await pipeline.execute()
    pairs = zip(events, replies[::2], replies[1::2], strict=True)
    return {event: _outcome(mark) for event, mark, waits in pairs if mark or waits}


def _outcome(mark: bytes | None) -> Outcome:
    found: Outcome = msgspec.convert(
        text(mark).partition(" ")[0] if mark else "quarantined", Outcome
    )
    return found
