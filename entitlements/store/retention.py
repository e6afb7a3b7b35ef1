"""What old entries make room: of the log, the change feed and the audit; overrides that have expired leave their list.

The quarantine keeps everything.
"""

from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.replies import text
from entitlements.store.store import Store


async def trim(store: Store, before_ms: int) -> int:
    """Drop what the log, the change feed and the audit hold from before an instant. Returns how many entries went.

    A mass of old entries is dropped in whole nodes, so a few may stay a little longer. The last old change of each
    partition stays as well: it shows whoever has read it that nothing was missed (store/streams.py).
    """
    trimmed = 0
    for p in range(store.partitions):
        async with reaching():
            await store.redis.zremrangebyscore(
                keys.shared(p, "expiring"), "-inf", before_ms // 1000
            )
        for name in ("log", "audit"):
            async with reaching():
                trimmed += await store.redis.xtrim(
                    keys.shared(p, name), minid=before_ms, approximate=True
                )
        changes = keys.shared(p, "changes")
        async with reaching():
            old = await store.redis.xrevrange(changes, f"({before_ms}-0", "-", count=1)
        if old:
            async with reaching():
                trimmed += await store.redis.xtrim(changes, minid=text(old[0][0]), approximate=True)
    return trimmed
