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
    asked: dict[int, list[About]] = {}
    for one in about:
        asked.setdefault(store.partition(str(one.subject)), []).append(one)
    pipeline = store.redis.pipeline(transaction=False)
    for p, some in asked.items():
        names = [keys.subscription(p, subject, name) for subject, name in some]
        pipeline.execute_command("MGET", *names)  # redis-py bars a cluster's pipelines from `mget`
    async with reaching():
        rows = await pipeline.execute()
    pairs = (
        pair
        for some, row in zip(asked.values(), rows, strict=True)
        for pair in zip(some, row, strict=True)
    )
    return {one: cold.known(raw) for one, raw in pairs}


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
