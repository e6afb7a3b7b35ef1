"""What else Stripe's API holds, as far as we read it.

Source: https://docs.stripe.com/api (webhook endpoints, customer portal, accounts).
"""

from typing import Any, Literal, get_args

from msgspec import Struct

from entitlements.model import KnownBehavior, PauseCollection
from entitlements.wire import Id

Flow = Literal[
    "payment_method_update", "subscription_cancel", "subscription_pause", "subscription_update"
]
"""What a portal session may be made for alone."""

FLOWS: tuple[Flow, ...] = get_args(Flow)


class Pause(Struct, frozen=True):
    """`pause_collection`, as it is set."""

    behavior: KnownBehavior
    resumes_at: int | None = None
    """Unix seconds; null until it is cleared."""


class Subscription(Struct, frozen=True):
    """A subscription, as far as the collection of payment is concerned."""

    id: str
    customer: str
    status: str
    pause_collection: PauseCollection | None = None


class Account(Struct, frozen=True):
    """Whose key it is, and when Stripe was asked that, by its own clock."""

    id: str
    asked_at: int = 0


class WebhookEndpoint(Struct, frozen=True):
    """Where Stripe posts events of some types, in the shape of one API version."""

    id: str
    url: str
    status: str
    enabled_events: tuple[str, ...]
    livemode: bool
    api_version: str | None = None
    """Null: the account's own."""
    application: str | None = None


class SubscriptionPause(Struct, frozen=True):
    """Whether customers pause by themselves in the portal: since `2026-10-28.endive`."""

    enabled: bool = False


class Features(Struct, frozen=True):
    """What customers may do in the portal."""

    subscription_pause: SubscriptionPause | None = None


class PortalConfiguration(Struct, frozen=True):
    """How the customer portal looks to those whose session is made with it."""

    id: str
    active: bool
    is_default: bool
    livemode: bool
    features: Features

    @property
    def customers_pause(self) -> bool:
        """Tell whether customers pause by themselves there."""
        pause = self.features.subscription_pause
        return pause is not None and pause.enabled


class PortalSession(Struct, frozen=True, tag_field="object", tag="billing_portal.session"):
    """A customer's way into the portal, for a short while."""

    id: str
    url: str
    customer: str
    configuration: str | None = None
    return_url: str | None = None


class PortalRequest(Struct, frozen=True):
    """What a portal session is made with. Null: as Stripe's default has it."""

    customer: Id
    configuration: Id | None = None
    return_url: str | None = None
    flow: Flow | None = None
    """Where it leads at once, for this one purpose."""
    subscription: Id | None = None
    """What the flow is about, of those that are about one."""

    def params(self) -> dict[str, Any]:
        """Return it as Stripe's parameters."""
        about = {self.flow: {"subscription": self.subscription}} if self.subscription else {}
        return {
            "customer": self.customer,
            "configuration": self.configuration,
            "return_url": self.return_url,
            "flow_data": {"type": self.flow, **about} if self.flow else None,
        }
