"""Decisions under policies that a company states itself: scopes, reviews, metadata, unknown values, features."""

import pytest

from entitlements.decide import decide
from entitlements.fold import fold
from entitlements.model import (
    CustomerRecord,
    PauseCollection,
    Review,
    Snapshot,
    State,
)
from entitlements.policy import DAY, Policy
from entitlements.policy_file import parse
from entitlements.resolve import entitlement
from tests.support.histories import MONTH, START, created, item, snapshot, updated

NOW, PAID = START + 10 * DAY, START + MONTH
VOID = snapshot(pause_collection=PauseCollection("void"))

Rows = list[tuple[int, bool, str, str]]


def became(new: Snapshot, policy: Policy) -> State:
    """Return the state after an active subscription became something else, at NOW."""
    _, state = fold([created(START, snapshot()), updated(NOW, snapshot(), new)], policy)
    assert state
    return state


def rows(new: Snapshot, toml: str, feature: str = "pro") -> Rows:
    """Return the timeline of a change under a policy, as a person would write it down."""
    policy = parse(toml)
    found = decide(became(new, policy), policy).features[feature]
    return [(s.start, s.granted, s.reason, s.rule) for s in found]


VOID_RULE, DRAFT_RULE = "pause_collection.void", "pause_collection.keep_as_draft"
GRANTED, DENIED = True, False

TABLE: list[tuple[str, str, Snapshot, Rows]] = [
    (
        "a scope for the product comes before the whole policy",
        '[[scope]]\nproduct = "pro"\npause_collection.void = "grant"',
        VOID,
        [(NOW, GRANTED, "paused_void", VOID_RULE)],
    ),
    (
        "a scope for the price comes before one for the product",
        (
            '[[scope]]\nproduct = "pro"\npause_collection.void = "grant"\n'
            '[[scope]]\nprice = "price_pro"\npause_collection.void = "revoke"'
        ),
        VOID,
        [(NOW, DENIED, "paused_void", VOID_RULE)],
    ),
    (
        "a scope that has no such cell leaves it to the wider one",
        (
            '[[scope]]\nprice = "price_pro"\nstatus.unpaid = "grant"\n'
            '[[scope]]\nproduct = "pro"\npause_collection.void = "grant"'
        ),
        VOID,
        [(NOW, GRANTED, "paused_void", VOID_RULE)],
    ),
    (
        "a cell for the status comes before the one for every status",
        '[pause_collection.past_due]\nkeep_as_draft = "revoke"',
        snapshot("past_due", pause_collection=PauseCollection("keep_as_draft")),
        [
            (NOW, DENIED, "paused_keep_as_draft", DRAFT_RULE),
            (NOW + 7 * DAY, DENIED, "past_due", "status.past_due"),
        ],
    ),
    (
        "a review is pending once what is paid is served",
        '[pause_collection]\nvoid = { access = "review", from = "period_end", while_pending = "revoke" }',
        VOID,
        [(NOW, GRANTED, "paused_void", VOID_RULE), (PAID, DENIED, "review_pending", VOID_RULE)],
    ),
    (
        "a review may grant meanwhile",
        '[pause_collection]\nvoid = { access = "review", grace = "1d", while_pending = "grant" }',
        VOID,
        [
            (NOW, GRANTED, "paused_void", VOID_RULE),
            (NOW + DAY, GRANTED, "review_pending", VOID_RULE),
        ],
    ),
    (
        "support decides in the metadata while collection is paused",
        'metadata_key = "access"',
        snapshot(pause_collection=PauseCollection("void", PAID + DAY), decided="grant"),
        [
            (NOW, GRANTED, "metadata_grant", "metadata"),
            (PAID + DAY, GRANTED, "active", "status.active"),
        ],
    ),
    (
        "support decides while the subscription itself is paused",
        'metadata_key = "access"',
        snapshot("paused", decided="grant"),
        [(NOW, GRANTED, "metadata_grant", "metadata")],
    ),
    (
        "metadata says nothing where nothing is paused",
        'metadata_key = "access"',
        snapshot(decided="revoke"),
        [(NOW, GRANTED, "active", "status.active")],
    ),
    (
        "why it is paused can matter",
        '[paused]\ntrial_end_without_payment_method = "grant"',
        snapshot("paused", paused_because="trial_end_without_payment_method"),
        [(NOW, GRANTED, "paused", "status.paused")],
    ),
    (
        "a canceled subscription may be served to the end of what is paid",
        '[status]\ncanceled = { access = "revoke", from = "period_end" }',
        snapshot("canceled"),
        [
            (NOW, GRANTED, "canceled", "status.canceled"),
            (PAID, DENIED, "canceled", "status.canceled"),
        ],
    ),
    (
        "an unknown status has a cell of its own",
        '[unknown]\nstatus = "revoke"',
        snapshot("hibernating"),
        [(NOW, DENIED, "unknown_status", "unknown.status")],
    ),
]


@pytest.mark.parametrize(
    ("toml", "state", "expected"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE]
)
def test_the_table_of_own_policies(toml: str, state: Snapshot, expected: Rows) -> None:
    """Each row of a policy file gives its timeline."""
    assert rows(state, toml) == expected


def test_metadata_that_is_not_understood_is_passed_over_and_flagged() -> None:
    """A slip of the pen decides nothing, and is told."""
    policy = parse('metadata_key = "access"')
    state = became(snapshot(pause_collection=PauseCollection("void"), decided="maybe"), policy)

    assert decide(state, policy).flags == ("metadata_not_understood",)
    assert decide(state, policy).features["pro"][0].reason == "paused_void"


def test_an_item_can_give_several_features_in_several_units() -> None:
    """Each unit of the item gives so many of the feature."""
    policy = parse('[features]\npro = ["pro", { feature = "seats", quantity = 5 }]')
    found = decide(became(snapshot(items=(item(quantity=3),)), policy), policy).features

    assert {name: timeline[0].quantity for name, timeline in found.items()} == {
        "pro": 3,
        "seats": 15,
    }


@pytest.mark.parametrize(("access", "granted"), [("grant", True), ("revoke", False)])
def test_a_review_decides_this_pause_and_no_other(access: str, granted: bool) -> None:  # noqa: FBT001  a row
    """It counts while the pause that was reviewed lasts."""
    policy = parse('[pause_collection]\nvoid = { access = "review", while_pending = "revoke" }')
    decision = decide(became(VOID, policy), policy)
    review = Review(
        access="grant" if access == "grant" else "revoke", since=decision.since, reason="asked"
    )
    held = CustomerRecord(version=1, decisions={"sub_a": decision}, reviews={"sub_a": review})
    other = CustomerRecord(
        version=1,
        decisions={"sub_a": decision},
        reviews={"sub_a": Review("grant", NOW - 1, "another pause")},
    )

    answer = entitlement(held, "pro", NOW)
    assert (answer.granted, answer.reason, answer.rule) == (
        granted,
        f"review_{access}",
        f"review.{access}",
    )
    assert entitlement(other, "pro", NOW).reason == "review_pending"
