"""The lists of subscriptions that stand out, `paused` and `review`: every partition's read as one, the newest first.

What is on a list all the time comes exactly once, whatever else comes and goes meanwhile, and memory stays bounded
however long it is.
"""

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from functools import partial
from typing import Literal, Protocol, TypeVar

from entitlements.absorb import Held
from entitlements.model import Subject
from entitlements.patience import at_once
from entitlements.store import cold, keys
from entitlements.store.client import reaching
from entitlements.store.places import Place
from entitlements.store.replies import script, text
from entitlements.store.store import Store

List = Literal["paused", "review"]

Found = TypeVar("Found")


class Pace(Protocol):
    """How calls are made: patience.at_once, or patience.patiently."""

    async def __call__(self, call: Callable[[], Awaitable[Found]]) -> Found:
        """Make a call."""


BATCH = 64
"""Entries of each partition that are read at a time."""

_BEHIND = script("behind")


async def walk(
    store: Store, name: List, after: Place | None = None, batch: int = BATCH, pace: Pace = at_once
) -> AsyncGenerator[list[Place]]:
    """Yield all that is on a list from behind a place on, in its order, some at a time.

    `pace` makes the calls: whoever walks for long may make them patiently. Raises StoreUnavailable.
    """
    ahead = {p: list[Place]() for p in range(store.partitions)}
    reached = dict.fromkeys(ahead, after)  # of those that may have more
    while reached:
        due = {p: place for p, place in reached.items() if len(ahead[p]) < batch}
        for p, found in (await pace(partial(_behind, store, name, due, batch))).items():
            ahead[p] += found
            if len(found) < batch:
                del reached[p]
            else:
                reached[p] = found[-1]
        # Down to here nothing can come any more that is not read yet.
        frontier = max((place for place in reached.values() if place), default=None)
        yield sorted(_taken(ahead.values(), frontier), reverse=True)


def _taken(ahead: Collection[list[Place]], frontier: Place | None) -> Iterator[Place]:
    """Take off each partition's entries, which are in order, what does not lie behind a place; all without one."""
    for places in ahead:
        n = sum(frontier is None or place >= frontier for place in places)
        yield from places[:n]
        del places[:n]


async def _behind(
    store: Store, name: List, places: Mapping[int, Place | None], most: int
) -> dict[int, list[Place]]:
    """Return the next entries of some partitions, each from behind a place of its own on, in one round trip."""
    pipeline = store.redis.pipeline(transaction=False)
    for p, place in places.items():
        score, member = place or ("+inf", "")
        # with its text: a cluster's pipeline loads no scripts
        pipeline.eval(_BEHIND, 1, keys.shared(p, name), most, score, member)
    async with reaching():
        replies = await pipeline.execute()
    return {
        p: [
            Place(int(score), text(member))
            for member, score in zip(found[::2], found[1::2], strict=True)
        ]
        for p, found in zip(places, replies, strict=True)
    }


async def held(store: Store, pairs: Sequence[tuple[Subject, str]]) -> list[Held]:
    """Return what is held of many subscriptions and of whose they are, in two round trips."""
    customers = await store.customers([subject for subject, _ in pairs])
    pipeline = store.redis.pipeline(transaction=False)
    for subject, name in pairs:
        pipeline.get(keys.subscription(store.partition(str(subject)), subject, name))
    async with reaching():
        colds = await pipeline.execute()
    return [Held(one, cold.decode(raw)) for one, raw in zip(customers, colds, strict=True)]
