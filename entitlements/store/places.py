"""A list that lies in all partitions, as one: counted, and read in one order, the lowest score first."""

from typing import NamedTuple

from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.standing import Place
from entitlements.store.store import Store


class Span(NamedTuple):
    """Which scores are meant, both ends included; null is without an end."""

    lowest: int | None = None
    highest: int | None = None

    def bounds(self) -> tuple[str, str]:
        """Return both ends as the store writes them."""
        lowest = "-inf" if self.lowest is None else str(self.lowest)
        return lowest, "+inf" if self.highest is None else str(self.highest)


ALL = Span()


async def count(store: Store, name: str) -> int:
    """Return how many entries a list has."""
    return sum(await _counts(store, name, ALL))


async def holding(store: Store, name: str, span: Span) -> list[int]:
    """Return the partitions in which a list has entries within a span."""
    return [p for p, found in enumerate(await _counts(store, name, span)) if found]


async def _counts(store: Store, name: str, span: Span) -> list[int]:
    pipeline = store.redis.pipeline(transaction=False)
    for p in range(store.partitions):
        pipeline.zcount(keys.shared(p, name), *span.bounds())
    async with reaching():
        return await pipeline.execute()


async def page(
    store: Store, name: str, limit: int, after: Place | None = None, span: Span = ALL
) -> list[Place]:
    """Return so many places of a list within a span, from behind one place on.

    Of each partition as many are read; of the score that the page goes on within, all.
    """
    lowest, highest = span.bounds()
    pipeline = store.redis.pipeline(transaction=False)
    for p in range(store.partitions):
        key = keys.shared(p, name)
        first = f"({after.since}" if after else lowest
        pipeline.zrangebyscore(key, first, highest, start=0, num=limit, withscores=True)
        if after:
            pipeline.zrangebyscore(key, after.since, after.since, withscores=True)
    async with reaching():
        found = [pair for pairs in await pipeline.execute() for pair in pairs]
    places = [Place(int(score), member.decode()) for member, score in found]
    return sorted(place for place in places if after is None or place > after)[:limit]
