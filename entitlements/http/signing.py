"""Which signing secrets verify deliveries, for `entitlements doctor`: noted once an hour, not once a delivery."""

import math
from contextlib import suppress

from entitlements.errors import StoreError
from entitlements.store import secrets
from entitlements.store.store import Store

EVERY = 3_600
"""Seconds for which it is not noted again that a secret is in use."""


class Signing:
    """Notes in the store which secret has verified a delivery, if that is news."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[str, float] = {}

    async def verified(self, secret: str, now: float) -> None:
        """Note it where it was not noted within the hour. A store that fails is told of by whatever else it fails."""
        if now - self._noted.get(secret, -math.inf) < EVERY:
            return
        self._noted[secret] = now
        with suppress(StoreError):
            await secrets.note(self._store, secret, int(now))
