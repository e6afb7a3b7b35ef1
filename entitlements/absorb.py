"""One event into what is held of its customer: the new records, the outcome, and what follows from them. Pure."""

from msgspec import Struct
from msgspec.structs import replace

from entitlements import flips
from entitlements.compact import compacted
from entitlements.decide import decide, same, undecided
from entitlements.fold import fold, follows, step
from entitlements.model import (
    Change,
    CustomerRecord,
    Decision,
    Fact,
    Outcome,
    State,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import PAUSABLE, Policy
from entitlements.resolve import next_change

READ_AFTER = 2
"""Seconds after a second in doubt: by Stripe's clock it must be over when it is read."""


class Held(Struct, frozen=True):
    """What the store holds of one customer, and of the one subscription that an event is about."""

    customer: CustomerRecord
    subscription: SubscriptionRecord
    due: int | None = None
    """When an answer of the customer changes by the clock: what has not been told yet begins there."""


class Lists(Struct, frozen=True):
    """Where a customer and a subscription stand on the lists that others read; null takes them off."""

    due: int | None
    """When the next answer of the customer changes by the clock alone."""
    paused_since: int | None
    """Since when collection is paused while the subscription stays in use."""
    review_since: int | None
    """Since when a person should look at the subscription."""
    read_due: int | None
    """When a read from Stripe can settle how its latest second ended."""


class Absorbed(Struct, frozen=True):
    """What is to be written, all of it or nothing."""

    outcome: Outcome
    customer: CustomerRecord
    subscription: SubscriptionRecord
    changes: tuple[Change, ...]
    lists: Lists


def known(held: Held, event: str) -> Fact | None:
    """Return the fact that an event was already kept as."""
    return next((f for f in held.subscription.facts if f.event == event), None)


def absorb(held: Held, event: SubscriptionEvent, policy: Policy, now: int) -> Absorbed:
    """Return the records after an event that is not yet held, asked at `now` (Unix seconds)."""
    facts, state = _folded(held.subscription, event.fact, policy)
    decision = decide(state, policy)
    outcome = _outcome(held, event, state, decision)
    customer = replace(
        held.customer,
        version=held.customer.version + 1,
        policy=policy.digest,
        decisions={**held.customer.decisions, event.subscription: decision},
    )
    before = flips.Held(held.customer, held.due)
    said = flips.told(before, customer, event.subject, event.fact.event, now)
    whole = SubscriptionRecord(
        _with_outcome(facts, event.fact, outcome),
        state,
        held.subscription.base,
        held.subscription.settled,
    )
    return Absorbed(
        outcome=outcome,
        customer=customer,
        subscription=compacted(whole, now - policy.log_retention, policy),
        changes=said.changes,
        lists=lists(customer, decision, state, said.at),
    )


def lists(customer: CustomerRecord, decision: Decision, state: State, at: int) -> Lists:
    """Return the places of a customer and one subscription on the lists, at an instant."""
    paused = state.pause is not None and state.snapshot.status in PAUSABLE
    pending = any(undecided(s) for t in decision.features.values() for s in t)
    return Lists(
        due=next_change(customer, at),
        paused_since=state.pause.since if paused and state.pause else None,
        review_since=decision.since if decision.flags or pending else None,
        read_due=state.at + READ_AFTER if state.ambiguous else None,
    )


def _folded(held: SubscriptionRecord, fact: Fact, policy: Policy) -> tuple[tuple[Fact, ...], State]:
    """Fold one more fact: a step where it comes last, everything again where it does not."""
    if follows(held.state, fact):
        return (*held.facts, fact), step(held.state, fact)
    facts, folded = fold((*held.facts, fact), policy, held.base)
    assert folded is not None  # there is at least this fact
    return facts, folded


def _outcome(held: Held, event: SubscriptionEvent, state: State, decision: Decision) -> Outcome:
    before = held.customer.decisions.get(event.subscription)
    if state.ambiguous:
        return "ambiguous"
    if before is None or not same(before, decision):
        return "applied"
    last = held.subscription.state
    return "stale" if last and event.fact.created < last.at else "unchanged"


def _with_outcome(facts: tuple[Fact, ...], fact: Fact, outcome: Outcome) -> tuple[Fact, ...]:
    return tuple(replace(f, outcome=outcome) if f.event == fact.event else f for f in facts)
