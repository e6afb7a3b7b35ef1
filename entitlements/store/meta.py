"""What a store says of itself: its partitions, the mode of its events, the policies it was decided by."""

import msgspec
from redis.asyncio import Redis

from entitlements.errors import StoreError
from entitlements.policy import Policy
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.replies import text

_encode = msgspec.json.Encoder().encode
_policy = msgspec.json.Decoder(Policy)


class Meta:
    """The few keys that belong to the store as a whole."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def pin_partitions(self) -> int:
        """Record the number of partitions where none is recorded; return the one that is."""
        async with reaching():
            await self.redis.hsetnx(keys.META, "partitions", str(keys.PARTITIONS))
            held = await self.redis.hget(keys.META, "partitions")
        return int(held or keys.PARTITIONS)

    async def pin_livemode(self, *, livemode: bool) -> bool:
        """Record the mode of the first verified event; return the mode that is recorded."""
        async with reaching():
            await self.redis.hsetnx(keys.META, "livemode", str(livemode).lower())
            held = await self.redis.hget(keys.META, "livemode")
        return text(held) == "true"

    async def livemode(self) -> bool | None:
        """Return the mode that is recorded; null before the first verified event."""
        async with reaching():
            held = await self.redis.hget(keys.META, "livemode")
        return None if held is None else text(held) == "true"

    async def policy(self, default: Policy) -> Policy:
        """Return the policy in force; where none is recorded yet, record and return `default`."""
        async with reaching():
            await self.redis.set(keys.policy(default.digest), _encode(default), nx=True)
            await self.redis.hsetnx(keys.META, "policy", default.digest)
        return await self.policy_in_force()

    async def policy_named(self, digest: str) -> Policy:
        """Return a policy that was in force once. Raises StoreError where it is not held."""
        async with reaching():
            raw = await self.redis.get(keys.policy(digest))
        if raw is None:
            raise StoreError(
                f"The store does not hold the policy {digest}. It was not always this one."
            )
        return _policy.decode(raw)

    async def policy_in_force(self) -> Policy:
        """Return the policy that is recorded. Raises StoreError where none is: the store is not the one it was."""
        async with reaching():
            digest = text(await self.redis.hget(keys.META, "policy"))
            raw = await self.redis.get(keys.policy(digest))
        if raw is None:
            raise StoreError("The store names no policy, as if it had been emptied. Start anew.")
        return _policy.decode(raw)

    async def enforce(self, policy: Policy) -> None:
        """Put a policy in force: every process decides by it from its next look on."""
        async with reaching():
            await self.redis.set(keys.policy(policy.digest), _encode(policy))
            await self.redis.hset(keys.META, "policy", policy.digest)
