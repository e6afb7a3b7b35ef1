"""All customers, looked through in steps that may lie as far apart as their caller likes."""

from entitlements.model import Subject
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.replies import text
from entitlements.store.store import Store

CURSORS = 2**64
"""How many cursors there are: SCAN's are unsigned numbers of 64 bits."""


async def walk(store: Store, cursor: int, count: int) -> tuple[list[Subject], int | None]:
    """Return some customers, and the cursor of the next step: null at the end. A walk begins with cursor 0.

    About `count` keys are looked through, of which customers are some or none. A customer may come twice; one that is
    held from the first step to the last comes at least once, whatever else comes and goes. The cursor is all that has
    to be kept between two steps, by anybody and for any time, on a single server. Raises StoreUnavailable.
    https://valkey.io/commands/scan/
    """
    async with reaching():
        following, names = await store.redis.scan(cursor, match=keys.CUSTOMERS, count=count)
    return [keys.subject_of(text(name)) for name in names], int(following) or None
