"""All customers, looked through in steps that may lie as far apart as their caller likes."""

from entitlements.model import Subject
from entitlements.store import keys
from entitlements.store.replies import text
from entitlements.store.store import Store
from entitlements.store.topology import primaries, step

MOST = 1_024
"""Primaries that a cursor can tell apart: more than a cluster has."""

CURSORS = 2**64 * MOST
"""How many cursors there are: SCAN's are unsigned numbers of 64 bits."""


async def walk(store: Store, cursor: int, count: int) -> tuple[list[Subject], int | None]:
    """Return some customers, and the cursor of the next step: null at the end. A walk begins with cursor 0.

    About `count` keys are looked through, of which customers are some or none. A customer may come twice; one that is
    held from the first step to the last comes at least once, whatever else comes and goes, unless another server took
    over meanwhile. The cursor is all that has to be kept between two steps, by anybody and for any time: of a cluster
    it also names the primary, by its place among them. Raises StoreUnavailable. https://valkey.io/commands/scan/
    """
    found = await primaries(store.redis)
    at, place = divmod(cursor, MOST)
    if place >= len(found):
        return [], None
    following, names = await step(store.redis, found[place], at, (keys.CUSTOMERS, count, None))
    after = following * MOST + place if following else place + 1
    over = not following and place + 1 == len(found)
    return [keys.subject_of(text(name)) for name in names], None if over else after
