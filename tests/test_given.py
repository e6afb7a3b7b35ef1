"""What a pause has given away: whole days that were granted, not paid, and never will be charged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.compact import compacted
from entitlements.decide import decide, since
from entitlements.fold import fold
from entitlements.given import days_given_away
from entitlements.model import Fact, Item, PauseCollection, Review, Snapshot, SubscriptionRecord
from entitlements.policy import BUILT_IN, DAY, Cell, Policy
from tests.support.histories import MONTH, START, created, item, snapshot, updated

PLAIN = snapshot()
FREE = replace(BUILT_IN, pause_collection={**BUILT_IN.pause_collection, "void": Cell("grant")})
ASKED = replace(
    BUILT_IN,
    pause_collection={
        **BUILT_IN.pause_collection,
        "void": Cell("review", start="period_end", while_pending="revoke"),
    },
)
PAID = START + MONTH


def held(*facts: Fact, policy: Policy = BUILT_IN) -> SubscriptionRecord:
    """Return the record of a subscription with these facts."""
    ordered, state = fold(facts, policy)
    return SubscriptionRecord(ordered, state)


def pausing(behavior: str, resumes_at: int | None = None, *items: Item) -> Snapshot:
    """Return it with its collection paused."""
    pause = PauseCollection(behavior, resumes_at)
    return snapshot(pause_collection=pause, items=items or PLAIN.items)


def paused(
    behavior: str, at: int = START + 10 * DAY, resumes_at: int | None = None
) -> SubscriptionRecord:
    """Return one whose collection was paused ten days after it was created, paid until the thirtieth."""
    return held(created(START, PLAIN), updated(at, PLAIN, pausing(behavior, resumes_at)))


@pytest.mark.parametrize(
    ("behavior", "policy", "days"),
    [
        ("mark_uncollectible", BUILT_IN, 15),
        ("void", BUILT_IN, 0),  # revoked once what was paid is served
        ("void", FREE, 15),
        ("keep_as_draft", BUILT_IN, 0),  # to be settled later
    ],
)
def test_only_what_will_never_be_charged_is_given(behavior: str, policy: Policy, days: int) -> None:
    """Forty-five days after the creation, of which thirty were paid."""
    assert days_given_away(paused(behavior), None, policy, PAID + 15 * DAY) == days


@pytest.mark.parametrize(
    ("after", "days"), [(-DAY, 0), (DAY - 1, 0), (DAY, 1), (2 * DAY - 1, 1), (400 * DAY, 400)]
)
def test_days_are_whole_and_begin_when_what_was_paid_is_served(after: int, days: int) -> None:
    """However far renewals move the period meanwhile."""
    renewed = pausing("mark_uncollectible", None, item(end=PAID + MONTH))
    facts = (
        *paused("mark_uncollectible").facts,
        updated(PAID, pausing("mark_uncollectible"), renewed, "evt_r"),
    )

    assert days_given_away(held(*facts), None, BUILT_IN, PAID + after) == days


def test_nothing_is_given_without_a_pause_or_once_it_is_over() -> None:
    """By its end, by `resumes_at`, or because there never was one."""
    over = paused("mark_uncollectible", resumes_at=PAID + 3 * DAY)
    (*_, last) = over.facts
    unpaused = held(*over.facts, updated(PAID + DAY, last.snapshot, PLAIN, "evt_u"))

    assert days_given_away(SubscriptionRecord(), None, BUILT_IN, PAID + MONTH) == 0
    assert days_given_away(held(created(START, PLAIN)), None, BUILT_IN, PAID + MONTH) == 0
    assert days_given_away(unpaused, None, BUILT_IN, PAID + MONTH) == 0
    assert days_given_away(over, None, BUILT_IN, PAID + MONTH) == 3


def test_a_pause_counts_by_what_it_was_at_each_time() -> None:
    """What was kept as draft before it was voided is not given away, and neither is what is kept as draft later."""
    draft, free = pausing("keep_as_draft"), pausing("mark_uncollectible")
    changed = held(
        created(START, PLAIN),
        updated(START + DAY, PLAIN, draft, "evt_1"),
        updated(PAID + 10 * DAY, draft, free, "evt_2"),
        updated(PAID + 14 * DAY, free, draft, "evt_3"),
    )
    assert days_given_away(changed, None, BUILT_IN, PAID + 12 * DAY) == 2
    assert days_given_away(changed, None, BUILT_IN, PAID + MONTH) == 4


def test_a_status_that_ends_the_use_gives_nothing() -> None:
    """Not for as long as it lasts."""
    free = pausing("mark_uncollectible")
    stopped = replace(free, status="unpaid")
    there_and_back = held(
        created(START, PLAIN),
        updated(START + DAY, PLAIN, free, "evt_1"),
        updated(PAID + 2 * DAY, free, stopped, "evt_2"),
        updated(PAID + 9 * DAY, stopped, free, "evt_3"),
    )
    assert days_given_away(there_and_back, None, BUILT_IN, PAID + 10 * DAY) == 3


def test_a_behaviour_that_is_not_known_gives_nothing() -> None:
    """Nobody knows what becomes of its invoices."""
    free, odd = pausing("mark_uncollectible"), pausing("vanish")
    found = held(
        created(START, PLAIN),
        updated(START + DAY, PLAIN, free, "evt_1"),
        updated(PAID + DAY, free, odd, "evt_2"),
    )
    assert days_given_away(found, None, BUILT_IN, PAID + MONTH) == 1


def test_items_that_overlap_count_once_and_one_that_came_later_was_never_paid() -> None:
    """One is paid for twenty days longer than the other; a third came in the middle of the pause."""
    items = (item("si_1"), item("si_2", "lite", PAID + 20 * DAY))
    plain, free = snapshot(items=items), pausing("mark_uncollectible", None, *items)
    more = pausing("mark_uncollectible", None, items[1], item("si_3", "max", PAID + 90 * DAY))
    facts = (created(START, plain), updated(START + DAY, plain, free, "evt_1"))

    assert days_given_away(held(*facts), None, BUILT_IN, PAID + 25 * DAY) == 25
    added = held(*facts, updated(PAID + 5 * DAY, free, more, "evt_2"))
    assert days_given_away(added, None, BUILT_IN, PAID + 25 * DAY) == 25
    only_paid = replace(more, items=items[1:])
    removed = held(*facts, updated(PAID + 5 * DAY, free, only_paid, "evt_2"))
    assert days_given_away(removed, None, BUILT_IN, PAID + 25 * DAY) == 10


@pytest.mark.parametrize(
    ("access", "about", "days"), [("grant", 0, 15), ("revoke", 0, 0), ("grant", 1, 0)]
)
def test_a_persons_review_decides_where_policy_leaves_it_to_one(
    access: str, about: int, days: int
) -> None:
    """If it is about this very pause."""
    record = paused("void")
    assert record.state
    review = Review(access, since(record.state) + about, "a test")  # type: ignore[arg-type]  # a literal
    assert days_given_away(record, review, ASKED, PAID + 15 * DAY) == days


def test_what_is_kept_no_more_is_taken_to_have_been_as_the_earliest_that_is() -> None:
    """The pause goes back to its beginning, although the facts of that time are gone."""
    long_ago = paused("mark_uncollectible")
    (*_, last) = long_ago.facts
    renewed = replace(last.snapshot, items=(item(end=PAID + 9 * MONTH),))
    whole = held(*long_ago.facts, updated(PAID + 8 * MONTH, last.snapshot, renewed, "evt_r"))
    cut = compacted(whole, PAID + 7 * MONTH, BUILT_IN)

    assert (len(cut.facts), cut.base is not None) == (1, True)
    assert days_given_away(cut, None, BUILT_IN, PAID + 9 * MONTH) == 9 * 30


@given(
    st.sampled_from(["void", "mark_uncollectible", "keep_as_draft"]),
    st.sampled_from([BUILT_IN, FREE, ASKED]),
    st.integers(0, 90),
    st.none() | st.integers(0, 90),
)
def test_it_is_the_days_on_which_the_decision_grants_beyond_what_was_paid(
    behavior: str, policy: Policy, day: int, resumes: int | None
) -> None:
    """Counted one by one, hour by hour, from the decision that answers come from."""
    begin = START + 10 * DAY
    until = None if resumes is None else begin + resumes * DAY
    record = paused(behavior, begin, resumes_at=until)
    assert record.state
    timeline = decide(record.state, policy).features["pro"]
    at, hour = begin + day * DAY, 3_600
    counted = sum(
        hour
        for t in range(max(begin, PAID), at, hour)
        if [s for s in timeline if s.start <= t][-1].granted
        and (until is None or t < until)
        and behavior != "keep_as_draft"
    )
    assert days_given_away(record, None, policy, at) == counted // DAY


def test_an_item_without_a_period_was_never_paid() -> None:
    """So all of its pause is given."""
    bare = (Item("si_1", "pro", "price_pro"),)
    plain, free = snapshot(items=bare), pausing("mark_uncollectible", None, *bare)
    found = held(created(START, plain), updated(START + DAY, plain, free))
    assert days_given_away(found, None, BUILT_IN, START + 5 * DAY) == 4
