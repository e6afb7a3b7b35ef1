"""Decisions and overrides, and an instant, to answers."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.model import (
    PENDING,
    SILENCE,
    CustomerRecord,
    Decision,
    Entitlement,
    Override,
    Review,
    Segment,
    Then,
    Timeline,
)
from entitlements.resolve import (
    entitlement,
    entitlements,
    features,
    next_change,
    next_flip,
    present,
)


def yes(start: int, reason: str = "active", quantity: int = 1) -> Segment:
    """Return a stretch that grants."""
    return Segment(start, True, reason, f"status.{reason}", quantity)  # noqa: FBT003


def no(start: int, reason: str = "unpaid", quantity: int = 1) -> Segment:
    """Return a stretch that denies."""
    return Segment(start, False, reason, f"status.{reason}", quantity)  # noqa: FBT003


def record(
    overrides: dict[str, Override] | None = None, **subscriptions: Timeline
) -> CustomerRecord:
    """Return a customer with a timeline for the feature `pro` in each subscription."""
    decisions = {
        n: Decision(as_of=t[0].start, features={"pro": t}) for n, t in subscriptions.items()
    }
    return CustomerRecord(
        version=3, policy="digest", decisions=decisions, overrides=overrides or {}
    )


def ask(held: CustomerRecord, at: int) -> Entitlement:
    """Ask for the feature `pro`."""
    return entitlement(held, "pro", at)


def test_one_subscription_answers_with_its_segment() -> None:
    """Every field of an answer comes from the segment that holds, and from the next one."""
    found = ask(record(sub_a=(yes(0, quantity=4), no(10, "canceled"))), 5)

    assert found == Entitlement(
        feature="pro",
        granted=True,
        reason="active",
        rule="status.active",
        subscription="sub_a",
        quantity=4,
        until=10,
        then=Then(granted=False, reason="canceled"),
        policy="digest",
    )


def test_segments_are_half_open() -> None:
    """The instant of a change belongs to what comes after it."""
    held = record(sub_a=(yes(0), no(10)))

    assert [ask(held, at).granted for at in (9, 10)] == [True, False]


def test_any_granting_subscription_grants() -> None:
    """One that denies takes nothing away."""
    assert ask(record(sub_a=(no(0),), sub_b=(yes(0),)), 5).subscription == "sub_b"


def test_the_answer_changes_when_the_last_grant_ends() -> None:
    """`until` is merged over all of a customer's timelines."""
    found = ask(record(sub_a=(yes(0), no(10)), sub_b=(yes(0), no(20))), 5)

    assert (found.subscription, found.quantity, found.until) == ("sub_b", 2, 10)
    assert found.then == Then(granted=True, reason="active")
    assert ask(record(sub_a=(yes(0), no(10)), sub_b=(yes(0), no(20))), 10).until == 20


def test_of_several_grants_the_one_that_lasts_longest_speaks() -> None:
    """One without an end before any other, and of those that end alike the one that began last."""
    ends, lasts = (yes(0), no(10), yes(15)), (yes(0), no(20))

    assert ask(record(sub_a=lasts, sub_b=ends), 5).subscription == "sub_a"
    assert ask(record(sub_a=(yes(0),), sub_b=lasts), 5).subscription == "sub_a"
    assert ask(record(sub_a=(yes(3),), sub_b=(yes(0),)), 5).subscription == "sub_a"
    assert ask(record(sub_a=(no(0), yes(3), no(20)), sub_b=ends), 5).subscription == "sub_a"
    assert ask(record(sub_a=(yes(0),), sub_b=(yes(0),)), 5).subscription == "sub_b"


def test_of_several_denials_the_latest_speaks() -> None:
    """A subscription that ended years ago is not the reason."""
    assert (
        ask(record(sub_old=(no(0, "canceled"),), sub_new=(no(50, "incomplete"),)), 60).reason
        == "incomplete"
    )


def test_nothing_is_known_of_a_customer_without_events() -> None:
    """The answer is no, with its reason."""
    found = entitlement(CustomerRecord(version=0, policy="digest"), "pro", 5)

    assert (found.granted, found.reason, found.rule, found.subscription) == (
        False,
        "unknown_customer",
        None,
        None,
    )
    assert (found.until, found.then, found.quantity) == (None, None, 0)


def test_nothing_is_known_of_a_feature_that_nobody_sold() -> None:
    """A known customer who never had the feature is told so."""
    assert entitlement(record(sub_a=(yes(0),)), "extra", 5).reason == "unknown_feature"


def test_before_the_first_event_the_answer_is_no() -> None:
    """And it says when it will be another one."""
    found = ask(record(sub_a=(yes(10),)), 5)

    assert (found.granted, found.until, found.then) == (
        False,
        10,
        Then(granted=True, reason="active"),
    )


def test_a_silent_stretch_has_no_voice() -> None:
    """While a subscription does not speak of a feature, it is as if it were not there."""
    held = record(sub_a=(yes(0), Segment(10, *SILENCE), yes(20)))

    assert ask(held, 15).reason == "unknown_feature"
    assert ask(held, 15).until == 20


def test_an_override_comes_before_policy_until_it_expires() -> None:
    """Grant and deny both, and the answer says that it was an override."""
    grant = {"pro": Override("grant", "a promise", expires_at=20)}
    deny = {"pro": Override("deny", "fraud")}

    granted, denied = ask(record(grant, sub_a=(no(0),)), 5), ask(record(deny, sub_a=(yes(0),)), 5)

    assert (granted.granted, granted.reason, granted.rule) == (
        True,
        "override_grant",
        "override.grant",
    )
    assert (granted.until, granted.then) == (20, Then(granted=False, reason="unpaid"))
    assert (denied.granted, denied.reason, denied.until) == (False, "override_deny", None)
    assert ask(record(grant, sub_a=(no(0),)), 20).reason == "unpaid"


def test_an_override_is_of_as_many_as_were_bought() -> None:
    """Of all subscriptions together; of what nobody bought, of one."""
    grant = {"pro": Override("grant", "a promise")}

    assert (
        ask(record(grant, sub_a=(no(0, quantity=2),), sub_b=(yes(0, quantity=3),)), 5).quantity == 5
    )
    assert ask(record(grant), 5).quantity == 1


def test_an_override_can_name_a_feature_that_nobody_sold() -> None:
    """It is listed with the others."""
    held = record({"beta": Override("grant", "a friend")}, sub_a=(yes(0),))

    assert features(held) == ["beta", "pro"]
    assert [e.granted for e in entitlements(held, 5)] == [True, True]


def test_the_next_change_is_the_first_of_all_features() -> None:
    """It is when an answer that is kept must be asked again."""
    held = record({"beta": Override("grant", "a friend", expires_at=7)}, sub_a=(yes(0), no(10)))

    assert [next_change(held, at) for at in (0, 7, 10)] == [7, 10, None]


# -- Reviews

WAITS = Segment(0, False, PENDING, "pause_collection.void", 2)  # noqa: FBT003


def reviewed(
    access: Literal["grant", "revoke"], held: CustomerRecord, since: int = 0
) -> CustomerRecord:
    """Return a record in which a person decided what `sub_a` leaves to a person, and has done so since an instant."""
    return replace(held, reviews={"sub_a": Review(access, since, "a promise")})


@pytest.mark.parametrize("access", ["grant", "revoke"])
def test_a_review_comes_in_the_place_of_what_is_pending(access: Literal["grant", "revoke"]) -> None:
    """Whatever held meanwhile, the person's word holds, with its own reason and rule."""
    for meanwhile in (True, False):
        found = ask(reviewed(access, record(sub_a=(replace(WAITS, granted=meanwhile),))), 5)
        assert found.granted == (access == "grant")
        assert (found.reason, found.rule) == (f"review_{access}", f"review.{access}")
        assert (found.subscription, found.quantity) == ("sub_a", 2)


def test_a_review_decides_nothing_but_what_is_pending() -> None:
    """Before it is asked and after, the policy's own word holds."""
    found = reviewed("revoke", record(sub_a=(yes(0), replace(WAITS, start=10), yes(20))))

    assert [ask(found, at).granted for at in (0, 10, 20)] == [True, False, True]
    assert ask(found, 0).then == Then(granted=False, reason="review_revoke")
    assert [next_flip(found, "pro", at) for at in (0, 10, 20)] == [10, 20, None]


def test_a_review_is_of_one_pause_alone() -> None:
    """Another pause of the same subscription is another question, and another subscription as well."""
    held = record(sub_a=(WAITS,), sub_b=(WAITS,))

    assert ask(reviewed("grant", held, since=1), 5).reason == PENDING
    assert ask(reviewed("grant", record(sub_b=(WAITS,))), 5).reason == PENDING
    assert ask(reviewed("grant", held), 5).subscription == "sub_a"


def test_an_override_comes_before_a_review() -> None:
    """And the review holds again once the override has expired."""
    held = record({"pro": Override("deny", "fraud", expires_at=10)}, sub_a=(WAITS,))
    found = reviewed("grant", held)

    assert [ask(found, at).reason for at in (5, 10)] == ["override_deny", "review_grant"]
    assert next_flip(found, "pro", 5) == 10


def test_a_flip_is_of_access_alone() -> None:
    """Another reason or quantity is a change of the answer, and no flip."""
    held = record(sub_a=(yes(0), yes(5, "trialing", 9), no(10), no(20, "canceled"), yes(30)))

    assert [next_flip(held, "pro", at) for at in (-5, 0, 5, 10, 30)] == [0, 10, 10, 30, None]
    assert next_change(held, 0) == 5
    assert next_flip(held, "extra", 0) is None


# -- Laws

segments = st.builds(
    Segment,
    st.integers(0, 30),
    st.booleans(),
    st.sampled_from(["active", "unpaid", PENDING]),
    st.just("r"),
    st.integers(1, 3),
)
timelines = st.lists(segments, min_size=1, max_size=5, unique_by=lambda s: s.start).map(
    lambda found: tuple(sorted(found, key=lambda s: s.start))
)
overrides = st.builds(
    Override, st.sampled_from(["grant", "deny"]), st.just("why"), st.none() | st.integers(0, 30)
)
reviews = st.builds(Review, st.sampled_from(["grant", "revoke"]), st.integers(0, 1), st.just("why"))
records = st.builds(
    lambda a, b, o, r: replace(record({"pro": o} if o else {}, sub_a=a, sub_b=b), reviews=r),
    timelines,
    timelines,
    st.none() | overrides,
    st.dictionaries(st.sampled_from(["sub_a", "sub_b"]), reviews, max_size=2),
)


@given(records, st.integers(0, 35))
def test_until_is_the_first_instant_of_another_answer(held: CustomerRecord, at: int) -> None:
    """Asked at every instant before `until` the answer is the same; at `until` it is `then`, and another one."""
    now = ask(held, at)
    end = 40 if now.until is None else now.until

    assert all(_said(ask(held, t)) == _said(now) for t in range(at, end))
    if now.until is not None:
        assert _said(ask(held, now.until)) != _said(now)
        assert now.then == Then(ask(held, now.until).granted, ask(held, now.until).reason)


@given(records, st.integers(0, 35))
def test_another_subscription_never_takes_away(held: CustomerRecord, at: int) -> None:
    """What one subscription grants is granted, whatever others say."""
    alone = [
        ask(replace(held, decisions={name: decision}), at).granted
        for name, decision in held.decisions.items()
    ]

    assert ask(held, at).granted == any(alone)


@given(records, st.integers(0, 35))
def test_a_review_that_grants_never_denies_more(held: CustomerRecord, at: int) -> None:
    """Nor does one that revokes grant more: a person's word is as strong as it says."""
    more, less = (
        replace(held, reviews=dict.fromkeys(held.decisions, Review(access, 0, "why")))
        for access in ("grant", "revoke")
    )

    assert ask(less, at).granted <= ask(held, at).granted <= ask(more, at).granted


@given(records, st.integers(0, 35))
def test_the_next_flip_is_the_first_instant_of_other_access(held: CustomerRecord, at: int) -> None:
    """Asked at every instant before it the feature is granted as now; at it, not."""
    flip = next_flip(held, "pro", at)
    end = 40 if flip is None else flip

    assert {ask(held, t).granted for t in range(at, end)} <= {ask(held, at).granted}
    assert flip is None or ask(held, flip).granted != ask(held, at).granted


def _said(found: Entitlement) -> tuple[object, ...]:
    return found.granted, found.reason, found.rule, found.subscription, found.quantity


def test_an_answer_says_what_is_in_doubt_about_it() -> None:
    """The flags of the subscription that speaks come with the answer; without doubts there are none."""
    assumed = replace(record(sub_a=(yes(0),)).decisions["sub_a"], flags=("pause_start_assumed",))
    held = CustomerRecord(version=1, decisions={"sub_a": assumed})

    assert ask(held, 5).flags == ("pause_start_assumed",)
    assert ask(record(sub_a=(yes(0),)), 5).flags is UNSET
    assert entitlement(held, "extra", 5).flags is UNSET


def test_a_feature_that_may_stand_on_a_page_never_seen_is_flagged() -> None:
    """Where a subscription has more items than were sent, what nobody speaks of is not denied for sure."""
    more = replace(record(sub_a=(yes(0),)).decisions["sub_a"], flags=("has_more_items",))
    held = CustomerRecord(version=1, decisions={"sub_a": more})

    assert entitlement(held, "extra", 5).flags == ("has_more_items",)


def test_the_present_is_that_of_the_later_clock() -> None:
    """An event from a little ahead of our clock has happened; one from far ahead is a wrong clock."""
    held = record(sub_a=(yes(1_000),))

    assert [present(held, now) for now in (2_000, 990, 700, 699)] == [2_000, 1_000, 1_000, 699]
    assert present(record(), 5) == 5
