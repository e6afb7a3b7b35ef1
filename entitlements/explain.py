"""Why a customer is answered what they are: the chain from deliveries to the answer, as one value. Pure.

What is told is what `answer(at, known_at)` depends on and nothing else: the facts created up to one instant and
received up to another, in canonical order, what each changed, rule and policy, and how the answer goes on.
"""

from collections.abc import Sequence
from itertools import accumulate

from entitlements import decide
from entitlements.changed import When, changed, said
from entitlements.explained import (
    AnswerStretch,
    Asked,
    ExplainedAnswer,
    ExplainedDoubt,
    ExplainedEvent,
    ExplainedFlag,
    ExplainedSubscription,
    Explanation,
    Held,
)
from entitlements.fold import fold
from entitlements.history import counted
from entitlements.model import CustomerRecord, Entitlement, Fact, State, SubscriptionRecord
from entitlements.policy import Policy
from entitlements.reasons import FLAGS, REASONS
from entitlements.resolve import entitlement, features, instants
from entitlements.words import standing, unexpired

BEFORE_ALL = -1
"""Before every instant."""


def explain(asked: Asked, held: Held, when: When) -> Explanation:
    """Return the chain that leads to an answer. `when` writes instants into what is said."""
    record, subject = held.record, asked.subject
    names = [asked.feature] if asked.feature else features(held.life)
    told = (
        _subscription(name, cold, asked, held, when) for name, cold in held.subscriptions.items()
    )
    return Explanation(
        customer=subject.customer,
        account=subject.account,
        at=asked.at,
        known_at=asked.known_at,
        version=record.version,
        policy=record.policy,
        in_force=held.in_force,
        refused=held.refused,
        answers=() if held.refused else tuple(_answer(name, asked, held, when) for name in names),
        subscriptions=() if held.refused else tuple(one for one in told if one),
        quarantined=held.quarantined,
        done=held.done,
        notes=_notes(asked, held, when),
    )


def _notes(asked: Asked, held: Held, when: When) -> tuple[str, ...]:
    record = held.record
    left_out = sum(
        len(cold.facts) - len(counted(cold.facts, asked.at, asked.known_at))
        for cold in held.subscriptions.values()
    )
    received = "" if asked.known_at is None else f" or received after {when(asked.known_at)}"
    found = {
        "Nothing was ever heard of this customer.": not record.version and not held.refused,
        f"Left out: {left_out} events that were created after {when(asked.at)}{received}.": left_out,
        f"Decided by the policy {record.policy}, while {held.in_force} is in force: the next event decides anew, or "
        "`entitlements policy apply`.": asked.known_at is None and record.policy != held.in_force,
    }
    return tuple(note for note, holds in found.items() if holds)


def _answer(feature: str, asked: Asked, held: Held, when: When) -> ExplainedAnswer:
    found = entitlement(held.record, feature, asked.at)
    return ExplainedAnswer(
        feature=feature,
        says=_answered(found, when),
        entitlement=found,
        override=unexpired(held.record, asked.at).get(feature),
        timeline=_timeline(held.life, feature),
    )


def _answered(found: Entitlement, when: When) -> str:
    word = "granted" if found.granted else "denied"
    until = ""
    if found.until is not None and found.then is not None:
        then = "granted" if found.then.granted else "denied"
        until = f", until {when(found.until)}; then {then} ({found.then.reason})"
    return f"{word}: {REASONS[found.reason]}{until}"


def _timeline(life: CustomerRecord, feature: str) -> tuple[AnswerStretch, ...]:
    """Return how the answer was and will be: from the first instant at which anything was said of the feature."""
    starts: list[tuple[int, Entitlement]] = []
    for at in instants(life, feature, BEFORE_ALL):
        found = entitlement(life, feature, at)
        if not starts or _says(found) != _says(starts[-1][1]):
            starts.append((at, found))
    ends = [*(at for at, _ in starts[1:]), *([None] if starts else [])]
    return tuple(
        AnswerStretch(
            start=at,
            until=end,
            granted=found.granted,
            reason=found.reason,
            rule=found.rule,
            subscription=found.subscription,
            quantity=found.quantity,
        )
        for (at, found), end in zip(starts, ends, strict=True)
    )


def _says(found: Entitlement) -> tuple[object, ...]:
    return found.granted, found.reason, found.rule, found.subscription, found.quantity


def _subscription(
    name: str, cold: SubscriptionRecord, asked: Asked, held: Held, when: When
) -> ExplainedSubscription | None:
    """Return one subscription's part of the chain; null where nothing had happened yet."""
    facts, state = fold(counted(cold.facts, asked.at, asked.known_at), held.policy, cold.base)
    if state is None:
        return None
    return ExplainedSubscription(
        id=name,
        status=state.snapshot.status,
        pause_collection=state.snapshot.pause_collection or None,
        pause=state.pause,
        since=decide.since(state),
        events=_events(facts, cold.base, when),
        kept_from=cold.base.at if cold.base else None,
        review=standing(held.record.reviews).get(name),
        flags=tuple(ExplainedFlag(flag, FLAGS[flag]) for flag in decide.flags(state, held.policy)),
        doubt=_doubt(facts, state, held.policy, when),
    )


def _events(facts: Sequence[Fact], base: State | None, when: When) -> tuple[ExplainedEvent, ...]:
    """Return the facts, which come in canonical order, as the events that they are of."""
    arrival = sorted(range(len(facts)), key=lambda n: (facts[n].received_ms, facts[n].event))
    arrived = {n: place for place, n in enumerate(arrival, 1)}
    overtaking = _earliest_after(facts)
    found, before = [], base.snapshot if base else None
    for n, fact in enumerate(facts):
        own = fact.snapshot_before()
        changes = changed(before if own is None else own, fact.snapshot)
        received_at, by = fact.received_ms // 1000, overtaking[n]
        found.append(
            ExplainedEvent(
                event=fact.event,
                type=fact.type,
                created=fact.created,
                received_at=received_at,
                delay=received_at - fact.created,
                outcome=fact.outcome,
                place=n + 1,
                arrived=arrived[n],
                overtaken_by=by.event if by and by.received_ms < fact.received_ms else None,
                gap=None not in {own, before} and before not in {own, fact.snapshot},
                changed=changes,
                says=said(changes, when),
            )
        )
        before = fact.snapshot
    return tuple(found)


def _earliest_after(facts: Sequence[Fact]) -> list[Fact | None]:
    """Return for each fact the one behind it that arrived first; null for the last."""
    backwards = list(accumulate(reversed(facts[1:]), _earlier))
    return [*reversed(backwards), *([None] if facts else [])]


def _earlier(one: Fact, other: Fact) -> Fact:
    return one if one.received_ms < other.received_ms else other


def _doubt(
    facts: Sequence[Fact], state: State, policy: Policy, when: When
) -> ExplainedDoubt | None:
    if not state.ambiguous:
        return None
    events = tuple(fact.event for fact in facts if fact.created == state.at)
    return ExplainedDoubt(
        state.at,
        events,
        f"{' and '.join(events)} of {when(state.at)} cannot be put in order by what they say of themselves. "
        f"Until that is settled, what is taken to have come last is the end that would {policy.ambiguous} most. "
        "It is settled by an event that is still missing, by a later one that says in which state it began, or by a "
        "read from Stripe, which a worker makes that has a key.",
    )
