"""What is wrong, or will be: one line each, with the remedy. Nothing is written, to the store or to Stripe.

- `house`: settings, policy, what waits
- `storage`: the store
- `account`, `deliveries`: Stripe
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from msgspec import Struct

from entitlements.doctor import account, deliveries, house
from entitlements.doctor.deliveries import Beside
from entitlements.doctor.finding import Finding, fail, warn
from entitlements.doctor.storage import storage
from entitlements.errors import EntitlementsError, StoreError, StripeKeyMissing, StripeUnavailable
from entitlements.paced import Paced
from entitlements.policy import Policy
from entitlements.policy_load import load
from entitlements.settings import Settings
from entitlements.settings_values import livemode_of
from entitlements.store import secrets
from entitlements.store.reads import Reads
from entitlements.store.store import Store
from entitlements.store.vitals import vitals
from entitlements.stripe_api import StripeApi, required

SAMPLE = 20
"""Subscriptions of either side that are compared."""

PATIENCE = (1, 2)
"""Seconds before Stripe is asked again. Whoever asks what is wrong does not wait long for the answer."""


Checks = dict[str, Callable[[], Awaitable[Sequence[Finding]]]]
"""By the name of what each looks at."""


class Wish(Struct, frozen=True, kw_only=True):
    """How far to look."""

    local: bool = False
    """Whether to leave out what asks Stripe."""
    address: str | None = None
    """Where Stripe reaches this service; null where only its path is known."""
    sample: int = SAMPLE
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


async def examine(settings: Settings, store_url: str, wish: Wish) -> AsyncIterator[Finding]:
    """Yield what is found, check by check. A check that cannot be made is a finding too."""
    for finding in house.settings(settings):
        yield finding
    durability = settings.durability
    try:
        store = await Store.looked_at(store_url, name="entitlements-doctor", durability=durability)
    except StoreError as error:
        yield _failed("store.reachable", error, "bring it back (run book: store-lost)")
        return
    try:
        examination = Examination(settings, store, wish)
        async for finding in examination.findings():
            yield finding
    finally:
        await store.close()


class Examination:
    """The checks that need the store, or Stripe, or both."""

    def __init__(self, settings: Settings, store: Store, wish: Wish) -> None:
        self._settings = settings
        self._store = store
        self._wish = wish

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield what each check finds. Those that ask Stripe come last, and end where it does not answer."""
        checks = self._of_the_store() | ({} if self._wish.local else self._of_stripe())
        for name, check in checks.items():
            try:
                found = await check()
            except StripeKeyMissing:
                found = [warn(name, "not looked at", "it needs ENTITLEMENTS_STRIPE_API_KEY")]
            except StripeUnavailable as error:
                yield _failed(name, error, "answers go on without it (run book: stripe-outage)")
                return
            except EntitlementsError as error:
                found = [_failed(name, error)]
            for finding in found:
                yield finding

    def _of_the_store(self) -> Checks:
        return {
            "store": self._storage,
            "store.import": lambda: house.whole(self._store),
            "policy": lambda: house.policy(self._store, self._settings),
            "quarantine": lambda: house.quarantined(self._store),
            "doubts": lambda: house.doubts(self._store, self._settings),
            "webhook.secrets": self._secrets,
        }

    def _of_stripe(self) -> Checks:
        return {
            "stripe.key": self._key,
            "stripe.webhook": self._webhook,
            "stripe.portal": self._portal,
            "stripe.undelivered": self._undelivered,
            "drift": self._drift,
        }

    async def _storage(self) -> Sequence[Finding]:
        found = await vitals(self._store, self._wish.clock)
        return storage(found, self._settings.durability)

    async def _secrets(self) -> Sequence[Finding]:
        if not self._settings.webhook_secrets:
            return []  # said of the settings
        seen = await secrets.seen(self._store)
        return [deliveries.secrets(self._settings.webhook_secrets, seen, self._wish.clock())]

    async def _key(self) -> Sequence[Finding]:
        before = self._wish.clock()
        whose = await self._stripe().account()
        mode = account.mode(
            whose.id,
            key=livemode_of(self._settings.stripe_api_key or ""),
            chosen=self._settings.livemode,
            pinned=await self._store.livemode(),
        )
        return [mode, account.clock(before - whose.asked_at)]

    async def _webhook(self) -> Sequence[Finding]:
        endpoints = await self._stripe().webhook_endpoints()
        return account.webhooks(endpoints, await self._policy(), self._wish.address)

    async def _portal(self) -> Sequence[Finding]:
        configurations = await self._stripe().portal_configurations()
        return [account.portal(configurations, await self._policy())]

    async def _undelivered(self) -> Sequence[Finding]:
        return [await deliveries.undelivered(self._beside())]

    async def _drift(self) -> Sequence[Finding]:
        return [await deliveries.drift(self._beside(), self._wish.sample)]

    def _beside(self) -> Beside:
        wish = self._wish
        livemode = self._settings.livemode
        return Beside(self._stripe(), self._store, livemode, wish.clock, wish.sleep)

    def _stripe(self) -> StripeApi:
        pace = Paced(Reads(self._store), waits=PATIENCE)
        return required(self._settings.stripe_api_key, self._settings.stripe_api_base, pace)

    async def _policy(self) -> Policy:
        """Return the policy that decides, or that would."""
        try:
            return await self._store.policy_in_force()
        except StoreError:
            return load(self._settings.policy_file)


def _failed(
    check: str, error: EntitlementsError, remedy: str = "mend that, and look again"
) -> Finding:
    return fail(check, f"not looked at, since {str(error).rstrip('.')}", remedy)
