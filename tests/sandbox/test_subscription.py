"""Every transition: what becomes of the subscription, which events tell of it, what they say was before."""

from collections.abc import Callable
from copy import deepcopy
from itertools import count

import pytest

from entitlements.errors import BadRequest
from entitlements.model import KnownBehavior
from entitlements.sandbox import subscription as life
from entitlements.sandbox.shapes import Body, Terms
from entitlements.sandbox.subscription import Change

DAY = 86_400
JANUARY_31 = 1_801_353_600  # 2027-01-31T00:00:00Z
FEBRUARY_28 = JANUARY_31 + 28 * DAY
NOW = JANUARY_31 + 5 * DAY
TERMS = Terms("cus_1", "prod_1", "price_1")
UPDATED = ("customer.subscription.updated",)
DELETED = ("customer.subscription.deleted",)


def created(status: life.Opening = "active", terms: Terms = TERMS) -> Body:
    """Return a new subscription under ids that count up."""
    numbers = count(1)
    return life.create(terms, JANUARY_31, lambda prefix: f"{prefix}_{next(numbers)}", status).after


ACTIVE = created()


def test_creation_is_told_by_one_event_and_replaces_nothing() -> None:
    """A new subscription is active, invoiced, and paid up to the same day next month."""
    change = life.create(TERMS, JANUARY_31, lambda prefix: f"{prefix}_1")
    assert change.types == ("customer.subscription.created",)
    assert change.before is None
    assert (change.after["status"], change.after["latest_invoice"]) == ("active", "in_1")
    assert life.period(change.after) == (JANUARY_31, FEBRUARY_28)
    assert change.after["billing_cycle_anchor"] == JANUARY_31


def test_a_trial_bills_when_it_ends() -> None:
    """While trialing, the period is the trial, and the billing cycle starts at its end."""
    trial = created("trialing", Terms("cus_1", "prod_1", "price_1", period_end=NOW))
    assert (trial["trial_start"], trial["trial_end"]) == (JANUARY_31, NOW)
    assert trial["billing_cycle_anchor"] == life.period(trial)[1] == NOW


def test_the_first_payment_activates() -> None:
    """An incomplete subscription changes in its status alone."""
    change = life.activate(created("incomplete"), NOW, "in_2")
    assert (change.types, change.previous_attributes) == (UPDATED, {"status": "incomplete"})
    assert change.after["status"] == "active"


@pytest.mark.parametrize(("now", "start"), [(NOW, NOW), (FEBRUARY_28 + 60, FEBRUARY_28)])
def test_the_end_of_a_trial_starts_the_first_paid_period(now: int, start: int) -> None:
    """A trial that is over, or is ended early, gives way to a paid month."""
    change = life.activate(created("trialing"), now, "in_2")
    assert change.after["status"] == "active"
    assert change.after["trial_end"] == life.period(change.after)[0] == start
    assert change.previous_attributes["status"] == "trialing"
    assert not change.requested


@pytest.mark.parametrize("behavior", ["void", "keep_as_draft", "mark_uncollectible"])
def test_pausing_collection_changes_nothing_else(behavior: KnownBehavior) -> None:
    """The status stays, and `paused` is not among the events."""
    change = life.pause_collection(ACTIVE, behavior, NOW + DAY)
    assert change.types == UPDATED
    assert change.previous_attributes == {"pause_collection": None}
    assert change.after["pause_collection"] == {"behavior": behavior, "resumes_at": NOW + DAY}
    assert change.after["status"] == "active"


def test_previous_attributes_have_objects_whole() -> None:
    """A changed behaviour shows the whole pause as it was before."""
    paused = life.pause_collection(ACTIVE, "void", NOW).after
    change = life.pause_collection(paused, "keep_as_draft", NOW)
    before = {"pause_collection": {"behavior": "void", "resumes_at": NOW}}
    assert change.previous_attributes == before
    assert life.unpause(paused).previous_attributes == before


def test_an_update_that_changes_nothing_sends_nothing() -> None:
    """Unpausing what is not paused is told by no event."""
    assert life.unpause(ACTIVE).types == ()


def test_a_renewal_moves_the_period_on_from_its_anchor() -> None:
    """A cycle of the 31st goes to the last day of a shorter month, and back to the 31st."""
    march = life.renew(ACTIVE, "in_2")
    assert life.period(march.after) == (FEBRUARY_28, FEBRUARY_28 + 31 * DAY)
    assert march.previous_attributes == {
        "items": ACTIVE["items"],
        "latest_invoice": ACTIVE["latest_invoice"],
    }
    assert not march.requested


def test_a_renewal_leaves_a_pause_of_collection_alone() -> None:
    """Periods keep rolling while collection is paused: the trap that policy has to know."""
    renewed = life.renew(life.pause_collection(ACTIVE, "void").after, "in_2").after
    assert renewed["pause_collection"] == {"behavior": "void", "resumes_at": None}
    assert life.period(renewed)[1] > FEBRUARY_28


@pytest.mark.parametrize(
    ("fails", "status"), [(life.past_due, "past_due"), (life.unpaid, "unpaid")]
)
def test_failed_payments_change_the_status_alone(
    fails: Callable[[Body], Change], status: str
) -> None:
    """Stripe acts by itself: no request stands behind the event."""
    change = fails(ACTIVE)
    assert (change.after["status"], change.requested) == (status, False)
    assert change.previous_attributes == {"status": "active"}


def test_pausing_the_subscription_is_told_twice() -> None:
    """`paused` and `updated` come together; the period is cut and the reason is given."""
    change = life.pause(ACTIVE, NOW)
    assert change.types == ("customer.subscription.paused", *UPDATED)
    assert change.after["status_details"]["paused"] == {
        "type": "subscription",
        "transitioned_at": NOW,
        "subscription": {"type": "pause_requested"},
    }
    assert life.period(change.after) == (JANUARY_31, NOW)
    assert change.previous_attributes == {
        "items": ACTIVE["items"],
        "status": "active",
        "status_details": None,
    }


def test_resuming_the_subscription_is_told_twice() -> None:
    """`resumed` and `updated` come together; a new paid period begins."""
    change = life.resume(life.pause(ACTIVE, NOW).after, NOW + DAY, "in_2")
    assert change.types == ("customer.subscription.resumed", *UPDATED)
    assert (change.after["status"], change.after["status_details"]) == ("active", None)
    assert life.period(change.after)[0] == change.after["billing_cycle_anchor"] == NOW + DAY


def test_canceling_at_once_is_told_by_deleted_alone() -> None:
    """It is canceled and over in the same second."""
    change = life.cancel(ACTIVE, NOW)
    assert (change.types, change.before) == (DELETED, ACTIVE)
    assert (change.after["status"], change.after["canceled_at"]) == ("canceled", NOW)
    assert change.after["ended_at"] == NOW
    assert change.after["cancellation_details"]["reason"] == "cancellation_requested"


def test_canceling_at_period_end_waits_for_its_end() -> None:
    """It stays active up to the end of what is paid; when that comes, it is deleted as it was scheduled."""
    scheduled = life.cancel_at_period_end(ACTIVE, NOW)
    assert scheduled.types == UPDATED
    assert (scheduled.after["status"], scheduled.after["cancel_at"]) == ("active", FEBRUARY_28)
    over = life.delete(scheduled.after, FEBRUARY_28)
    assert (over.types, over.requested) == (DELETED, False)
    assert (over.after["canceled_at"], over.after["ended_at"]) == (NOW, FEBRUARY_28)


def test_deletion_without_a_schedule_is_a_failed_payment() -> None:
    """Stripe cancels by itself what nobody pays."""
    over = life.delete(life.past_due(ACTIVE).after, NOW).after
    assert (over["status"], over["canceled_at"]) == ("canceled", NOW)
    assert over["cancellation_details"]["reason"] == "payment_failed"


CANCELED = life.cancel(ACTIVE, NOW).after
REFUSED: dict[str, Callable[[], Change]] = {
    "pause collection once canceled": lambda: life.pause_collection(CANCELED, "void"),
    "cancel twice": lambda: life.cancel(CANCELED, NOW),
    "change the items of what is over": lambda: life.update(CANCELED, {"items": ACTIVE["items"]}),
    "renew what is about to end": lambda: life.renew(
        life.cancel_at_period_end(ACTIVE, NOW).after, "in_2"
    ),
    "pause on trial": lambda: life.pause(created("trialing"), NOW),
    "resume what is not paused": lambda: life.resume(ACTIVE, NOW, "in_2"),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_stripe_would_refuse_is_refused(refused: Callable[[], Change]) -> None:
    """The sentence names the subscription and what would have to be different."""
    with pytest.raises(BadRequest, match="sub_1"):
        refused()


def test_a_transition_leaves_its_subscription_alone() -> None:
    """Changes are values: the old subscription can be told of again."""
    kept = deepcopy(ACTIVE)
    life.renew(ACTIVE, "in_2")
    life.pause(ACTIVE, NOW)
    life.cancel(ACTIVE, NOW)
    assert kept == ACTIVE
