"""Some subscriptions that are held, by chance."""

import random

from entitlements.model import Subject
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.replies import text
from entitlements.store.store import Store
from entitlements.store.topology import primaries

TRIES = 50
"""Keys that are drawn for each subscription wanted: most keys of a large store are marks of events."""


async def sample(store: Store, count: int) -> list[tuple[Subject, str]]:
    """Return up to `count` subscriptions, each of another customer. Raises StoreUnavailable."""
    drawn: set[Subject] = set()
    for _ in range(count * TRIES):
        if len(drawn) < count and (subject := await _draw(store)):
            drawn.add(subject)
    records = dict(zip(drawn, await store.customers(list(drawn)), strict=True))
    return [(s, random.choice(list(r.decisions))) for s, r in records.items() if r.decisions]  # noqa: S311


async def _draw(store: Store) -> Subject | None:
    """Return a customer by chance; null where something else was drawn."""
    server = random.choice(await primaries(store.redis))  # noqa: S311  of no consequence
    async with reaching():
        key = text(await store.redis.randomkey(**server.to))
    return keys.subject_of(key) if ":c:" in key else None
