"""One customer whole: what is held of each subscription, what follows from it, and the answers."""

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from entitlements import metrics
from entitlements.decide import minimal, since, with_ends
from entitlements.http.encoded import encode, encoded
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.parameters import ACCOUNT, IF_NONE_MATCH, Parameters, subject_of
from entitlements.http.queries import ASKED, REFUSALS, asked_about, cached
from entitlements.http.state import State
from entitlements.model import (
    CustomerRecord,
    Entitlement,
    Override,
    PauseCollection,
    Review,
    Timeline,
)
from entitlements.model import State as SubscriptionState
from entitlements.resolve import age, entitlements, soonest
from entitlements.words import standing, unexpired


class Stretch(Struct, frozen=True, rename={"start": "from"}):
    """One segment of a timeline: `from` belongs to it, `until` to the next one; null is for good."""

    start: int
    until: int | None
    granted: bool
    reason: str
    rule: str
    quantity: int


class Subscription(Struct, frozen=True, tag_field="object", tag="subscription"):
    """What a subscription is like at the instant, and its decision: a timeline for each feature."""

    id: str
    status: str
    pause_collection: PauseCollection | None
    since: int
    """When what is decided began: the pause that holds, or else the status."""
    flags: tuple[str, ...]
    features: Mapping[str, list[Stretch]]


class Customer(Struct, frozen=True, tag_field="object", tag="customer"):
    """A customer as this service knows them. Every answer is in `entitlements`, the denied ones too."""

    id: str
    as_of: int
    version: int
    policy: str
    subscriptions: list[Subscription]
    overrides: Mapping[str, Override]
    reviews: Mapping[str, Review]
    entitlements: list[Entitlement]
    account: str | UnsetType = UNSET
    stale: bool | UnsetType = UNSET
    age: int | UnsetType = UNSET


async def one_customer(request: Request[State]) -> Response:
    """Tell all of one customer. One that nothing was ever heard of is empty, with version 0; never a 404."""
    asked, subject = Parameters.of(request, *ASKED), subject_of(request)
    record, at = await asked_about(request, asked, subject)
    states = await request.state["answers"].states(subject, record, at, asked.number("known_at"))
    found = Customer(
        id=subject.customer,
        as_of=at,
        version=record.version,
        policy=record.policy,
        subscriptions=[_subscription(name, states[name], record) for name in states],
        overrides=unexpired(record, at),
        reviews=standing(record.reviews),
        entitlements=entitlements(record, at),
        account=subject.account or UNSET,
        stale=UNSET if record.age is None else True,
        age=age(record),
    )
    metrics.answered("customer")
    return cached(request, encoded(encode(found), record, at, soonest(found.entitlements)), record)


def _subscription(name: str, state: SubscriptionState, record: CustomerRecord) -> Subscription:
    decision = record.decisions[name]
    return Subscription(
        id=name,
        status=state.snapshot.status,
        pause_collection=state.snapshot.pause_collection or None,
        since=since(state),
        flags=decision.flags,
        features={name: _stretches(said) for name, said in decision.features.items()},
    )


def _stretches(said: Timeline) -> list[Stretch]:
    return [
        Stretch(s.start, end, s.granted, s.reason, s.rule, s.quantity)
        for s, end in with_ends(minimal(said), None)
        if s.speaks()
    ]


routes = routed(
    "queries",
    Endpoint(
        method="GET",
        path="/v1/customers/{customer}",
        handler=one_customer,
        scope="read",
        parameters=(*ASKED, ACCOUNT, IF_NONE_MATCH),
        answers={200: Customer, 304: None},
        refusals=REFUSALS,
    ),
)
