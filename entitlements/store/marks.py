"""What is known already of many events at once: in the records of subscriptions, and by marks of what moved none."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from entitlements.model import Outcome, Subject
from entitlements.store import cold, keys
from entitlements.store.client import reaching
from entitlements.store.cold import Known
from entitlements.store.entry import outcome_of
from entitlements.store.replies import text
from entitlements.store.store import Store


class Marked(NamedTuple):
    """An event, and the partition that its mark is in: that of its customer if it is too old, else that of its id."""

    partition: int
    event: str


async def outcomes(store: Store, events: Collection[Marked]) -> dict[Marked, Outcome]:
    """Return what became of those among some events that have a mark, in one round trip.

    One that has waited in the quarantine for longer than marks are kept is known by its place there (keep.lua).
    """
    pipeline = store.redis.pipeline(transaction=False)
    for p, event in events:
        pipeline.get(keys.event(p, event))
        pipeline.exists(keys.waiting(p, event))
    async with reaching():
        replies = await pipeline.execute()
    pairs = zip(events, replies[::2], replies[1::2], strict=True)
    return {event: _outcome(mark) for event, mark, waits in pairs if mark or waits}


class About(NamedTuple):
    """A subscription, and whose it is."""

    subject: Subject
    subscription: str


async def known(store: Store, about: Collection[About]) -> dict[About, Known]:
    """Return which events are held of some subscriptions, in one round trip."""
    pipeline = store.redis.pipeline(transaction=False)
    for subject, name in about:
        pipeline.get(keys.subscription(store.partition(str(subject)), subject, name))
    async with reaching():
        found = await pipeline.execute()
    return {one: cold.known(raw) for one, raw in zip(about, found, strict=True)}


async def waiting(store: Store, events: Sequence[str]) -> list[str]:
    """Return those among some events that wait in the quarantine, in one round trip."""
    pipeline = store.redis.pipeline(transaction=False)
    for event in events:
        pipeline.exists(keys.waiting(store.partition(event), event))
    async with reaching():
        found = await pipeline.execute()
    return [event for event, waits in zip(events, found, strict=True) if waits]


def _outcome(mark: bytes | None) -> Outcome:
    return outcome_of(text(mark).partition(" ")[0] if mark else "quarantined")
