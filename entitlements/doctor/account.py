"""Whether the account at Stripe is set up for this service: mode, clock, webhook endpoint, portal. Rules alone.

Source: https://docs.stripe.com/keys, https://docs.stripe.com/webhooks and https://docs.stripe.com/customer-management.
"""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from entitlements.decode import TYPES
from entitlements.doctor.finding import Finding, fail, ok, warn
from entitlements.policy import BEHAVIORS, Cell, Policy
from entitlements.stripe_api.shapes import PortalConfiguration, WebhookEndpoint
from entitlements.verify import TOLERANCE

PATH = "/webhooks/stripe"
"""Where this service takes deliveries."""

ALL = "*"
HELD_UP_BY = "invoice.created"
"""Stripe waits for its 2xx, up to three days, before it finalizes an invoice: https://docs.stripe.com/billing/subscriptions/webhooks."""

SAYS_WHY = "2026-09-30"
"""The API version since which events say why a subscription is paused."""

SKEW = 30
"""Seconds by which our clock may differ from Stripe's without a word."""

MODES = {True: "live", False: "test", None: "either"}


def mode(account: str, *, key: bool | None, chosen: bool | None, pinned: bool | None) -> Finding:
    """Judge whether the key, the settings and the store are for one mode. Null: not said."""
    said = {
        "the key": key,
        "ENTITLEMENTS_LIVEMODE": chosen,
        "the store (its first event)": pinned,
    }
    known = {name: livemode for name, livemode in said.items() if livemode is not None}
    if len(set(known.values())) <= 1:
        found = next(iter(known.values()), None)
        return ok("stripe.key", f"{account}, in {MODES[found]} mode")
    told = ", ".join(f"{name} is for {MODES[livemode]} mode" for name, livemode in known.items())
    return fail(
        "stripe.key",
        f"{account}: {told}",
        "give each mode its own store, key and ENTITLEMENTS_LIVEMODE; events of the other mode are quarantined",
    )


def clock(ahead: float) -> Finding:
    """Judge by how many seconds this machine's clock is ahead of Stripe's."""
    way = "ahead of" if ahead > 0 else "behind"
    said = f"this machine's clock is {abs(ahead):.0f} s {way} Stripe's"
    if abs(ahead) >= TOLERANCE:
        return fail("stripe.clock", said, "set it by NTP: every signature is refused as it is")
    if abs(ahead) >= SKEW:
        return warn(
            "stripe.clock", said, f"set it by NTP: from {TOLERANCE} s on signatures are refused"
        )
    return ok("stripe.clock", said)


def webhooks(
    endpoints: Sequence[WebhookEndpoint], policy: Policy, url: str | None = None
) -> list[Finding]:
    """Judge the endpoints that lead here: those at `url`, or whose path is this service's where that is not known."""
    ours = [one for one in endpoints if _leads_here(one, url)]
    if not ours:
        return [
            fail(
                "stripe.webhook",
                f"no endpoint of the account has the address {url or '…' + PATH}",
                f"register one in Stripe's Dashboard, for {', '.join(sorted(TYPES))}",
            )
        ]
    return [finding for one in ours for finding in _endpoint(one, policy)]


def _leads_here(endpoint: WebhookEndpoint, url: str | None) -> bool:
    return endpoint.url == url if url else urlsplit(endpoint.url).path.endswith(PATH)


def _endpoint(endpoint: WebhookEndpoint, policy: Policy) -> Iterator[Finding]:
    found = list(_wrong(endpoint, policy))
    version = endpoint.api_version or "the account's API version"
    yield from found or [
        ok("stripe.webhook", f"{endpoint.url} is enabled, has all event types needed, in {version}")
    ]


def _wrong(endpoint: WebhookEndpoint, policy: Policy) -> Iterator[Finding]:
    check, where, types = "stripe.webhook", endpoint.url, set(endpoint.enabled_events)
    if endpoint.status != "enabled":
        yield fail(
            check,
            f"{where} is {endpoint.status}",
            "enable it in Stripe's Dashboard, then `entitlements replay --source stripe --undelivered` "
            "(run book: webhooks-failing)",
        )
    if ALL not in types and (missing := sorted(TYPES - types)):
        yield fail(check, f"{where} is not sent {', '.join(missing)}", "add them to its events")
    if types & {ALL, HELD_UP_BY}:
        yield warn(
            check,
            f"{where} is sent {HELD_UP_BY}, so invoices wait up to three days while this service is down",
            f"leave its events at {', '.join(sorted(TYPES))}",
        )
    if _asks_why(policy) and endpoint.api_version and endpoint.api_version < SAYS_WHY:
        yield warn(
            check,
            f"{where} is sent events of {endpoint.api_version}, which do not say why a subscription is paused, "
            "and the policy decides by that",
            f"make an endpoint of {SAYS_WHY} or later",
        )


def _asks_why(policy: Policy) -> bool:
    return any(rules.paused for rules in (policy, *policy.scopes))


def portal(configurations: Sequence[PortalConfiguration], policy: Policy) -> Finding:
    """Judge whether customers can pause by themselves, and whether policy says what becomes of their access then."""
    names = [one.id for one in configurations if one.active and one.customers_pause]
    if not names:
        return ok("stripe.portal", "customers cannot pause by themselves")
    who = f"customers pause by themselves ({', '.join(names)})"
    if open_cells := list(_open(policy)):
        return warn(
            "stripe.portal",
            f"{who}, and the policy {'; '.join(open_cells)}",
            "state in the policy what such a pause means, or switch subscription_pause off",
        )
    return ok("stripe.portal", f"{who}, and the policy says what that means")


def _open(policy: Policy) -> Iterator[str]:
    """Yield what policy leaves to a person, or gives away, of the pauses that customers can make."""
    for where, cell in _cells(policy):
        if cell.access == "review":
            yield f"leaves {where} to a person"
        elif cell.access == "grant" and not where.startswith("pause_collection"):
            yield f"grants access in {where}, unpaid"


def _cells(policy: Policy) -> Iterator[tuple[str, Cell]]:
    for rules in (policy, *policy.scopes):
        asked = rules.paused.get("pause_requested") or rules.status.get("paused")
        if asked:
            yield "the status paused", asked
        tables = {"": rules.pause_collection} | rules.pause_collection_in
        for status, cells in tables.items():
            for behavior in BEHAVIORS:
                if behavior in cells:
                    inner = f"{status}." if status else ""
                    yield f"pause_collection.{inner}{behavior}", cells[behavior]
