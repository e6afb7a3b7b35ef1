"""A whole life as one decision."""

from collections.abc import Mapping
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.absorb import Held, absorb
from entitlements.decide import decide, minimal
from entitlements.fold import fold
from entitlements.history import history, relived
from entitlements.model import (
    CustomerRecord,
    Decision,
    Entitlement,
    Fact,
    Override,
    PauseCollection,
    Review,
    Subject,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import BUILT_IN, Policy
from entitlements.policy_file import parse
from entitlements.redecide import Whole, policy_at, redecided, superseding
from entitlements.resolve import entitlement, entitlements
from entitlements.words import Word, Words, judged, overridden, standing
from tests.support.histories import (
    MONTH,
    START,
    Life,
    created,
    item,
    lives,
    point,
    snapshot,
    updated,
)
from tests.support.policies import policies, wide_lives

WHO = Subject("cus_1")


def at_moment(facts: tuple[Fact, ...], at: int) -> CustomerRecord:
    """Return the record by the definition: decide over the fold of what was created up to an instant."""
    _, state = fold([f for f in facts if f.created <= at], BUILT_IN)
    return _record(decide(state, BUILT_IN) if state else None)


def _record(decision: Decision | None) -> CustomerRecord:
    return CustomerRecord(version=1, decisions={"sub_a": decision} if decision else {})


def test_without_facts_there_is_no_history() -> None:
    """Nothing to say is null."""
    assert history([], BUILT_IN) is None


def test_a_product_that_was_swapped_falls_silent() -> None:
    """The old feature has no answer from the swap on, the new one none before it."""
    old, new = snapshot(), snapshot(items=(item("si_2", "team"),))
    found = history([created(START, old), updated(START + 10, old, new)], BUILT_IN)
    assert found
    held = _record(found)

    assert [entitlement(held, "pro", START + t).reason for t in (0, 10)] == [
        "active",
        "unknown_feature",
    ]
    assert [entitlement(held, "team", START + t).reason for t in (0, 10)] == [
        "unknown_feature",
        "active",
    ]


def test_until_reaches_over_events_that_came_later() -> None:
    """Asked about the past, the end of an answer is the event that ended it."""
    unpaid = snapshot("unpaid")
    found = history([created(START, snapshot()), updated(START + 10, snapshot(), unpaid)], BUILT_IN)

    assert entitlement(_record(found), "pro", START + 3).until == START + 10


VOID = snapshot(pause_collection=PauseCollection("void"))


def test_a_life_is_told_from_its_first_fact_on_and_decided_by_its_last() -> None:
    """What began when, and what is in doubt, is of now."""
    stopped = point(START + 20, replace(VOID, status="paused"), "paused", "evt_b")
    draft = snapshot(pause_collection=PauseCollection("keep_as_draft"))
    doubt = point(START + 20, draft, "resumed", "evt_c")
    facts = [created(START, snapshot()), updated(START + 10, snapshot(), VOID), stopped, doubt]
    found, latest = history(facts, BUILT_IN), at_moment(tuple(facts), START + 20).decisions["sub_a"]
    assert found

    assert (found.as_of, found.since, found.flags) == (START, START + 10, ("ambiguous",))
    assert (latest.since, latest.flags) == (found.since, found.flags)


def test_a_pause_over_renewals_is_told_with_what_was_paid_when_it_began() -> None:
    """Each second is decided by all that came before it."""
    later = replace(VOID, items=(item(end=START + 2 * MONTH),))
    facts = [
        created(START, snapshot()),
        updated(START + 10, snapshot(), VOID, "evt_a"),
        updated(START + MONTH, VOID, later, "evt_b"),
    ]
    found = history(facts, BUILT_IN)
    assert found

    assert [(s.start, s.granted, s.reason) for s in found.features["pro"]] == [
        (START, True, "active"),
        (START + 10, True, "paused_void"),
        (START + MONTH, False, "paused_void"),
    ]


def test_what_claims_to_come_after_the_end_changes_nothing() -> None:
    """It was denied from the deletion on, at every instant."""
    over = point(START + 10, snapshot("canceled"), "deleted", "evt_a")
    late = updated(START + 20, VOID, snapshot(), "evt_b")
    found = history([created(START, snapshot()), over, late], BUILT_IN)
    assert found

    assert [(s.start, s.granted) for s in minimal(found.features["pro"])] == [
        (START, True),
        (START + 10, False),
    ]


def test_what_comes_to_light_after_the_end_counts_from_then_on() -> None:
    """Of a payment that was told late the answers before it knew nothing: they stay as they were."""
    due, over = snapshot("past_due"), point(START + 10, snapshot("canceled"), "deleted", "evt_a")
    facts = [created(START, due), over, updated(START + 20, due, snapshot(), "evt_b")]
    served = parse('status.canceled = { access = "revoke", from = "period_end" }')
    found = history(facts, served)
    assert found

    assert [(s.start, s.granted, s.reason) for s in found.features["pro"]] == [
        (START, True, "past_due"),
        (START + 10, False, "canceled"),
        (START + 20, True, "canceled"),
        (START + MONTH, False, "canceled"),
    ]


def test_an_event_at_the_instant_of_a_flip_has_the_last_word() -> None:
    """What was foretold for that second was not to be."""
    brief = snapshot(pause_collection=PauseCollection("void", START + 50))
    facts = [created(START, brief), updated(START + 50, brief, snapshot("unpaid"))]
    found = history(facts, BUILT_IN)
    assert found

    assert [(s.start, s.reason) for s in found.features["pro"]] == [
        (START, "paused_void"),
        (START + 50, "unpaid"),
    ]


@given(wide_lives(), policies(), st.integers(-5, 5 * MONTH))
def test_the_past_under_any_policy_is_answered_by_its_definition(
    life: Life, policy: Policy, later: int
) -> None:
    """At every instant, and just before each change, the history answers what deciding over the facts answers."""
    found = history(life.facts, policy)
    assert found
    starts = {s.start for said in found.features.values() for s in said}
    for at in {START + later, *starts, *(start - 1 for start in starts)}:
        known = fold([f for f in life.facts if f.created <= at], policy)[1]
        expected = _record(decide(known, policy) if known else None)
        for feature in found.features:
            one, other = (entitlement(r, feature, at) for r in (expected, _record(found)))
            assert replace(one, until=None, then=None, flags=UNSET) == replace(
                other, until=None, then=None, flags=UNSET
            )


@given(wide_lives(), policies())
def test_a_life_is_ordered_and_total(life: Life, policy: Policy) -> None:
    """As any timeline: from the first fact on, and upwards. Two neighbours are alike only where something happened."""
    found = history(life.facts, policy)
    assert found
    for said in found.features.values():
        assert said[0].start == found.as_of == START
        assert [s.start for s in said] == sorted({s.start for s in said})
        seconds = {fact.created for fact in life.facts}
        assert all(a.says() != b.says() or b.start in seconds for a, b in pairwise(said))


@given(lives(), st.integers(-5, 5 * MONTH))
def test_the_past_is_answered_by_its_definition(life: Life, later: int) -> None:
    """At every instant, the history answers what deciding over the facts up to then answers."""
    at = START + later
    expected, found = at_moment(life.facts, at), _record(history(life.facts, BUILT_IN))

    for feature in ("pro", "other"):
        one, other = entitlement(expected, feature, at), entitlement(found, feature, at)
        assert replace(one, until=None, then=None) == replace(other, until=None, then=None)


@given(lives())
def test_from_the_last_event_on_it_is_the_present_decision(life: Life) -> None:
    """The history and the held decision agree on the future, `until` and `then` included."""
    last = max(f.created for f in life.facts)
    expected, found = at_moment(life.facts, last), _record(history(life.facts, BUILT_IN))

    assert entitlement(expected, "pro", last) == entitlement(found, "pro", last)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Fact]:
    """Draw a life's facts as they come: in any order, some much later than they were created."""
    life = draw(lives())
    late = st.sampled_from([0, 0, 1, 60, MONTH])
    delayed = [replace(f, received_ms=(f.created + draw(late)) * 1000) for f in life.facts]
    order = draw(st.permutations(delayed))
    return sorted(order, key=lambda fact: fact.received_ms)


moments = st.integers(START, START + 4 * MONTH)
overriding = st.tuples(
    moments,
    st.none()
    | st.builds(Override, st.sampled_from(["grant", "deny"]), st.just("why"), st.none() | moments),
)


class Wish(NamedTuple):
    """What somebody says about a feature or a subscription: null takes back what was said."""

    about: str
    access: Literal["grant", "deny"] | None
    lasts: int | None


wishes = st.builds(
    Wish,
    st.sampled_from(["pro", "other", "sub_a", "sub_b"]),
    st.sampled_from(["grant", "deny", None]),
    st.none() | st.sampled_from([1, 60, MONTH]),
)


@given(lives(), st.lists(overriding, max_size=4), st.integers(-5, 5 * MONTH))
def test_what_people_said_is_answered_by_its_definition(
    life: Life, wishes: list[tuple[int, Override | None]], later: int
) -> None:
    """At every instant the last word that had been said by then counts, until it expires."""
    at, said = START + later, sorted(wishes, key=itemgetter(0))
    words = Words(
        overrides=tuple(Word(t, "ann", "pro", o and replace(o, created=t)) for t, o in said)
    )
    told = relived(
        CustomerRecord(version=1), {"sub_a": SubscriptionRecord(life.facts)}, BUILT_IN, words=words
    )
    last = next((o for t, o in reversed(said) if t <= at), None)

    found = entitlement(told, "pro", at)
    if last and (last.expires_at is None or at < last.expires_at):
        assert (found.reason, found.granted) == (f"override_{last.access}", last.access == "grant")
    else:
        expected = entitlement(at_moment(life.facts, at), "pro", at)
        assert (found.granted, found.reason) == (expected.granted, expected.reason)
    if found.until is not None:
        last_before, then = (entitlement(told, "pro", t) for t in (found.until - 1, found.until))
        assert _in_itself(last_before) == _in_itself(found) != _in_itself(then)


def _in_itself(found: Entitlement) -> Entitlement:
    """Return an answer without what comes after it."""
    return replace(found, until=None, then=None, flags=UNSET)


PAUSES_END_ALL = parse(
    """
    [pause_collection]
    keep_as_draft = "revoke"
    mark_uncollectible = "revoke"
    """
)
LEFT_TO_PEOPLE = parse(
    """
    [status]
    trialing = { access = "review", while_pending = "revoke" }
    past_due = { access = "review", while_pending = "grant" }
    unpaid = { access = "review", while_pending = "revoke" }
    [pause_collection]
    void = { access = "review", from = "period_end", while_pending = "revoke" }
    keep_as_draft = { access = "review", while_pending = "grant" }
    mark_uncollectible = { access = "review", while_pending = "revoke" }
    """
)

SUBSCRIPTIONS = ("sub_a", "sub_b")
REVIEWED: Mapping[str, Literal["grant", "revoke"]] = {"grant": "grant", "deny": "revoke"}


class Asking(NamedTuple):
    """What is held of a customer while its history comes, and what was answered meanwhile."""

    record: CustomerRecord
    colds: dict[str, SubscriptionRecord]
    words: Words


def _absorbed(held: Asking, name: str, fact: Fact, policy: Policy, now: int) -> Asking:
    event = SubscriptionEvent(fact, WHO, name, livemode=False)
    cold = held.colds.get(name, SubscriptionRecord())
    found = absorb(Held(held.record, cold), event, policy, now)
    return Asking(found.customer, {**held.colds, name: found.subscription}, held.words)


def _reapplied(held: Asking, policy: Policy, now: int) -> Asking:
    """Decide anew what is held, as rewrite.py does."""
    if not held.record.version:
        return held
    after = redecided(Whole(WHO, held.record, held.colds), policy)
    record = superseding(held.record, after.record, now)
    return Asking(record, dict(after.subscriptions), held.words)


def _said(held: Asking, wish: Wish, policy: Policy, now: int) -> Asking:
    """Set or take back an override, or decide or undo a review, as overrides.py and reviews.py do."""
    if wish.about in SUBSCRIPTIONS:
        if wish.about not in held.record.decisions:
            return held
        if wish.access is None and wish.about not in standing(held.record.reviews):
            return held
        since = held.record.decisions[wish.about].since
        access = None if wish.access is None else REVIEWED[wish.access]
        judgement = Word(now, "ann", wish.about, Review(access, since, "why", now))
        return held._replace(**_both(judged(held.record, held.words, judgement)))
    override = wish.access and Override(
        wish.access, "why", None if wish.lasts is None else now + wish.lasts, now
    )
    word = Word(now, "ann", wish.about, override or None)
    return held._replace(**_both(overridden(held.record, held.words, word, policy.digest)))


def _both(found: tuple[CustomerRecord, Words]) -> dict[str, Any]:
    return {"record": found[0], "words": found[1]}


@given(arrivals(), arrivals(), st.data())
def test_what_was_answered_is_what_is_answered_of_then(
    one: list[Fact], other: list[Fact], data: st.DataObject
) -> None:
    """`at = known_at = T`: whatever came in whatever order, answers that were recorded meanwhile are told again.

    Events of two subscriptions, overrides and reviews that people set and took back, and another policy.
    """
    held, policy = Asking(CustomerRecord(version=0), {}, Words()), LEFT_TO_PEOPLE
    recorded: dict[int, list[Entitlement]] = {}
    come = [*(("sub_a", f) for f in one), *(("sub_b", f) for f in other)]
    soon = st.sampled_from([f.received_ms // 1000 + n for _, f in come for n in (0, 1)]) | moments
    said = data.draw(st.lists(st.tuples(soon, wishes), max_size=8))
    applied, some = data.draw(moments), data.draw(st.lists(moments, max_size=5))
    for now in sorted({applied, *(f.received_ms // 1000 for _, f in come), *some, *dict(said)}):
        for name, fact in ((n, f) for n, f in come if f.received_ms // 1000 == now):
            held = _absorbed(held, name, fact, policy, now)
        for wish in (w for at, w in said if at == now):
            held = _said(held, wish, policy, now)
        if now == applied:
            policy = PAUSES_END_ALL
            held = _reapplied(held, policy, now)
        recorded[now] = entitlements(held.record, now)

    for now, answers in recorded.items():
        if now < _kept_from(held):
            continue
        then = LEFT_TO_PEOPLE if now < applied else PAUSES_END_ALL
        told = relived(held.record, held.colds, then, now, held.words)
        assert not answers or policy_at(held.record, now) == then.digest
        for answer in answers:
            assert entitlement(told, answer.feature, now) == answer
        assert bool(told.version) == bool(answers or _heard_of(held, now))


def _heard_of(held: Asking, now: int) -> bool:
    """Tell whether anything was known of a customer, if only that an override was taken back."""
    facts = (f for cold in held.colds.values() for f in cold.facts)
    return any(f.received_ms // 1000 <= now for f in facts) or any(
        word.at <= now for word in held.words.overrides
    )


def _kept_from(held: Asking) -> int:
    """Return the instant before which the service would refuse to answer, since older facts are kept no more."""
    bases = (cold.base.at for cold in held.colds.values() if cold.base)
    return max([held.words.settled, *bases, *(cold.settled for cold in held.colds.values())])
