"""The service's own core over one life, and cores that are wrong on purpose: a simulation must tell them apart."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from entitlements.absorb import Held, absorb, known
from entitlements.compact import precedes
from entitlements.decide import decide
from entitlements.decode import decode
from entitlements.fold import step
from entitlements.model import (
    CustomerRecord,
    Fact,
    Outcome,
    State,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import BUILT_IN
from entitlements.sandbox.event import encoded
from entitlements.store import cold
from tests.simulation.delivery import Arrival

NOTHING = Held(CustomerRecord(version=0), SubscriptionRecord())


class Taken(NamedTuple):
    """What is held after a delivery, and its outcome."""

    held: Held
    outcome: Outcome


Core = Callable[[Held, SubscriptionEvent, int], Taken]
"""From what is held, an event and the time to what is held then."""


def decoded(arrival: Arrival) -> SubscriptionEvent:
    """Return a delivery as the service reads it."""
    found = decode(encoded(arrival.event))
    assert isinstance(found, SubscriptionEvent)
    return replace(found, fact=replace(found.fact, received_ms=arrival.at * 1000))


def service(held: Held, event: SubscriptionEvent, now: int) -> Taken:
    """Take in an event by the service's own rules; what was held was written down and read again."""
    stored = Held(
        msgspec.json.decode(msgspec.json.encode(held.customer), type=CustomerRecord),
        cold.decode(cold.encode(held.subscription)),
    )
    if known(stored, event.fact.event):
        return Taken(stored, "duplicate")
    if precedes(stored.subscription.base, event.fact):
        return Taken(stored, "stale")
    found = absorb(stored, event, BUILT_IN, now)
    return Taken(Held(found.customer, found.subscription), found.outcome)


def by_arrival(held: Held, event: SubscriptionEvent, _: int) -> Taken:
    """Believe whatever came last, as most do."""
    return _with(held, event, step(held.subscription.state, event.fact))


def by_created(held: Held, event: SubscriptionEvent, _: int) -> Taken:
    """Believe the latest `created`, and within one second whatever came last."""
    state = held.subscription.state
    if state and event.fact.created < state.at:
        return Taken(held, "stale")
    return _with(held, event, step(state, event.fact))


def counting_twins(held: Held, event: SubscriptionEvent, now: int) -> Taken:
    """Take every event id for a change of its own."""
    fact = replace(event.fact, request=event.fact.event)
    return service(held, replace(event, fact=fact), now)


def paid_by_the_latest(held: Held, event: SubscriptionEvent, now: int) -> Taken:
    """Take what the latest event says for what was paid when the pause began."""
    taken = service(held, event, now)
    state = taken.held.subscription.state
    if state is None or state.pause is None:
        return taken
    ends = {item.id: item.period_end or 0 for item in state.snapshot.items}
    return _with(taken.held, event, replace(state, pause=replace(state.pause, paid_until=ends)))


WRONG: Mapping[str, Core] = {
    "by arrival": by_arrival,
    "by created": by_created,
    "counting twins": counting_twins,
    "paid by the latest": paid_by_the_latest,
}


def _with(held: Held, event: SubscriptionEvent, state: State) -> Taken:
    decisions = {event.subscription: decide(state, BUILT_IN)}
    record = CustomerRecord(held.customer.version + 1, BUILT_IN.digest, decisions)
    facts: tuple[Fact, ...] = (*held.subscription.facts, event.fact)
    return Taken(Held(record, SubscriptionRecord(facts, state)), "applied")
