"""The chain that leads to an answer, as one value: by laws over generated lives, and case by case."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.absorb import Held as Before
from entitlements.absorb import absorb
from entitlements.compact import compacted
from entitlements.decide import decide
from entitlements.explain import explain
from entitlements.explained import Asked, Done, Explanation, Held, Quarantined
from entitlements.fold import fold
from entitlements.history import relived
from entitlements.model import (
    CustomerRecord,
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
from entitlements.resolve import entitlement
from entitlements.store.cold import NOTHING
from entitlements.store.store import NOBODY
from tests.support.histories import (
    MONTH,
    START,
    Life,
    created,
    deliveries,
    item,
    lives,
    point,
    snapshot,
    updated,
)

SUBJECT = Subject("cus_1")
PLAIN = snapshot()
LONG = replace(BUILT_IN, log_retention=400 * 86_400)
"""So that all facts of a life are kept."""

VOID = replace(PLAIN, pause_collection=PauseCollection("void"))
RENEWED = replace(VOID, items=(item(end=START + 2 * MONTH),))


def delivered(
    facts: Sequence[Fact], policy: Policy = LONG
) -> tuple[CustomerRecord, SubscriptionRecord]:
    """Take in facts as they arrive, a second apart, each not before it was created."""
    record, cold, now = NOBODY, NOTHING, START
    for fact in facts:
        now = max(now + 1, fact.created)
        told = SubscriptionEvent(
            replace(fact, received_ms=now * 1000), SUBJECT, "sub_1", livemode=False
        )
        after = absorb(Before(record, cold), told, policy, now)
        record, cold = after.customer, after.subscription
    return record, cold


def held(
    record: CustomerRecord,
    colds: dict[str, SubscriptionRecord],
    known_at: int | None = None,
    policy: Policy = LONG,
) -> Held:
    """Return what the edge would have read."""
    life = relived(record, colds, policy, known_at)
    return Held(record=life, life=life, policy=policy, in_force=policy.digest, subscriptions=colds)


def explained(
    facts: Sequence[Fact], at: int, known_at: int | None = None, feature: str | None = None
) -> Explanation:
    """Explain one subscription's answers, whose facts arrived in this order."""
    record, cold = delivered(facts)
    asked = Asked(subject=SUBJECT, at=at, known_at=known_at, feature=feature)
    return explain(asked, held(record, {"sub_1": cold}, known_at), str)


def by_definition(
    facts: Sequence[Fact], at: int, known_at: int | None
) -> tuple[CustomerRecord, list[str]]:
    """Return `decide(fold(facts created <= at and received <= known_at))` as a record, and the canonical order."""
    counted = [
        f
        for f in facts
        if f.created <= at and (known_at is None or f.received_ms // 1000 <= known_at)
    ]
    ordered, state = fold(counted, LONG)
    decisions = {"sub_1": decide(state, LONG)} if state else {}
    return CustomerRecord(version=1, decisions=decisions), [f.event for f in ordered]


def answer(found: Entitlement) -> tuple[object, ...]:
    """Return what an answer says, without what comes after it."""
    return found.granted, found.rule, found.subscription, found.quantity


instants = st.integers(START - 10, START + 6 * MONTH)


@given(st.data(), lives(), instants, st.none() | instants)
def test_it_tells_the_answer_and_the_order_of_the_definition(
    data: st.DataObject, life: Life, at: int, known_at: int | None
) -> None:
    """Whatever the order of arrival: what is explained is what `answer(at, known_at)` is, by the rules themselves."""
    record, cold = delivered(data.draw(deliveries(life.facts)))
    known = sorted({f.created for f in cold.facts} | {f.received_ms // 1000 for f in cold.facts})
    at = data.draw(st.sampled_from([at, *known]))
    found = explain(
        Asked(subject=SUBJECT, at=at, known_at=known_at, feature="pro"),
        held(record, {"sub_1": cold}, known_at),
        str,
    )
    defined, order = by_definition(cold.facts, at, known_at)
    expected = entitlement(defined, "pro", at)

    (told,) = found.answers
    assert answer(told.entitlement) == answer(expected)
    events = [event for one in found.subscriptions for event in one.events]
    assert [event.event for event in events] == order
    assert sorted(event.arrived for event in events) == [event.place for event in events]
    here = [s for s in told.timeline if s.start <= at and (s.until is None or at < s.until)]
    assert [(s.granted, s.rule, s.subscription, s.quantity) for s in here] == (
        [answer(expected)] if told.timeline and told.timeline[0].start <= at else []
    )


@given(st.data(), lives())
def test_who_was_overtaken_is_who_came_after_what_comes_later(
    data: st.DataObject, life: Life
) -> None:
    """And by whom: the first of those that came earlier."""
    found = explained(data.draw(deliveries(life.facts)), START + 6 * MONTH)
    (one,) = found.subscriptions
    arrived = {event.event: event.arrived for event in one.events}
    for event in one.events:
        later = [e for e in one.events if e.place > event.place and e.arrived < event.arrived]
        first = min(later, key=lambda e: arrived[e.event], default=None)
        assert event.overtaken_by == (first and first.event)


def test_each_event_says_what_it_changed() -> None:
    """By what it says of itself, or else against what was held."""
    facts = [
        created(START, PLAIN),
        updated(START + 10, PLAIN, VOID, "evt_a"),
        updated(START + MONTH, VOID, RENEWED, "evt_b"),
        point(START + MONTH + 5, replace(RENEWED, status="canceled"), "deleted", "evt_c"),
    ]
    (one,) = explained(facts, START + 2 * MONTH).subscriptions
    first, pause, renewal, end = one.events

    assert first.says.startswith("status active; items.si_1 added: product pro")
    assert pause.says == "collection paused with void until unset"
    assert renewal.says == (f"items.si_1.current_period_end {START + MONTH} -> {START + 2 * MONTH}")
    assert end.says == "status active -> canceled"
    assert (pause.created, pause.received_at, pause.delay) == (START + 10, START + 10, 0)
    assert not any(event.gap for event in one.events)


def test_a_gap_is_told_where_an_event_changed_what_nobody_had_told_of() -> None:
    """Then one between may have been lost; a twin, which tells the same again, leaves none."""
    facts = [
        created(START, PLAIN),
        updated(START + MONTH, VOID, RENEWED, "evt_b", "req_b"),
        updated(START + MONTH, VOID, RENEWED, "evt_b_twin", "req_b"),
    ]
    (one,) = explained(facts, START + MONTH).subscriptions
    assert [event.gap for event in one.events] == [False, True, False]
    assert one.flags[0].flag == "pause_start_assumed"
    assert "no event tells when the pause began" in one.flags[0].says


def test_a_pause_is_told_as_it_is_counted() -> None:
    """With what was paid when it began, which renewals do not move."""
    facts = [
        created(START, PLAIN),
        updated(START + 10, PLAIN, VOID),
        updated(START + MONTH, VOID, RENEWED, "evt_b"),
    ]
    found = explained(facts, START + MONTH + 1)
    (one,), (told,) = found.subscriptions, found.answers
    assert one.pause is not None
    assert (one.pause.since, one.pause.paid_until) == (START + 10, {"si_1": START + MONTH})
    assert (one.status, one.pause_collection, one.since) == (
        "active",
        PauseCollection("void"),
        START + 10,
    )
    assert told.says.startswith("denied: collection is paused, invoices are voided")
    assert [(s.start, s.until, s.granted) for s in told.timeline] == [
        (START, START + 10, True),
        (START + 10, START + MONTH, True),
        (START + MONTH, None, False),
    ]


def test_it_says_until_when_and_what_then() -> None:
    """As the entitlement beside it."""
    resumed = replace(PLAIN, pause_collection=PauseCollection("void", START + 3 * MONTH))
    facts = [created(START, PLAIN), updated(START + 10, PLAIN, resumed)]
    says = {
        at: explained(facts, at).answers[0].says.partition(", until ")[2]
        for at in (START + 20, START + 2 * MONTH)
    }
    assert says == {
        START + 20: f"{START + MONTH}; then denied (paused_void)",
        START + 2 * MONTH: f"{START + 3 * MONTH}; then granted (active)",
    }


def test_a_doubt_names_its_events_and_what_settles_it() -> None:
    """Two points of one second, of which either can be the last."""
    paused, draft = (
        replace(VOID, status="paused"),
        replace(PLAIN, pause_collection=PauseCollection("keep_as_draft")),
    )
    facts = [
        created(START, PLAIN),
        updated(START + 10, PLAIN, VOID),
        point(START + 20, paused, "paused", "evt_b"),
        point(START + 20, draft, "resumed", "evt_c"),
    ]
    (one,) = explained(facts, START + 30).subscriptions
    assert one.doubt is not None
    assert (one.doubt.at, set(one.doubt.events)) == (START + 20, {"evt_b", "evt_c"})
    assert "would grant most" in one.doubt.says
    assert "a read from Stripe" in one.doubt.says
    assert [flag.flag for flag in one.flags] == ["ambiguous"]


def test_what_comes_later_is_left_out_and_counted() -> None:
    """Created after the instant, or received after the other."""
    facts = [created(START, PLAIN), updated(START + 10, PLAIN, VOID)]
    late = explained(facts, START + 5)
    unheard = explained(facts, START + 20, START + 5)

    assert [len(found.subscriptions[0].events) for found in (late, unheard)] == [1, 1]
    assert late.notes == (f"Left out: 1 events that were created after {START + 5}.",)
    assert unheard.notes == (
        f"Left out: 1 events that were created after {START + 20} or received after {START + 5}.",
    )


def test_before_the_first_event_there_is_no_subscription() -> None:
    """The answer is no, and everything is left out."""
    found = explained([created(START, PLAIN)], START - 5, feature="pro")
    assert found.subscriptions == ()
    assert found.answers[0].says == (
        f"denied: no subscription of the customer speaks of this feature, until {START}; then granted (active)"
    )
    assert found.answers[0].timeline[0].start == START


def test_what_is_older_than_what_is_kept_is_said_to_be() -> None:
    """The state that it led to is what the first event is compared with."""
    record, cold = delivered([created(START, PLAIN), updated(START + MONTH, PLAIN, VOID)])
    kept = compacted(cold, START + 10, LONG)
    assert len(kept.facts) == 1
    found = explain(Asked(subject=SUBJECT, at=START + MONTH), held(record, {"sub_1": kept}), str)
    (one,) = found.subscriptions
    assert one.kept_from == START
    assert [event.says for event in one.events] == ["collection paused with void until unset"]


def test_who_was_never_heard_of_is_explained_too() -> None:
    """As not known; a feature that is asked about is denied."""
    nobody = held(NOBODY, {})
    asked = Asked(subject=Subject("cus_9", "acct_1"), at=START)
    found = explain(asked, nobody, str)
    assert (found.customer, found.account, found.version) == ("cus_9", "acct_1", 0)
    assert (found.answers, found.subscriptions) == ((), ())
    assert found.notes == ("Nothing was ever heard of this customer.",)
    (told,) = explain(replace(asked, feature="pro"), nobody, str).answers
    assert (told.says, told.timeline) == ("denied: nothing was ever heard of this customer", ())


def test_what_is_refused_is_told_with_why() -> None:
    """No answer is made up for an instant that is longer ago than what is kept."""
    refused = replace(held(NOBODY, {}), refused="It is not known any more.")
    found = explain(Asked(subject=SUBJECT, at=START, feature="pro"), refused, str)
    assert (found.refused, found.answers, found.notes) == ("It is not known any more.", (), ())


def test_a_policy_that_is_not_in_force_any_more_is_told() -> None:
    """Asked about what was known at an instant it is the one that held then."""
    record, cold = delivered([created(START, PLAIN)])
    behind = replace(held(record, {"sub_1": cold}), in_force="another")
    asked = Asked(subject=SUBJECT, at=START + 5)
    (note,) = explain(asked, behind, str).notes
    assert note.startswith(f"Decided by the policy {LONG.digest}, while another is in force")
    assert explain(replace(asked, known_at=START + 5), behind, str).notes == ()


def test_overrides_and_reviews_are_told_where_they_count() -> None:
    """Beside the feature and the subscription that they are about, with whatever else people did."""
    policy = parse('[pause_collection]\nvoid = { access = "review", while_pending = "revoke" }\n')
    record, cold = delivered([created(START, PLAIN), updated(START + 10, PLAIN, VOID)], policy)
    override = Override("deny", "chargeback", START + MONTH)
    review = Review("grant", START + 10, "a good customer")
    record = replace(record, overrides={"pro": override}, reviews={"sub_1": review})
    told = replace(
        held(record, {"sub_1": cold}, policy=policy),
        done=(Done(START, "ann", "override.set", "chargeback", ""),),
        quarantined=(Quarantined("evt_odd", "invoice.paid", START, "why"),),
    )
    found = explain(Asked(subject=SUBJECT, at=START + 20), told, str)
    assert [one.override for one in found.answers] == [override]
    assert found.answers[0].entitlement.reason == "override_deny"
    assert [one.review for one in found.subscriptions] == [review]
    assert (found.done, found.quarantined) == (told.done, told.quarantined)


def test_several_subscriptions_are_told_one_by_one() -> None:
    """The answer says which of them it is by, at each instant; what changes nothing of it is no stretch of its own."""
    unpaid = replace(PLAIN, status="unpaid")
    gone = replace(PLAIN, status="canceled")
    first = delivered(
        [
            created(START, PLAIN),
            updated(START + 10, PLAIN, unpaid),
            point(START + 15, gone, "deleted", "evt_deleted"),
        ]
    )
    second = delivered([created(START + 5, replace(PLAIN, items=(item("si_2"),)))])
    record = replace(
        first[0],
        decisions={"sub_1": first[0].decisions["sub_1"], "sub_2": second[0].decisions["sub_1"]},
    )
    both = held(record, {"sub_1": first[1], "sub_2": second[1]})
    found = explain(Asked(subject=SUBJECT, at=START + 20), both, str)
    assert [one.id for one in found.subscriptions] == ["sub_1", "sub_2"]
    (told,) = found.answers
    assert [(s.subscription, s.quantity) for s in told.timeline] == [
        ("sub_1", 1),
        ("sub_2", 2),
        ("sub_2", 1),
    ]
