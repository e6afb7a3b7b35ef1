"""What can be said without asking anybody else than the store: settings, policy, and what waits for a person."""

from collections.abc import Iterator

from entitlements.doctor.finding import Finding, fail, ok, warn
from entitlements.errors import PolicyError, StoreError, StoreUnsafe
from entitlements.policy_load import load
from entitlements.settings import Settings
from entitlements.settings_values import livemode_of
from entitlements.store import quarantine
from entitlements.store.reads import Reads
from entitlements.store.store import Store


def settings(given: Settings) -> list[Finding]:
    """Say what the settings leave open."""
    found = list(_settings(given))
    counted = f"{len(given.webhook_secrets)} signing secrets, {len(given.tokens)} tokens"
    return found or [ok("settings", f"{counted}, durability {given.durability}")]


def _settings(given: Settings) -> Iterator[Finding]:
    if lacking := given.missing_for_serve():
        what, _, remedy = lacking.rstrip(".").partition(": ")
        yield fail("settings", what, remedy)
    if any(not secret.startswith("whsec_") for secret in given.webhook_secrets):
        yield warn(
            "settings",
            "a signing secret does not begin with whsec_, as Stripe's do",
            "copy it from the endpoint's page in Stripe's Dashboard",
        )
    if not given.tokens and given.surfaces & {"queries", "operations"}:
        yield warn(
            "settings",
            "there are no tokens, so every query is answered 401",
            "make one with `entitlements token new` and set ENTITLEMENTS_TOKENS",
        )
    if given.durability == "memory":
        yield warn(
            "settings",
            "ENTITLEMENTS_DURABILITY is memory, so a crash loses what Stripe was told is stored",
            "set it to fsync",
        )
    if given.stripe_api_key and livemode_of(given.stripe_api_key) is None:
        yield warn(
            "settings",
            "ENTITLEMENTS_STRIPE_API_KEY does not say its mode",
            "use a secret or restricted key: sk_live_…, rk_test_…",
        )


async def whole(store: Store) -> list[Finding]:
    """Say whether all of what was imported has come."""
    try:
        await store.refuse_half()
    except StoreUnsafe as error:
        return [
            fail("store.import", str(error).rstrip("."), "until then nothing is served from it")
        ]
    return []


async def policy(store: Store, given: Settings) -> list[Finding]:
    """Say whether the policy that decides is the one that the settings name."""
    try:
        configured = load(given.policy_file)
    except PolicyError as error:
        return [fail("policy", str(error).rstrip("."), "mend the file, or name another")]
    try:
        in_force = await store.policy_in_force()
    except StoreError:
        return [warn("policy", "none is in force yet", "start `entitlements serve` once")]
    if in_force.digest == configured.digest:
        return [ok("policy", f"{in_force.digest} is in force, as configured")]
    return [
        warn(
            "policy",
            f"{in_force.digest} is in force, and {configured.digest} is configured",
            "see what would change with `entitlements policy preview`, then `entitlements policy apply`",
        )
    ]


async def quarantined(store: Store) -> list[Finding]:
    """Say how many events wait for a person."""
    if not (waits := await quarantine.count(store)):
        return [ok("quarantine", "no event waits")]
    return [
        warn(
            "quarantine",
            f"{waits} events wait",
            "see why with `entitlements quarantine list`, and try them with `entitlements quarantine retry --all`",
        )
    ]


async def doubts(store: Store, given: Settings) -> list[Finding]:
    """Say how many subscriptions have an order of events that only Stripe can tell."""
    count, given_up = await Reads(store).counts()
    if given_up:
        return [
            fail(
                "doubts",
                f"{given_up} subscriptions could not be read from Stripe after many tries",
                "the worker's log says why (doubt_given_up); then read them again with `entitlements reconcile`",
            )
        ]
    if count and not given.stripe_api_key:
        return [
            warn(
                "doubts",
                f"the order of events of {count} subscriptions is in doubt",
                "set ENTITLEMENTS_STRIPE_API_KEY, so that the worker asks Stripe",
            )
        ]
    return [ok("doubts", f"{count} subscriptions are being read from Stripe" if count else "none")]
