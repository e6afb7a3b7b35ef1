"""The walk of Stripe's subscriptions that workers make by a schedule: one at a time, from where the last one stopped.

A lease says whose it is. A worker that dies leaves its cursor; another one goes on when the lease has run out.
"""

import msgspec
from msgspec import Struct, field

from entitlements.drift import CAUSES, Cause
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.entry import Value
from entitlements.store.replies import script
from entitlements.store.store import Store

LEASE = 120
"""Seconds without a word after which a walk is taken over: longer than a page may take while Stripe limits the rate."""


class Walk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a walk is. Times are Unix seconds."""

    began_at: int
    ended_at: int | None = None
    cursor: str | None = None
    looked: int = 0
    healed: int = 0
    drift: dict[Cause, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))


_decode = msgspec.json.Decoder(Walk).decode
_encode = msgspec.json.Encoder().encode
_WALK = script("walk")


async def latest(store: Store) -> Walk | None:
    """Return the walk that is under way, or the last one; null before the first."""
    async with reaching():
        raw = await store.redis.get(keys.reconcile("walk"))
    return _decode(raw) if raw else None


async def hold(store: Store, holder: str, walk: Walk | None = None) -> bool:
    """Take or renew the lease, and record how far the walk is. False: another one holds it, and nothing is recorded."""
    return await _run(store, holder, LEASE * 1000, walk)


async def release(store: Store, holder: str, walk: Walk) -> bool:
    """Record how far the walk is, and give the lease back."""
    return await _run(store, holder, 0, walk)


async def _run(store: Store, holder: str, lease: int, walk: Walk | None) -> bool:
    names = [keys.reconcile("lease"), keys.reconcile("walk")]
    values: list[Value] = [holder, lease, _encode(walk) if walk else ""]
    run = store.redis.register_script(_WALK)
    async with reaching():
        return bool(await run(keys=names, args=values))
