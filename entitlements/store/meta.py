"""What a store says of itself: its partitions, the mode of its events, the policies it was decided by."""

import msgspec

from entitlements.errors import StoreError
from entitlements.policy import Policy
from entitlements.store import keys
from entitlements.store.lane import Asking
from entitlements.store.replies import text

_encode = msgspec.json.Encoder().encode
_policy = msgspec.json.Decoder(Policy)


class Meta:
    """The few keys that belong to the store as a whole."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking

    async def pin_partitions(self) -> int:
        """Record the number of partitions where none is recorded; return the one that is."""
        return int(await self._pin("partitions", str(keys.PARTITIONS)))

    async def partitions_held(self) -> int | None:
        """Return the number of partitions that is recorded; null where none is."""
        (held,) = await self.asking.ask(("HGET", keys.META, "partitions"))
        return None if held is None else int(text(held))

    async def pin_livemode(self, *, livemode: bool) -> bool:
        """Record the mode of the first verified event; return the mode that is recorded."""
        return await self._pin("livemode", str(livemode).lower()) == "true"

    async def _pin(self, name: str, value: str) -> str:
        _, held = await self.asking.ask(
            ("HSETNX", keys.META, name, value), ("HGET", keys.META, name)
        )
        return text(held)

    async def livemode(self) -> bool | None:
        """Return the mode that is recorded; null before the first verified event."""
        (held,) = await self.asking.ask(("HGET", keys.META, "livemode"))
        return None if held is None else text(held) == "true"

    async def policy(self, default: Policy) -> Policy:
        """Return the policy in force; where none is recorded yet, record and return `default`."""
        await self.asking.ask(
            ("SET", keys.policy(default.digest), _encode(default), "NX"),
            ("HSETNX", keys.META, "policy", default.digest),
        )
        return await self.policy_in_force()

    async def policy_named(self, digest: str) -> Policy:
        """Return a policy that was in force once. Raises StoreError where it is not held."""
        (raw,) = await self.asking.ask(("GET", keys.policy(digest)))
        if raw is None:
            raise StoreError(
                f"The store does not hold the policy {digest}. It was not always this one."
            )
        return _policy.decode(raw)

    async def policy_in_force(self) -> Policy:
        """Return the policy that is recorded. Raises StoreError where none is: the store is not the one it was."""
        (digest,) = await self.asking.ask(("HGET", keys.META, "policy"))
        (raw,) = await self.asking.ask(("GET", keys.policy(text(digest))))
        if raw is None:
            raise StoreError("The store names no policy, as if it had been emptied. Start anew.")
        return _policy.decode(raw)

    async def enforce(self, policy: Policy) -> None:
        """Put a policy in force: every process decides by it from its next look on."""
        await self.asking.ask(("SET", keys.policy(policy.digest), _encode(policy)))
        await self.asking.ask(("HSET", keys.META, "policy", policy.digest))
