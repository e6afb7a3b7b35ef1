"""A walk over the keys of a store, a round trip at a time: the whole of it takes longer than one call may."""

from collections.abc import AsyncIterator
from typing import Any

from entitlements.store.client import reaching
from entitlements.store.store import BATCH, Store


async def scan(store: Store, match: str, kind: str | None = None) -> AsyncIterator[list[str]]:
    """Yield the names that match, of one type if one is named, about BATCH at a time; some batches are empty.

    A key that is there all the time comes at least once.
    """
    cursor = 0
    while True:
        async with reaching():
            reply: Any = await store.redis.scan(cursor, match=match, count=BATCH, _type=kind)
        cursor, names = reply
        yield [name.decode() for name in names]
        if cursor == 0:
            return
