"""What is told of a subscription whose collection is paused while it stays in use. Pure."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from entitlements.fold import lapsed
from entitlements.given import days_given_away
from entitlements.model import (
    PENDING,
    CustomerRecord,
    Entitlement,
    PauseCollection,
    Snapshot,
    State,
    Subject,
    SubscriptionRecord,
)
from entitlements.policy import PAUSABLE, Policy
from entitlements.resolve import entitlement, present

Access = Literal["granted", "denied", "pending"]


class Paused(Struct, frozen=True, kw_only=True, tag_field="object", tag="paused_subscription"):
    """A subscription whose collection is paused while it stays in use. Times are Unix seconds."""

    id: str
    """Of this pause: whose subscription, and since when. A list goes on behind it."""
    account: str | None
    customer: str
    subscription: str
    status: str
    behavior: str
    since: int
    resumes_at: int | None
    access: Access
    """What the customer is answered now about the features of this subscription: `pending` where one of them waits for
    a person, else `granted` where any is granted."""
    reason: str
    rule: str | None
    until: int | None
    """When the answer that `reason` and `rule` are of becomes another one, as far as is known."""
    days_given_away: int
    """Whole days for which this subscription was served since then that were not paid and never will be charged."""
    products: tuple[str, ...]
    prices: tuple[str, ...]
    features: tuple[Entitlement, ...]
    """What the customer is answered now about each feature of this subscription, whichever subscription says so."""
    flags: tuple[str, ...] = ()
    """What is assumed or in doubt about the subscription."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which of them are asked for; null asks for all."""

    account: str | None = None
    behavior: str | None = None
    access: Access | None = None
    product: str | None = None
    resumes_within: int | None = None
    """Seconds from now. A pause without `resumes_at` does not resume within any time."""

    def includes(self, found: Paused, now: int) -> bool:
        """Tell whether one is asked for."""
        return (
            self.account in {None, found.account}
            and self.access in {None, found.access}
            and self.covers(PauseCollection(found.behavior, found.resumes_at), found.products, now)
        )

    def covers(self, pause: PauseCollection, products: Sequence[str], now: int) -> bool:
        """Tell whether a pause of a subscription to some products is asked for, by whatever Stripe knows as well."""
        soon = self.resumes_within is None or (
            pause.resumes_at is not None and pause.resumes_at <= now + self.resumes_within
        )
        return (
            soon
            and self.behavior in {None, pause.behavior}
            and (self.product is None or self.product in products)
        )


class Held(Struct, frozen=True):
    """All that is asked of the store about one subscription on the list."""

    id: str
    subject: Subject
    subscription: str
    customer: CustomerRecord
    cold: SubscriptionRecord


def paused(held: Held, policy: Policy, now: int) -> Paused | None:
    """Return what is told of a subscription at present; null where its collection is not paused, or not any more.

    Nobody tells when `resumes_at` passes: until the next event the pause is held, and over all the same.
    """
    state, decision = held.cold.state, held.customer.decisions.get(held.subscription)
    at = present(held.customer, now)
    pause = pause_here(state, at)
    if state is None or state.pause is None or decision is None or pause is None:
        return None
    answers = tuple(entitlement(held.customer, name, at) for name in sorted(decision.features))
    access, says = _access(answers)
    review = held.customer.reviews.get(held.subscription)
    return Paused(
        id=held.id,
        account=held.subject.account,
        customer=held.subject.customer,
        subscription=held.subscription,
        status=state.snapshot.status,
        behavior=pause.behavior,
        since=state.pause.since,
        resumes_at=pause.resumes_at,
        access=access,
        reason=says.reason if says else "unknown_feature",
        rule=says.rule if says else None,
        until=says.until if says else None,
        days_given_away=days_given_away(held.cold, review, policy, at),
        products=products(state.snapshot),
        prices=prices(state.snapshot),
        features=answers,
        flags=decision.flags,
    )


def pause_here(state: State | None, at: int) -> PauseCollection | None:
    """Return how collection is paused at an instant, by what is held; null where it is not, or not in use."""
    if state is None or state.pause is None:
        return None
    behavior = _not_known(state) or state.pause.behavior
    return _in_use(state.snapshot.status, PauseCollection(behavior, state.pause.resumes_at), at)


def pause_there(snapshot: Snapshot, at: int) -> PauseCollection | None:
    """Return how collection is paused at an instant, by what Stripe says; null where it is not, or not in use."""
    return _in_use(snapshot.status, snapshot.pause_collection or None, at)


def _in_use(status: str, pause: PauseCollection | None, at: int) -> PauseCollection | None:
    over = pause is None or lapsed(pause, at)
    return None if over or status not in PAUSABLE else pause


def _not_known(state: State) -> str | None:
    """Return the behaviour that is not known here, if it is that which was not understood."""
    kind, _, value = (state.not_understood or "").partition("=")
    return value if kind == "behavior" else None


def products(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the products that a subscription is to, each once."""
    return tuple(dict.fromkeys(item.product for item in snapshot.items))


def prices(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the prices at which it is, each once."""
    return tuple(dict.fromkeys(item.price for item in snapshot.items))


def _access(answers: Sequence[Entitlement]) -> tuple[Access, Entitlement | None]:
    """Return what several answers come to, and the first that says so; there may be none."""
    pending = next((one for one in answers if one.reason == PENDING), None)
    granted = next((one for one in answers if one.granted), None)
    if pending:
        return "pending", pending
    return ("granted", granted) if granted else ("denied", next(iter(answers), None))


COLUMNS = (
    "account",
    "customer",
    "subscription",
    "status",
    "behavior",
    "since",
    "resumes_at",
    "access",
    "reason",
    "rule",
    "until",
    "days_given_away",
    "products",
    "prices",
    "features",
    "flags",
)


def cells(found: Struct, columns: Sequence[str]) -> tuple[object, ...]:
    """Return what stands under some columns, each the name of a field; spaces part several names."""
    values = (getattr(found, name) for name in columns)
    return tuple(" ".join(map(_name, v)) if isinstance(v, tuple) else v for v in values)


def _name(value: str | Entitlement) -> str:
    return value.feature if isinstance(value, Entitlement) else value


def row(found: Paused) -> tuple[object, ...]:
    """Return one as a row of a table, in the order of COLUMNS; times in Unix seconds."""
    return cells(found, COLUMNS)
