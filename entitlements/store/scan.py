"""A walk over the keys of a store, a round trip at a time: the whole of it takes longer than one call may."""

from collections.abc import AsyncIterator

from entitlements.store.replies import text
from entitlements.store.store import BATCH, Store
from entitlements.store.topology import walk


async def scan(store: Store, match: str, kind: str | None = None) -> AsyncIterator[list[str]]:
    """Yield the names that match, of one type if one is named, about BATCH at a time; some batches are empty.

    A key that is there all the time comes at least once.
    """
    async for _, names in walk(store.redis, match, BATCH, kind):
        yield [text(name) for name in names]
