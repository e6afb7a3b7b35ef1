"""The decision table, row by row, and the laws of timelines."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.decide import cut, decide, either, minimal, same, segment_at, timeline, verdict
from entitlements.fold import fold
from entitlements.model import (
    PENDING,
    Decision,
    Fact,
    PauseCollection,
    Segment,
    Snapshot,
    State,
    Timeline,
)
from entitlements.policy import (
    BEHAVIORS,
    BUILT_IN,
    DAY,
    GRANT,
    PAUSABLE,
    REVOKE,
    STATUSES,
    Policy,
)
from entitlements.policy_dump import dump
from entitlements.policy_file import parse
from tests.support.histories import (
    MONTH,
    START,
    Life,
    behaviors,
    created,
    item,
    lives,
    point,
    snapshot,
    updated,
)
from tests.support.policies import policies, state_of, states, wide_lives

NOW = START + 10 * DAY
"""When the change under test happens, in the middle of a paid month."""

PAID = START + MONTH
RESUMES = START + 3 * MONTH

Rows = list[tuple[int, bool, str]]


def paused(
    behavior: str, status: str = "active", resumes_at: int | None = None, **fields: object
) -> Snapshot:
    """Return a subscription whose collection is paused."""
    return snapshot(status, pause_collection=PauseCollection(behavior, resumes_at), **fields)


def changed(new: Snapshot) -> State:
    """Return the state after an active subscription became something else, at NOW."""
    _, state = fold([created(START, snapshot()), updated(NOW, snapshot(), new)], BUILT_IN)
    assert state
    return state


def rows(state: State, policy: Policy = BUILT_IN) -> Rows:
    """Return a timeline as a person would write it down."""
    return [(s.start, s.granted, s.reason) for s in decide(state, policy).features["pro"]]


TABLE: list[tuple[str, Snapshot, Rows]] = [
    ("trialing", snapshot("trialing"), [(NOW, True, "trialing")]),
    ("active", snapshot("active", cancel_at=None), [(NOW, True, "active")]),
    (
        "past due: seven days of grace",
        snapshot("past_due"),
        [(NOW, True, "past_due"), (NOW + 7 * DAY, False, "past_due")],
    ),
    ("unpaid", snapshot("unpaid"), [(NOW, False, "unpaid")]),
    ("canceled", snapshot("canceled"), [(NOW, False, "canceled")]),
    ("incomplete", snapshot("incomplete"), [(NOW, False, "incomplete")]),
    ("incomplete, expired", snapshot("incomplete_expired"), [(NOW, False, "incomplete_expired")]),
    ("paused, the status", snapshot("paused"), [(NOW, False, "paused")]),
    ("keep as draft", paused("keep_as_draft"), [(NOW, True, "paused_keep_as_draft")]),
    (
        "mark uncollectible",
        paused("mark_uncollectible"),
        [(NOW, True, "paused_mark_uncollectible")],
    ),
    (
        "void: to the end of what is paid",
        paused("void"),
        [(NOW, True, "paused_void"), (PAID, False, "paused_void")],
    ),
    (
        "void until a date: back at it",
        paused("void", resumes_at=RESUMES),
        [(NOW, True, "paused_void"), (PAID, False, "paused_void"), (RESUMES, True, "active")],
    ),
    (
        "void that resumes within what is paid: never revoked",
        paused("void", resumes_at=PAID - DAY),
        [(NOW, True, "paused_void"), (PAID - DAY, True, "active")],
    ),
    (
        "keep as draft until a date: only the reason changes",
        paused("keep_as_draft", resumes_at=RESUMES),
        [(NOW, True, "paused_keep_as_draft"), (RESUMES, True, "active")],
    ),
    (
        "a date that has passed pauses nothing",
        paused("void", resumes_at=NOW - 1),
        [(NOW, True, "active")],
    ),
    (
        "a date reached this second pauses nothing",
        paused("void", resumes_at=NOW),
        [(NOW, True, "active")],
    ),
    (
        "void over a trial: to the end of the trial",
        paused("void", "trialing"),
        [(NOW, True, "paused_void"), (PAID, False, "paused_void")],
    ),
    (
        "void over past due: the grace ends first",
        paused("void", "past_due"),
        [(NOW, True, "paused_void"), (NOW + 7 * DAY, False, "past_due")],
    ),
    (
        "keep as draft over past due: the old debt still counts",
        paused("keep_as_draft", "past_due"),
        [(NOW, True, "paused_keep_as_draft"), (NOW + 7 * DAY, False, "past_due")],
    ),
    (
        "a pause over a status that revokes",
        paused("keep_as_draft", "unpaid"),
        [(NOW, False, "unpaid")],
    ),
    (
        "to be canceled at a date",
        snapshot(cancel_at=NOW + DAY),
        [(NOW, True, "active"), (NOW + DAY, False, "canceled")],
    ),
    (
        "to be canceled at the period's end, without a date",
        snapshot(cancel_at_period_end=True),
        [(NOW, True, "active"), (PAID, False, "canceled")],
    ),
    (
        "void, and to be canceled before it resumes",
        paused("void", resumes_at=RESUMES, cancel_at=PAID),
        [(NOW, True, "paused_void"), (PAID, False, "canceled")],
    ),
    ("an unknown status: as before", snapshot("hibernating"), [(NOW, True, "unknown_status")]),
    ("an unknown behaviour: as before", paused("postpone"), [(NOW, True, "unknown_behavior")]),
]


@pytest.mark.parametrize(
    ("state", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_table(state: Snapshot, expected: Rows) -> None:
    """Each row of the built-in policy gives its timeline."""
    assert rows(changed(state)) == expected


# -- Rows of stated policies: the file, what the subscription became at NOW, and its timeline

VOID_SOON = 'pause_collection.void = "revoke"'
BY_METADATA = f'{VOID_SOON}\nmetadata_key = "access"'

STATED: list[tuple[str, str, Snapshot, Rows]] = [
    # status
    (
        "a status that grants is revoked",
        'status.trialing = "revoke"',
        snapshot("trialing"),
        [(NOW, False, "trialing")],
    ),
    (
        "a status that revokes is granted",
        'status.unpaid = "grant"',
        snapshot("unpaid"),
        [(NOW, True, "unpaid")],
    ),
    (
        "a grace of its own length",
        'status.past_due = { access = "revoke", grace = "1h" }',
        snapshot("past_due"),
        [(NOW, True, "past_due"), (NOW + 3600, False, "past_due")],
    ),
    (
        "a person decides, denied meanwhile",
        'status.unpaid = { access = "review", while_pending = "revoke" }',
        snapshot("unpaid"),
        [(NOW, False, "review_pending")],
    ),
    (
        "a person decides, granted meanwhile",
        'status.unpaid = { access = "review", while_pending = "grant" }',
        snapshot("unpaid"),
        [(NOW, True, "review_pending")],
    ),
    (
        "a person decides after a grace",
        'status.past_due = { access = "review", grace = "1d", while_pending = "revoke" }',
        snapshot("past_due"),
        [(NOW, True, "past_due"), (NOW + DAY, False, "review_pending")],
    ),
    # canceled
    (
        "canceled: served to the end of what is paid",
        'status.canceled = { access = "revoke", from = "period_end" }',
        snapshot("canceled"),
        [(NOW, True, "canceled"), (PAID, False, "canceled")],
    ),
    (
        "canceled: a grace beyond what is paid",
        'status.canceled = { access = "revoke", from = "period_end", grace = "1d" }',
        snapshot("canceled"),
        [(NOW, True, "canceled"), (PAID + DAY, False, "canceled")],
    ),
    (
        "to be canceled: a grace from then on",
        'status.canceled = { access = "revoke", grace = "1d" }',
        snapshot(cancel_at=NOW + DAY),
        [(NOW, True, "active"), (NOW + DAY, True, "canceled"), (NOW + 2 * DAY, False, "canceled")],
    ),
    (
        "to be canceled within what is paid: served to its end",
        'status.canceled = { access = "revoke", from = "period_end" }',
        snapshot(cancel_at=NOW + DAY),
        [(NOW, True, "active"), (NOW + DAY, True, "canceled"), (PAID, False, "canceled")],
    ),
    (
        "to be canceled after what is paid: then",
        'status.canceled = { access = "revoke", from = "period_end" }',
        snapshot(cancel_at=PAID + DAY),
        [(NOW, True, "active"), (PAID + DAY, False, "canceled")],
    ),
    (
        "past due and to be canceled: nothing is paid to be served",
        'status.canceled = { access = "revoke", from = "period_end" }',
        snapshot("past_due", cancel_at=NOW + DAY),
        [(NOW, True, "past_due"), (NOW + DAY, False, "canceled")],
    ),
    (
        "to be canceled, and then a person decides",
        'status.canceled = { access = "review", while_pending = "grant" }',
        snapshot(cancel_at=NOW + DAY),
        [(NOW, True, "active"), (NOW + DAY, True, "review_pending")],
    ),
    # paused, the status: Stripe cuts the period short
    (
        "paused: served to the end of the period that was cut",
        'status.paused = { access = "revoke", from = "period_end" }',
        snapshot("paused", items=(item(end=NOW),)),
        [(NOW, True, "paused"), (PAID, False, "paused")],
    ),
    (
        "paused and to be canceled: the same paid period",
        'status.canceled = { access = "revoke", from = "period_end" }',
        snapshot("paused", items=(item(end=NOW),), cancel_at=NOW + DAY),
        [(NOW, False, "paused"), (NOW + DAY, True, "canceled"), (PAID, False, "canceled")],
    ),
    (
        "paused for a reason that is stated",
        'status.paused = "grant"\npaused.final_payment_failure = "revoke"',
        snapshot("paused", paused_because="final_payment_failure"),
        [(NOW, False, "paused")],
    ),
    (
        "paused for a reason that is not",
        'status.paused = "grant"\npaused.final_payment_failure = "revoke"',
        snapshot("paused", paused_because="pause_requested"),
        [(NOW, True, "paused")],
    ),
    (
        "paused for a reason that is not known",
        'status.paused = "grant"\npaused.final_payment_failure = "revoke"',
        snapshot("paused", paused_because="a_new_reason"),
        [(NOW, True, "paused")],
    ),
    # pauses of collection
    ("void at once", VOID_SOON, paused("void"), [(NOW, False, "paused_void")]),
    (
        "void at once, until it resumes",
        VOID_SOON,
        paused("void", resumes_at=RESUMES),
        [(NOW, False, "paused_void"), (RESUMES, True, "active")],
    ),
    (
        "drafts for a while",
        'pause_collection.keep_as_draft = { access = "revoke", grace = "30d" }',
        paused("keep_as_draft"),
        [(NOW, True, "paused_keep_as_draft"), (NOW + 30 * DAY, False, "paused_keep_as_draft")],
    ),
    (
        "a grace after what is paid",
        'pause_collection.void = { access = "revoke", from = "period_end", grace = "2d" }',
        paused("void"),
        [(NOW, True, "paused_void"), (PAID + 2 * DAY, False, "paused_void")],
    ),
    (
        "a person decides after what is paid",
        'pause_collection.void = { access = "review", from = "period_end", while_pending = "revoke" }',
        paused("void"),
        [(NOW, True, "paused_void"), (PAID, False, "review_pending")],
    ),
    (
        "a person decides, until it resumes",
        'pause_collection.void = { access = "review", while_pending = "grant" }',
        paused("void", resumes_at=RESUMES),
        [(NOW, True, "review_pending"), (RESUMES, True, "active")],
    ),
    (
        "within one status alone",
        f'{VOID_SOON}\npause_collection.trialing.void = "grant"',
        paused("void", "trialing"),
        [(NOW, True, "paused_void")],
    ),
    (
        "and not within another",
        f'{VOID_SOON}\npause_collection.trialing.void = "grant"',
        paused("void"),
        [(NOW, False, "paused_void")],
    ),
    (
        "what is pending by the status waits before the pause",
        'status.past_due = { access = "review", while_pending = "revoke" }',
        paused("keep_as_draft", "past_due"),
        [(NOW, False, "review_pending")],
    ),
    # what support wrote into the metadata
    (
        "metadata grants while collection is paused",
        BY_METADATA,
        paused("void", resumes_at=RESUMES, decided="grant"),
        [(NOW, True, "metadata_grant"), (RESUMES, True, "active")],
    ),
    (
        "metadata revokes while collection is paused",
        BY_METADATA,
        paused("keep_as_draft", resumes_at=RESUMES, decided="revoke"),
        [(NOW, False, "metadata_revoke"), (RESUMES, True, "active")],
    ),
    (
        "metadata grants while the subscription is paused",
        BY_METADATA,
        snapshot("paused", decided="grant"),
        [(NOW, True, "metadata_grant")],
    ),
    (
        "metadata says nothing of what is not paused",
        BY_METADATA,
        snapshot(decided="revoke"),
        [(NOW, True, "active")],
    ),
    (
        "metadata says nothing of a pause over a status that decides by itself",
        BY_METADATA,
        paused("void", "unpaid", decided="grant"),
        [(NOW, False, "unpaid")],
    ),
    (
        "metadata does not outlast the subscription",
        BY_METADATA,
        paused("void", cancel_at=NOW + DAY, decided="grant"),
        [(NOW, True, "metadata_grant"), (NOW + DAY, False, "canceled")],
    ),
    (
        "metadata in other words leaves it to the policy",
        BY_METADATA,
        paused("void", decided="Grant"),
        [(NOW, False, "paused_void")],
    ),
    (
        "metadata that no policy asks for",
        VOID_SOON,
        paused("void", decided="grant"),
        [(NOW, False, "paused_void")],
    ),
    # values that are not known
    (
        "an unknown status, revoked",
        'unknown.status = "revoke"',
        snapshot("hibernating"),
        [(NOW, False, "unknown_status")],
    ),
    (
        "an unknown status, whatever an unknown behaviour means",
        'unknown.behavior = "revoke"',
        snapshot("hibernating"),
        [(NOW, True, "unknown_status")],
    ),
    (
        "an unknown behaviour, and a person decides",
        'unknown.behavior = { access = "review", while_pending = "revoke" }',
        paused("postpone"),
        [(NOW, False, "review_pending")],
    ),
]


@pytest.mark.parametrize(
    ("stated", "state", "expected"), [row[1:] for row in STATED], ids=[row[0] for row in STATED]
)
def test_the_rows_of_stated_policies(stated: str, state: Snapshot, expected: Rows) -> None:
    """Each thing that a cell can say gives its timeline."""
    assert rows(changed(state), parse(stated)) == expected


def test_an_unknown_value_first_of_all_is_what_its_cell_says() -> None:
    """Nothing is held, so nothing can go on; a cell decides all the same."""
    state = fold([created(START, snapshot("hibernating"))], BUILT_IN)[1]
    assert state

    assert rows(state, parse('unknown.status = "grant"')) == [(START, True, "unknown_status")]


def test_the_rule_of_an_unknown_value_tells_whether_a_cell_decided() -> None:
    """As before is a rule of its own."""
    state = changed(snapshot("hibernating"))
    rules = [
        decide(state, parse(text)).features["pro"][0].rule
        for text in ("", 'unknown.status = "grant"')
    ]

    assert rules == ["unknown", "unknown.status"]


def test_something_unknown_first_of_all_is_revoked() -> None:
    """Where nothing is held, an unknown value grants nothing, and a person is told."""
    _, state = fold([created(START, snapshot("hibernating"))], BUILT_IN)
    assert state

    assert rows(state) == [(START, False, "unknown_status")]
    assert decide(state, BUILT_IN).flags == ("not_understood",)


def test_a_void_pause_over_three_renewals_ends_with_the_first_period() -> None:
    """Renewals roll the period on while nothing is charged: what was paid when the pause began is what is served."""
    state, facts = paused("void"), [updated(NOW, snapshot(), paused("void"), "evt_0")]
    for month in (1, 2, 3):
        later = replace(state, items=(item(end=PAID + month * MONTH),))
        facts.append(updated(START + month * MONTH, state, later, f"evt_{month}"))
        state = later
        folded = fold(facts, BUILT_IN)[1]
        assert folded
        assert (
            segment_at(decide(folded, BUILT_IN).features["pro"], START + month * MONTH).granted
            is False
        )


def test_a_cancellation_to_come_serves_what_was_paid_when_the_pause_began() -> None:
    """Renewals of a paused subscription are not paid, whenever it will end."""
    policy = parse('status.canceled = { access = "revoke", from = "period_end" }')
    ending = paused("void", cancel_at=NOW + DAY, items=(item(end=PAID + MONTH),))
    facts = updated(NOW - 9, snapshot(), paused("void"), "a"), updated(NOW, paused("void"), ending)

    assert rows(_state(facts, policy), policy) == [
        (NOW, True, "paused_void"),
        (NOW + DAY, True, "canceled"),
        (PAID, False, "canceled"),
    ]


def test_an_unknown_value_may_look_like_anything() -> None:
    """What is unknown is told from what its value is."""
    state = changed(snapshot("a=b"))

    assert rows(state, parse('unknown.status = "revoke"')) == [(NOW, False, "unknown_status")]


def test_two_items_end_with_their_own_periods() -> None:
    """Each feature is served for as long as its own item is paid."""
    items = item(), item("si_2", "extra", end=PAID + MONTH)
    state = changed(paused("void", items=items))
    state = (
        fold([updated(NOW, snapshot(items=items), paused("void", items=items))], BUILT_IN)[1]
        or state
    )
    features = decide(state, BUILT_IN).features

    assert [s.start for s in features["pro"]] == [NOW, PAID]
    assert [s.start for s in features["extra"]] == [NOW, PAID + MONTH]


def test_an_item_added_during_a_void_pause_is_not_served() -> None:
    """Nothing was ever paid for it."""
    state = changed(paused("void", items=(item(), item("si_2", "extra"))))

    assert [s.granted for s in decide(state, BUILT_IN).features["extra"]] == [False]


def test_items_of_one_product_add_up_while_they_are_granted() -> None:
    """Two items of one feature: the quantity is that of those which grant."""
    items = item(quantity=2), item("si_2", end=PAID + MONTH, quantity=3)
    state = fold([updated(NOW, snapshot(items=items), paused("void", items=items))], BUILT_IN)[1]
    assert state
    found = decide(state, BUILT_IN).features["pro"]

    assert [(s.start, s.granted, s.quantity) for s in found] == [
        (NOW, True, 5),
        (PAID, True, 3),
        (PAID + MONTH, False, 5),
    ]


def test_each_item_is_decided_by_its_own_scope() -> None:
    """Two items of one subscription, of which one has a rule of its own."""
    items = item(), item("si_2", "extra")
    policy = parse(f'{VOID_SOON}\n[[scope]]\nproduct = "extra"\npause_collection.void = "grant"')
    found = decide(changed(paused("void", items=items)), policy).features

    assert [s.granted for s in found["pro"]] == [False]
    assert [s.granted for s in found["extra"]] == [True]


def test_an_item_gives_features_in_quantities() -> None:
    """Each unit of the item gives so many of the feature."""
    policy = parse('features.pro = ["pro", { feature = "seats", quantity = 5 }]')
    found = decide(changed(snapshot(items=(item(quantity=3),))), policy).features

    assert {name: said[0].quantity for name, said in found.items()} == {"pro": 3, "seats": 15}


def test_several_items_give_one_feature() -> None:
    """What grants adds up; what is not mapped gives its product's name, and what maps to nothing gives nothing."""
    policy = parse(
        'features.pro = { feature = "seats", quantity = 5 }\nfeatures.gift = []'
        '\nfeatures.price_extra = [{ feature = "seats", quantity = 2 }, "seats"]'
        '\n[[scope]]\nprice = "price_pro"\nstatus.past_due = "revoke"'
    )
    items = item(quantity=2), item("si_2", "extra"), item("si_3", "gift"), item("si_4", "team")
    found = decide(changed(snapshot("past_due", items=items)), policy).features

    assert sorted(found) == ["seats", "team"]
    assert [(s.start, s.granted, s.quantity) for s in found["seats"]] == [
        (NOW, True, 2 + 1),
        (NOW + 7 * DAY, False, 2 * 5 + 2 + 1),
    ]


WAITS, STANDS = Segment(0, True, PENDING, "r"), Segment(0, True, "active", "s")  # noqa: FBT003
WAITS_IN_VAIN, ENDED = Segment(0, False, PENDING, "r"), Segment(0, False, "canceled", "s")  # noqa: FBT003


@pytest.mark.parametrize(
    ("one", "other", "spoken", "quantity"),
    [
        (STANDS, WAITS, STANDS, 2),
        (STANDS, WAITS_IN_VAIN, STANDS, 1),
        (STANDS, ENDED, STANDS, 1),
        (WAITS, WAITS_IN_VAIN, WAITS, 1),
        (WAITS, ENDED, WAITS, 1),
        (WAITS_IN_VAIN, ENDED, WAITS_IN_VAIN, 2),
    ],
)
def test_of_two_items_the_one_speaks_that_a_review_can_take_nothing_from(
    one: Segment, other: Segment, spoken: Segment, quantity: int
) -> None:
    """A grant that waits for a person gives way to one that stands, and a plain denial to one that waits."""
    for pair in ((one, other), (other, one)):
        (found,) = either((pair[0],), (pair[1],))
        assert found == replace(spoken, quantity=quantity)


def test_of_two_items_that_say_the_same_the_first_one_speaks() -> None:
    """Whatever their reasons."""
    other = Segment(0, True, "trialing", "status.trialing")  # noqa: FBT003
    assert either((STANDS,), (other,))[0].reason == "active"
    assert either((other,), (STANDS,))[0].reason == "trialing"


@pytest.mark.parametrize(
    ("new", "since"),
    [
        (paused("void"), NOW),
        (paused("void", "past_due"), NOW),
        (snapshot("past_due"), NOW),
        (snapshot(), START),
        (paused("void", resumes_at=NOW), START),
        (paused("void", "unpaid"), NOW),
    ],
)
def test_what_is_decided_began_with_the_pause_or_else_with_the_status(
    new: Snapshot, since: int
) -> None:
    """A pause that is over, or that a status leaves no room for, is not what a person is asked about."""
    assert decide(changed(new), BUILT_IN).since == since


def test_a_status_during_a_pause_does_not_ask_anew() -> None:
    """For as long as a pause lasts, what a person said of it holds."""
    void, due = paused("void"), paused("void", "past_due")
    state = fold(
        [updated(NOW, snapshot(), void), updated(NOW + 9, void, due, "evt_due")], BUILT_IN
    )[1]
    over = fold(
        [updated(NOW, snapshot(), void), updated(NOW + 9, void, paused("void", "unpaid"), "evt_x")],
        BUILT_IN,
    )[1]
    assert state
    assert over

    assert decide(state, BUILT_IN).since == NOW
    assert decide(over, BUILT_IN).since == NOW + 9


def test_metadata_that_is_not_understood_is_flagged() -> None:
    """Of the key that the policy names, also while nothing is paused."""
    asked = parse('metadata_key = "access"')

    assert decide(changed(snapshot(decided="Grant")), asked).flags == ("metadata_not_understood",)
    assert decide(changed(snapshot(decided="grant")), asked).flags == ()
    assert decide(changed(snapshot(decided="Grant")), BUILT_IN).flags == ()


def test_flags_tell_what_is_not_certain() -> None:
    """Assumptions, doubts and items that were cut off are named."""
    assumed = fold([updated(NOW, paused("void"), paused("void", cancel_at=RESUMES))], BUILT_IN)[1]
    assert assumed

    assert decide(assumed, BUILT_IN).flags == ("pause_start_assumed",)
    assert decide(changed(snapshot(has_more_items=True)), BUILT_IN).flags == ("has_more_items",)
    assert decide(replace(changed(snapshot("unpaid")), ambiguous=True), BUILT_IN).flags == (
        "ambiguous",
    )


# -- Laws, of every life under every policy

open_lives = wide_lives().map(
    lambda life: life._replace(facts=tuple(f for f in life.facts if f.event != "evt_deleted"))
)
open_states = open_lives.map(state_of)


@given(states, policies())
def test_a_timeline_is_ordered_total_and_minimal(state: State, policy: Policy) -> None:
    """It starts with the state, goes up, and no two neighbours say the same; every item's features have one."""
    found = decide(state, policy)

    assert set(found.features) == {
        g.feature for i in state.snapshot.items for g in policy.grants(i)
    }
    for said in found.features.values():
        assert said[0].start == found.as_of == state.at
        assert [s.start for s in said] == sorted({s.start for s in said})
        assert all(a.says() != b.says() for a, b in pairwise(said))


@given(states, policies(), st.integers(0, 5 * MONTH))
def test_a_timeline_says_at_each_instant_what_the_rules_say(
    state: State, policy: Policy, later: int
) -> None:
    """Asking the timeline is asking the rules: at any instant, and just before each change."""
    for one in state.snapshot.items:
        said = timeline(state, one, policy)
        for at in {state.at + later, *edges(said)}:
            found = segment_at(said, at)
            assert (found.granted, found.reason, found.rule) == verdict(state, one, policy, at)


@given(states, policies(), st.integers(0, 5 * MONTH))
def test_a_timeline_that_is_cut_says_the_same(state: State, policy: Policy, later: int) -> None:
    """From the cut on, both give the same answers; and the cut is a timeline too."""
    for said in decide(state, policy).features.values():
        at = state.at + later
        rest = cut(said, at)
        assert rest[0].start == at
        for asked in {at, *(t for t in edges(said) if t > at)}:
            assert segment_at(rest, asked).says() == segment_at(said, asked).says()


@given(states, policies())
def test_deciding_again_changes_nothing(state: State, policy: Policy) -> None:
    """A decision is a function of state and policy, and of the policy's content alone."""
    found = decide(state, policy)

    assert decide(state, parse(dump(policy))) == found
    assert same(found, found)


@given(open_lives, policies(), st.integers(1, 60))
def test_a_cancellation_that_comes_as_foretold_changes_nothing(
    life: Life, policy: Policy, days: int
) -> None:
    """What a timeline says beyond `cancel_at`, or the period's end, is what it says once that has come."""
    last = life.facts[-1]
    now, set_at = understood(last.snapshot), last.created + 1
    ending = replace(now, cancel_at=set_at + days * DAY)
    if days > 40 and any(i.period_end for i in now.items):
        ending = replace(now, cancel_at=None, cancel_at_period_end=True)
    facts = (*life.facts, updated(set_at, last.snapshot, ending, "evt_set"))
    before = _state(facts, policy)
    end = ending.cancel_at or max(i.period_end or 0 for i in now.items)
    over = replace(ending, status="canceled", pause_collection=None)
    after = _state((*facts, point(max(end, set_at + 1), over, "deleted", "evt_over")), policy)

    foretold, happened = decide(before, policy).features, decide(after, policy).features
    assert from_then_on(foretold, after.at) == from_then_on(happened, after.at)


@given(open_lives, policies(), st.integers(1, 90), behaviors, st.sampled_from(PAUSABLE))
def test_a_pause_that_ends_as_foretold_changes_nothing(
    life: Life, policy: Policy, days: int, behavior: str, status: str
) -> None:
    """What a timeline says beyond `resumes_at` is what it says once the pause is unset."""
    last = life.facts[-1]
    at = last.created + 1
    free = replace(understood(last.snapshot), status=status, pause_collection=None)
    held = replace(free, pause_collection=PauseCollection(behavior, at + days * DAY))
    facts = (*life.facts, updated(at, last.snapshot, held, "evt_set"))
    before = _state(facts, policy)
    after = _state((*facts, updated(at + days * DAY, held, free, "evt_over")), policy)

    foretold, happened = decide(before, policy).features, decide(after, policy).features
    assert from_then_on(foretold, after.at) == from_then_on(happened, after.at)


# More entitling facts never revoke. A fact is more entitling than another if all else is equal, metadata decides
# nothing (it speaks only while something is paused, so that lifting a pause would take its grant away), and
#
# - collection is not paused where it was, or
# - the status is one whose cell grants for every item, collection being paused with neither, or
# - no cancellation is set where one was, and the policy's cells for `canceled` revoke at once.
#
# A policy is more entitling than another if a cell grants in it that did not. None of these ever turns an instant
# that was granted into one that is denied.


@given(states, policies())
def test_without_its_pause_a_subscription_is_never_denied_more(
    state: State, policy: Policy
) -> None:
    """A status and a pause must both grant: lifting the pause leaves only the one."""
    policy = replace(policy, metadata_key=None)

    assert lost(decide(state, policy), decide(replace(state, pause=None), policy)) == []


@given(open_states, policies(), st.data())
def test_a_status_that_grants_never_denies_more(
    state: State, policy: Policy, data: st.DataObject
) -> None:
    """In place of any other, whenever it began, where no end is set: what is paid at an end is another rule's."""
    endless = replace(state.snapshot, cancel_at=None, cancel_at_period_end=False)
    policy, state = replace(policy, metadata_key=None), replace(state, pause=None, snapshot=endless)
    status = data.draw(st.sampled_from([*PAUSABLE, "unpaid", "incomplete"]))
    policy = granting(policy, "status", status)
    better = replace(state, snapshot=replace(state.snapshot, status=status))

    assert lost(decide(state, policy), decide(better, policy)) == []


@given(open_states, policies())
def test_without_a_cancellation_a_subscription_is_never_denied_more(
    state: State, policy: Policy
) -> None:
    """Where canceled means revoked at once, no end is better than one."""
    policy = replace(policy, status=policy.status | {"canceled": REVOKE}, scopes=())
    lasting = replace(state.snapshot, cancel_at=None, cancel_at_period_end=False)

    assert lost(decide(state, policy), decide(replace(state, snapshot=lasting), policy)) == []


@given(states, policies(), st.sampled_from([*STATUSES, *BEHAVIORS]))
def test_a_cell_that_grants_never_denies_more(state: State, policy: Policy, name: str) -> None:
    """Whatever it said before, for whichever status or behaviour."""
    table = "status" if name in STATUSES else "pause_collection"

    assert lost(decide(state, policy), decide(state, granting(policy, table, name))) == []


def lost(less: Decision, more: Decision) -> list[tuple[str, int]]:
    """Return the features and instants that one decision grants and another, of the same state, denies."""
    return [
        (name, at)
        for name, said in less.features.items()
        for at in (*edges(said), *edges(more.features[name]))
        if segment_at(said, at).granted and not segment_at(more.features[name], at).granted
    ]


def granting(policy: Policy, table: str, name: str) -> Policy:
    """Return a policy with one cell that grants, in every scope that has one and for the whole."""
    scopes = tuple(replace(s, **{table: getattr(s, table) | {name: GRANT}}) for s in policy.scopes)
    return replace(policy, **{table: getattr(policy, table) | {name: GRANT}}, scopes=scopes)


def understood(now: Snapshot) -> Snapshot:
    """Return a snapshot without the values that are not known."""
    known = now.status in STATUSES
    pause = now.pause_collection
    odd = isinstance(pause, PauseCollection) and pause.behavior not in BEHAVIORS
    return replace(
        now,
        status=now.status if known else "active",
        pause_collection=None if odd else pause,
    )


def from_then_on(features: dict[str, Timeline], at: int) -> dict[str, Timeline]:
    """Return what each timeline says from an instant on."""
    return {name: cut(said, at) for name, said in features.items()}


def edges(said: Timeline) -> list[int]:
    """Return the instants at which a timeline changes, and those just before."""
    return sorted({s.start for s in said} | {s.start - 1 for s in said[1:]})


segments = st.lists(
    st.builds(
        Segment,
        st.integers(1, 9),
        st.booleans(),
        st.sampled_from(["active", PENDING]),
        st.just("r"),
    ),
    max_size=4,
    unique_by=lambda s: s.start,
).map(
    lambda found: (
        Segment(0, False, "unpaid", "r"),  # noqa: FBT003
        *sorted(found, key=lambda s: s.start),
    )
)


@given(lives(), lives())
def test_two_items_grant_whenever_one_does(one: Life, other: Life) -> None:
    """`either` is the or of its parts at every instant of theirs."""
    a, b = (decide(_end(life), BUILT_IN).features["pro"] for life in (one, other))
    a, b = _from_one_start(a, b)

    for instant in {s.start for s in (*a, *b)}:
        granted = segment_at(a, instant).granted or segment_at(b, instant).granted
        assert segment_at(either(a, b), instant).granted == granted


def test_decisions_that_differ_only_in_their_start_are_the_same() -> None:
    """A renewal of an active subscription decides nothing new."""
    first = decide(changed(snapshot()), BUILT_IN)
    again = replace(
        first, as_of=NOW + MONTH, features={"pro": cut(first.features["pro"], NOW + MONTH)}
    )

    assert same(first, again)
    assert not same(first, replace(again, flags=("ambiguous",)))


def test_minimal_keeps_the_first_of_those_that_say_the_same() -> None:
    """The start of a run is the start of its first segment."""
    a, b, c = Segment(1, True, "x", "r"), Segment(2, True, "x", "r"), Segment(3, False, "x", "r")  # noqa: FBT003

    assert minimal([a, b, c]) == (a, c)


@given(segments, segments, st.sampled_from(["grant", "revoke"]))
def test_a_review_decides_two_items_as_it_decides_each(a: Timeline, b: Timeline, word: str) -> None:
    """Whether a person speaks before or after two items become one feature, the same instants are granted."""
    together, apart = reviewed(either(a, b), word), either(reviewed(a, word), reviewed(b, word))

    for at in {s.start for s in (*a, *b)}:
        assert segment_at(together, at).granted == segment_at(apart, at).granted


def reviewed(said: Timeline, word: str) -> Timeline:
    """Put a person's word in the place of what is pending."""
    given = {"granted": word == "grant", "reason": "review"}
    return tuple(replace(s, **given) if s.reason == PENDING else s for s in said)


def _end(life: Life) -> State:
    return _state(life.facts, BUILT_IN)


def _state(facts: Iterable[Fact], policy: Policy) -> State:
    state = fold(facts, policy)[1]
    assert state
    return state


def _from_one_start(a: Timeline, b: Timeline) -> tuple[Timeline, Timeline]:
    start = max(a[0].start, b[0].start)
    return cut(a, start), cut(b, start)
