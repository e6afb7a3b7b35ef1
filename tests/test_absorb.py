"""One event into what is held."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.absorb import Absorbed, Held, absorb, known
from entitlements.decide import decide
from entitlements.fold import fold
from entitlements.model import (
    Change,
    CustomerRecord,
    Fact,
    PauseCollection,
    Subject,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import BUILT_IN
from entitlements.policy_file import parse
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

NOTHING = Held(CustomerRecord(version=0), SubscriptionRecord())
ACTIVE = snapshot()
VOID = snapshot(pause_collection=PauseCollection("void", START + 3 * MONTH))


def event(fact: Fact) -> SubscriptionEvent:
    """Return a fact as it comes in."""
    return SubscriptionEvent(fact, Subject("cus_1"), "sub_a", livemode=False)


def take(*facts: Fact, now: int = START + 100) -> Absorbed:
    """Absorb facts one after the other, and return what the last one made."""
    held = NOTHING
    for fact in facts:
        found = absorb(held, event(fact), BUILT_IN, now)
        held = Held(found.customer, found.subscription)
    return found


def test_the_first_event_is_applied() -> None:
    """It makes a first version, decided by a named policy, and a change that the feed can tell."""
    found = take(created(START, ACTIVE))

    assert found.outcome == "applied"
    assert (found.customer.version, found.customer.policy) == (1, BUILT_IN.digest)
    assert found.changes == (
        Change("cus_1", "pro", True, "active", 1, 1, START + 100, event="evt_created"),  # noqa: FBT003
    )


def test_a_pause_is_applied_and_due_at_its_next_flip() -> None:
    """The next change by the clock, and the start of the pause, are kept for the lists."""
    found = take(created(START, ACTIVE), updated(START + 5, ACTIVE, VOID))

    assert (found.outcome, found.lists.due, found.lists.paused_since) == (
        "applied",
        START + MONTH,
        START + 5,
    )


def test_a_renewal_is_unchanged() -> None:
    """A new event with the same decision."""
    later = snapshot(items=(item(end=START + 2 * MONTH),))
    found = take(created(START, ACTIVE), updated(START + MONTH, ACTIVE, later))

    assert (found.outcome, found.changes, found.customer.version) == ("unchanged", (), 2)


def test_an_older_event_that_changes_nothing_now_is_stale() -> None:
    """It is kept as history, in its place."""
    trial = snapshot("trialing")
    late, last = (
        updated(START + 5, trial, ACTIVE, "evt_a"),
        updated(START + 9, ACTIVE, VOID, "evt_b"),
    )
    found = take(last, late)

    assert found.outcome == "stale"
    assert [f.event for f in found.subscription.facts] == ["evt_a", "evt_b"]
    assert [f.outcome for f in found.subscription.facts] == ["stale", "applied"]


def test_an_older_event_that_changes_the_decision_is_applied() -> None:
    """The start of a pause that was only assumed: what is paid is known now."""
    later = replace(VOID, items=(item(end=START + 2 * MONTH),))
    began = updated(START + 5, ACTIVE, VOID, "evt_a")
    seen = updated(START + MONTH + 5, later, replace(later, cancel_at=START + 9 * MONTH), "evt_b")

    assert take(seen, began).outcome == "applied"


def test_a_doubt_is_ambiguous_and_for_review() -> None:
    """Until it is healed."""
    doubt = (
        point(START, ACTIVE, "resumed", "evt_a"),
        point(START, snapshot("paused"), "paused", "evt_b"),
    )

    assert (take(*doubt).outcome, take(*doubt).lists.review_since) == ("ambiguous", START)
    assert take(*doubt, updated(START + 1, ACTIVE, VOID)).lists.review_since is None


def test_what_policy_leaves_to_a_person_is_for_review() -> None:
    """From the start of the pause on, also while what was paid is still served."""
    waits = parse(
        'pause_collection.void = { access = "review", from = "period_end", while_pending = "revoke" }'
    )
    held = Held(take(created(START, ACTIVE)).customer, take(created(START, ACTIVE)).subscription)
    found = absorb(held, event(updated(START + 5, ACTIVE, VOID)), waits, START + 5)

    assert found.lists.review_since == START + 5
    assert take(created(START, ACTIVE)).lists.review_since is None


def test_a_twin_in_the_same_second_is_not_stale() -> None:
    """It is not older than what is held."""
    twins = (
        updated(START + 5, ACTIVE, VOID, "a", "req"),
        updated(START + 5, ACTIVE, VOID, "b", "req"),
    )

    assert take(created(START, ACTIVE), *twins).outcome == "unchanged"


def test_a_change_names_the_account_that_it_is_of() -> None:
    """A connected account's customers are told apart in the feed."""
    first = replace(event(created(START, ACTIVE)), subject=Subject("cus_1", "acct_1"))
    (change,) = absorb(NOTHING, first, BUILT_IN, START).changes

    assert (change.customer, change.account) == ("cus_1", "acct_1")


def test_a_pause_of_a_subscription_out_of_use_is_not_in_the_list_of_pauses() -> None:
    """The list is of those that stay in use."""
    unpaid = snapshot("unpaid", pause_collection=PauseCollection("void"))

    assert (
        take(created(START, ACTIVE), updated(START + 5, ACTIVE, unpaid)).lists.paused_since is None
    )


def test_other_subscriptions_and_overrides_stay() -> None:
    """One event touches one decision."""
    first = take(created(START, ACTIVE))
    other = replace(event(created(START, snapshot("unpaid"), "evt_x")), subscription="sub_b")
    found = absorb(Held(first.customer, SubscriptionRecord()), other, BUILT_IN, START)

    assert list(found.customer.decisions) == ["sub_a", "sub_b"]
    assert found.customer.decisions["sub_a"] == first.customer.decisions["sub_a"]


def test_what_is_held_is_known_by_its_event() -> None:
    """A repeated event finds its fact."""
    found = take(created(START, ACTIVE))
    held = Held(found.customer, found.subscription)

    assert known(held, "evt_created") == found.subscription.facts[0]
    assert known(held, "evt_other") is None


@given(lives(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_ends_in_the_same_records(life: Life, random: Random) -> None:
    """Decision and state are those of the whole fold, in whichever order the facts came."""
    shuffled = list(life.facts)
    random.shuffle(shuffled)
    found = take(*shuffled)
    facts, state = fold(life.facts, BUILT_IN)
    assert state

    assert found.customer.decisions["sub_a"] == decide(state, BUILT_IN)
    assert [f.event for f in found.subscription.facts] == [f.event for f in facts]
    assert found.subscription.state == state
