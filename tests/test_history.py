"""A whole life as one decision."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.absorb import Held, absorb
from entitlements.decide import decide
from entitlements.fold import fold
from entitlements.history import history, relived
from entitlements.model import (
    CustomerRecord,
    Decision,
    Entitlement,
    Fact,
    PauseCollection,
    Subject,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import BUILT_IN, Policy
from entitlements.policy_file import parse
from entitlements.redecide import Whole, policy_at, redecided, superseding
from entitlements.resolve import entitlement, entitlements
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

    assert [(s.start, s.granted) for s in found.features["pro"]] == [
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
def test_a_life_is_ordered_total_and_minimal(life: Life, policy: Policy) -> None:
    """As any timeline: from the first fact on, upwards, and no two neighbours alike."""
    found = history(life.facts, policy)
    assert found
    for said in found.features.values():
        assert said[0].start == found.as_of == START
        assert [s.start for s in said] == sorted({s.start for s in said})
        assert all(a.says() != b.says() for a, b in pairwise(said))


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


PAUSES_END_ALL = parse(
    """
    [pause_collection]
    keep_as_draft = "revoke"
    mark_uncollectible = "revoke"
    """
)


@given(arrivals(), st.integers(START, START + 3 * MONTH), st.data())
def test_what_was_answered_is_what_is_answered_of_then(
    facts: list[Fact], applied: int, data: st.DataObject
) -> None:
    """`at = known_at = T`: answers recorded while a history came, under a policy and then another, are told again."""
    held = Held(CustomerRecord(version=0), SubscriptionRecord())
    recorded: dict[int, list[Entitlement]] = {}
    policy, moments = BUILT_IN, {applied, *(f.received_ms // 1000 for f in facts)}
    some = data.draw(st.lists(st.integers(START, START + 4 * MONTH), max_size=5))
    for now in sorted({*moments, *some}):
        for fact in (f for f in facts if f.received_ms // 1000 == now):
            held = _absorbed(held, fact, policy, now)
        if now == applied:
            policy = PAUSES_END_ALL
            held = _reapplied(held, policy, now)
        recorded[now] = entitlements(held.customer, now)

    kept = {now: found for now, found in recorded.items() if _is_kept(held.subscription, now)}
    for now, answers in kept.items():
        then = BUILT_IN if now < applied else PAUSES_END_ALL
        told = relived(held.customer, {"sub_a": held.subscription}, then, now)
        assert not answers or policy_at(held.customer, now) == then.digest
        for answer in answers:
            assert entitlement(told, answer.feature, now) == answer


def _is_kept(cold: SubscriptionRecord, now: int) -> bool:
    """Tell whether the service would answer of an instant, or refuse since older facts are kept no more."""
    return now >= max(cold.settled, cold.base.at if cold.base else 0)


def _absorbed(held: Held, fact: Fact, policy: Policy, now: int) -> Held:
    event = SubscriptionEvent(fact, Subject("cus_1"), "sub_a", livemode=False)
    found = absorb(held, event, policy, now)
    return Held(found.customer, found.subscription)


def _reapplied(held: Held, policy: Policy, now: int) -> Held:
    """Decide anew what is held, as rewrite.py does."""
    if not held.customer.version:
        return held
    whole = Whole(Subject("cus_1"), held.customer, {"sub_a": held.subscription})
    after = redecided(whole, policy)
    customer = superseding(held.customer, after.record, now)
    return Held(customer, after.subscriptions["sub_a"])
