"""Which signing secrets are in use: by their fingerprints, never themselves."""

import hashlib

from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.replies import text
from entitlements.store.store import Store


def fingerprint(secret: str) -> str:
    """Return what a secret is called where it must not be shown: the first eight digits of its SHA-256."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


async def note(store: Store, secret: str, at: int) -> None:
    """Remember that a delivery was verified with a secret at an instant (Unix seconds)."""
    async with reaching():
        await store.redis.hset(keys.SECRETS, fingerprint(secret), str(at))


async def seen(store: Store) -> dict[str, int]:
    """Return when a delivery was last noted to be verified with each secret, by fingerprint."""
    async with reaching():
        found = await store.redis.hgetall(keys.SECRETS)
    return {text(name): int(at) for name, at in found.items()}
