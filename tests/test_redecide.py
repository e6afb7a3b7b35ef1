"""The same facts under another policy."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.absorb import Held, absorb
from entitlements.decide import decide
from entitlements.fold import fold
from entitlements.model import (
    CustomerRecord,
    Override,
    PauseCollection,
    Review,
    Subject,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import BUILT_IN, DAY, Policy
from entitlements.policy_file import parse
from entitlements.redecide import (
    PAST,
    Difference,
    Whole,
    differences,
    latest,
    policy_at,
    redecided,
    superseding,
)
from entitlements.resolve import entitlement
from tests.support.histories import MONTH, START, Life, created, point, snapshot, updated
from tests.support.policies import policies, wide_lives

CUSTOMER = Subject("cus_1", "acct_1")
STRICT = parse('pause_collection.void = "revoke"\npause_collection.keep_as_draft = "revoke"')
LATER = parse('status.past_due = { access = "revoke", grace = "14d" }')


def whole(policy: Policy = BUILT_IN, **lives: Life) -> Whole:
    """Return all that is held of a customer who lived so, decided by a policy."""
    folded = {name: SubscriptionRecord(*fold(life.facts, policy)) for name, life in lives.items()}
    decided = {name: decide(cold.state, policy) for name, cold in folded.items() if cold.state}
    record = CustomerRecord(version=3, policy=policy.digest, decisions=decided)
    return Whole(CUSTOMER, record, folded)


def life(status: str = "active", behavior: str | None = None) -> Life:
    """Return a life of an active subscription that became something else after a day."""
    pause = PauseCollection(behavior) if behavior else None
    was, now = snapshot(), snapshot(status, pause_collection=pause)
    return Life((created(START, was), updated(START + DAY, was, now)), now)


def test_every_subscription_is_decided_anew() -> None:
    """One version on, by a policy that the record names; what a person said stays."""
    said = {"pro": Override("deny", "fraud")}, {"sub_a": Review("grant", START, "a promise")}
    held = whole(sub_a=life(behavior="void"), sub_b=life(behavior="keep_as_draft"))
    held = Whole(
        CUSTOMER, replace(held.record, overrides=said[0], reviews=said[1]), held.subscriptions
    )

    found = redecided(held, STRICT)

    assert found.subject == CUSTOMER
    assert (found.record.version, found.record.policy) == (4, STRICT.digest)
    assert (found.record.overrides, found.record.reviews) == said
    assert [d.features["pro"][-1].granted for d in found.record.decisions.values()] == [
        False,
        False,
    ]
    assert found.subscriptions == held.subscriptions


def test_a_decision_whose_facts_are_gone_stays() -> None:
    """There is nothing to decide it by."""
    held = whole(sub_a=life(behavior="void"))
    bare = Whole(CUSTOMER, held.record, {"sub_a": SubscriptionRecord()})

    assert redecided(bare, STRICT).record.decisions == held.record.decisions


def test_an_ambiguous_second_is_folded_again() -> None:
    """The policy chooses which of its ends holds, also where later events have settled the doubt since."""
    stopped, going = snapshot("paused"), snapshot()
    doubt = (
        point(START, going, "resumed", "evt_a"),
        point(START, stopped, "paused", "evt_b"),
    )
    due = snapshot("past_due")
    after = updated(START + 9, due, replace(due, cancel_at=START + MONTH), "evt_c")
    wary = replace(BUILT_IN, ambiguous="revoke")
    for facts in (doubt, (*doubt, after)):
        lived = Life(facts, going)
        found = redecided(whole(sub_a=lived), wary)
        assert found.subscriptions == whole(wary, sub_a=lived).subscriptions
    assert (
        redecided(whole(sub_a=Life(doubt, going)), wary)
        .record.decisions["sub_a"]
        .features["pro"][0]
        .reason
        == "paused"
    )


def test_a_difference_is_a_gain_a_loss_or_another_flip() -> None:
    """Of access at the instant asked about, and else of when it changes next."""
    at = START + 2 * DAY
    lost, flips = (
        difference(whole(sub_a=life(behavior="keep_as_draft")), STRICT, at),
        difference(whole(sub_a=life("past_due")), LATER, at),
    )

    assert (lost.kind, lost.was.granted, lost.becomes.granted) == ("loses", True, False)
    assert (lost.flip_was, lost.flip_becomes) == (None, None)
    assert (lost.customer, lost.account, lost.feature) == ("cus_1", "acct_1", "pro")
    assert (lost.was.policy, lost.becomes.policy) == (BUILT_IN.digest, STRICT.digest)
    assert (flips.kind, flips.flip_was, flips.flip_becomes) == (
        "flips",
        START + 8 * DAY,
        START + 15 * DAY,
    )
    assert difference(whole(sub_a=life("past_due")), LATER, START + 9 * DAY).kind == "gains"


def difference(held: Whole, policy: Policy, at: int) -> Difference:
    """Return the one difference that a policy makes."""
    (found,) = differences(held, redecided(held, policy), at)
    return found


def test_another_reason_for_the_same_access_is_no_difference() -> None:
    """Only who may do what, and until when, is a consequence."""
    held = whole(sub_a=life(behavior="keep_as_draft"))
    waiting = parse(
        'pause_collection.keep_as_draft = { access = "review", while_pending = "grant" }'
    )

    assert list(differences(held, redecided(held, waiting), START + 2 * DAY)) == []


def test_a_feature_that_is_renamed_is_lost_and_gained() -> None:
    """What either policy speaks of is compared, by name."""
    held = whole(sub_a=life())
    found = differences(held, redecided(held, parse('features.pro = "plus"')), START + DAY)

    assert [(d.feature, d.kind) for d in found] == [("plus", "gains"), ("pro", "loses")]


def test_what_is_compared_at_is_now_or_the_latest_event() -> None:
    """Stripe's clock may be ahead of ours; without decisions there is only now."""
    held = whole(sub_a=life(), sub_b=Life((created(START, snapshot()),), snapshot()))

    assert latest(held, START) == START + DAY
    assert latest(held, START + 2 * DAY) == START + 2 * DAY
    assert latest(Whole(CUSTOMER, CustomerRecord(version=1), {}), START) == START


# -- Laws


@given(wide_lives(), wide_lives(), policies(), policies())
def test_it_is_as_if_the_policy_had_always_held(
    one: Life, other: Life, before: Policy, after: Policy
) -> None:
    """Decided by one policy and then by another is decided by the other: no trace of the first remains."""
    found = redecided(whole(before, sub_a=one, sub_b=other), after)
    fresh = whole(after, sub_a=one, sub_b=other)

    assert found.record == replace(fresh.record, version=4)
    assert found.subscriptions == fresh.subscriptions


@given(wide_lives(), policies(), st.integers(0, 4 * MONTH))
def test_deciding_by_the_same_policy_changes_nothing(
    lived: Life, policy: Policy, later: int
) -> None:
    """But the version; nobody gains or loses."""
    held = whole(policy, sub_a=lived)
    found = redecided(held, policy)

    assert replace(found.record, version=3) == held.record
    assert list(differences(held, found, START + later)) == []


@given(wide_lives(), policies(), policies(), st.integers(0, 4 * MONTH))
def test_the_differences_are_all_there_are(
    lived: Life, before: Policy, after: Policy, later: int
) -> None:
    """A feature that is not named is granted or denied as it was, now and until the same instant."""
    held = whole(before, sub_a=lived)
    at = latest(held, START + later)
    found = redecided(held, after)
    differing = {d.feature: d for d in differences(held, found, at)}

    for feature in ("pro", "lite", "seats", "beta", *differing):
        was, becomes = (entitlement(w.record, feature, at) for w in (held, found))
        if feature in differing:
            d = differing[feature]
            assert (d.was, d.becomes) == (was, becomes)
            assert (d.kind == "flips") == (was.granted == becomes.granted)
        else:
            assert was.granted == becomes.granted


@given(wide_lives(), policies())
def test_it_is_what_absorbing_the_facts_would_have_made(lived: Life, policy: Policy) -> None:
    """Event by event under a policy, or all at once when it is applied."""
    held = Held(CustomerRecord(version=0), SubscriptionRecord())
    for fact in lived.facts:
        event = SubscriptionEvent(fact, CUSTOMER, "sub_a", livemode=False)
        absorbed = absorb(held, event, policy, START)
        held = Held(absorbed.customer, absorbed.subscription)
    found = redecided(whole(sub_a=lived), policy)

    assert found.record.decisions == held.customer.decisions
    assert found.record.policy == held.customer.policy


def test_the_policy_of_any_time_is_known_as_far_back_as_it_is_named() -> None:
    """Up to an instant the earlier one, from it on the next; before all that are named it is not known."""
    record = CustomerRecord(version=1, policy="p0")
    for n in range(1, PAST):
        record = superseding(record, replace(record, policy=f"p{n}"), START + n)
    known = [policy_at(record, START + n) for n in (-9, 0, 1, PAST - 2, PAST - 1, PAST)]
    assert known == ["p0", "p0", "p1", f"p{PAST - 2}", f"p{PAST - 1}", f"p{PAST - 1}"]

    record = superseding(record, replace(record, policy="last"), START + PAST)
    assert (policy_at(record, START), policy_at(record, START + 1)) == (None, "p1")
    record = superseding(record, replace(record, policy="one more"), START + PAST + 1)
    assert len(record.past_policies) == PAST
