"""What only history tells: since when, paid until when, and what held before the unknown."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.fold import fold, follows, step
from entitlements.model import READ, Before, Fact, Item, PauseCollection, Snapshot, State
from entitlements.policy import BUILT_IN, Policy
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

ACTIVE = snapshot()
VOID = snapshot(pause_collection=PauseCollection("void"))
DRAFT = snapshot(pause_collection=PauseCollection("keep_as_draft"))


def state_after(*facts: Fact) -> State:
    """Fold facts and return the state."""
    _, state = fold(facts, BUILT_IN)
    assert state
    return state


def renewed(state: Snapshot, months: int = 1) -> Snapshot:
    """Return a state whose periods have rolled on."""
    items = tuple(replace(i, period_end=(i.period_end or 0) + months * MONTH) for i in state.items)
    return replace(state, items=items)


def test_nothing_folds_to_nothing() -> None:
    """Without facts there is no state."""
    assert fold([], BUILT_IN) == ((), None)


def test_a_pause_remembers_what_was_paid_when_it_began() -> None:
    """Renewals during the pause move the period's end on, and not what is paid."""
    later = renewed(VOID)
    state = state_after(
        created(START, ACTIVE),
        updated(START + 10, ACTIVE, VOID, "evt_pause"),
        updated(START + MONTH, VOID, later, "evt_renew_1"),
        updated(START + 2 * MONTH, later, renewed(later), "evt_renew_2"),
    )

    assert state.pause
    assert (state.pause.since, state.pause.paid_until) == (START + 10, {"si_1": START + MONTH})
    assert not state.pause.assumed


def test_what_was_paid_is_the_period_before_an_update_that_also_renews() -> None:
    """A pause and a renewal in one event: the old period is the paid one."""
    state = state_after(updated(START, ACTIVE, renewed(VOID)))

    assert state.pause
    assert state.pause.paid_until == {"si_1": START + MONTH}


def test_a_change_of_behavior_goes_on_with_the_same_pause() -> None:
    """Neither the start nor what is paid is taken anew."""
    draft = replace(
        renewed(VOID), pause_collection=PauseCollection("keep_as_draft", START + 3 * MONTH)
    )
    state = state_after(
        updated(START, ACTIVE, VOID, "evt_a"),
        updated(START + MONTH, VOID, renewed(VOID), "evt_b"),
        updated(START + MONTH + 5, renewed(VOID), draft, "evt_c"),
    )

    assert state.pause
    assert (state.pause.behavior, state.pause.resumes_at) == ("keep_as_draft", START + 3 * MONTH)
    assert (state.pause.since, state.pause.paid_until) == (START, {"si_1": START + MONTH})


def test_unset_and_set_again_is_another_pause() -> None:
    """The second pause begins with the period that is paid by then."""
    state = state_after(
        updated(START, ACTIVE, VOID, "evt_a"),
        updated(START + 5, VOID, ACTIVE, "evt_b"),
        updated(START + MONTH + 5, renewed(ACTIVE), renewed(VOID), "evt_c"),
    )

    assert state.pause
    assert (state.pause.since, state.pause.paid_until) == (
        START + MONTH + 5,
        {"si_1": START + 2 * MONTH},
    )


def test_a_pause_after_one_that_lapsed_is_another_pause() -> None:
    """Once `resumes_at` has passed, a new date is a new pause, also where Stripe never sent null between."""
    first = replace(ACTIVE, pause_collection=PauseCollection("void", START + 100))
    second = replace(renewed(ACTIVE), pause_collection=PauseCollection("void", START + 3 * MONTH))
    state = state_after(
        updated(START, ACTIVE, first, "evt_a"),
        updated(START + MONTH + 9, renewed(first), second, "evt_b"),
    )

    assert state.pause
    assert (state.pause.since, state.pause.paid_until) == (
        START + MONTH + 9,
        {"si_1": START + 2 * MONTH},
    )
    assert not state.pause.assumed


def test_a_lapsed_pause_that_is_only_told_again_stays_the_same() -> None:
    """An event that still carries the date that has passed begins nothing."""
    paused = replace(ACTIVE, pause_collection=PauseCollection("void", START + 100))
    state = state_after(
        updated(START, ACTIVE, paused, "evt_a"),
        updated(START + 200, paused, renewed(paused), "evt_b"),
    )

    assert state.pause
    assert state.pause.since == START


def test_a_pause_first_seen_in_the_middle_is_assumed_to_begin_there() -> None:
    """Without the event that began it, the period in which it is first seen counts as paid, and the state says so."""
    state = state_after(updated(START, VOID, replace(VOID, cancel_at=START + 9 * MONTH)))

    assert state.pause
    assert (state.pause.since, state.pause.assumed) == (START, True)
    assert state.pause.paid_until == {"si_1": START + MONTH}


def test_the_event_that_began_the_pause_heals_the_assumption() -> None:
    """It may come late: the fold then has it in its place."""
    seen = updated(
        START + MONTH + 5,
        renewed(VOID),
        replace(renewed(VOID), cancel_at=START + 9 * MONTH),
        "evt_b",
    )
    began = updated(START, ACTIVE, VOID, "evt_a")

    pause = state_after(began).pause
    assert pause
    assert state_after(seen).pause == replace(
        pause,
        since=START + MONTH + 5,
        paid_until={"si_1": START + 2 * MONTH},
        assumed=True,
    )
    assert state_after(seen, began).pause == pause


def test_a_payload_without_the_field_says_nothing_of_the_pause() -> None:
    """Absent is not null: an old API version leaves the pause as it is."""
    silent = replace(ACTIVE, pause_collection=UNSET)
    later = point(START + 5, silent, "resumed", "evt_b")

    assert state_after(updated(START, ACTIVE, VOID, "evt_a"), later).pause
    assert state_after(later).pause is None


def test_an_item_added_during_the_pause_is_not_paid() -> None:
    """Only the items that were there when the pause began have a paid period."""
    more = replace(VOID, items=(item(), item("si_2", "extra")))
    state = state_after(
        updated(START, ACTIVE, VOID, "evt_a"), updated(START + 5, VOID, more, "evt_b")
    )

    assert state.pause
    assert state.pause.paid_until == {"si_1": START + MONTH}


def test_a_later_event_does_not_move_the_start_of_past_due() -> None:
    """The grace is counted from the event that made it past due."""
    due = snapshot("past_due")
    state = state_after(
        updated(START, ACTIVE, due, "evt_a"),
        updated(START + 5, due, replace(due, cancel_at=START + MONTH), "evt_b"),
    )

    assert state.status_since == START


def test_past_due_again_is_counted_anew() -> None:
    """Even where the event between is lost: the update says that it was active before."""
    due = snapshot("past_due")
    state = state_after(
        updated(START, ACTIVE, due, "evt_a"), updated(START + 5, ACTIVE, due, "evt_c")
    )

    assert state.status_since == START + 5


# -- What was paid when the use ended

CANCELED = snapshot("canceled")
CUT = snapshot("paused", items=(item(end=START + 9),))
"""Stripe cuts the period short when it pauses a subscription."""

OVER = replace(CUT, status="canceled")
BRIEFLY = replace(ACTIVE, pause_collection=PauseCollection("void", START + 100))
DUE = snapshot("past_due")
PAID = {"si_1": START + MONTH}

PAID_UNTIL: list[tuple[str, list[Fact], dict[str, int]]] = [
    ("while it is in use, nothing is asked", [updated(START, DUE, ACTIVE)], {}),
    ("canceled: the period in force", [updated(START, ACTIVE, CANCELED)], PAID),
    (
        "canceled in an update that also cuts the period",
        [updated(START + 9, ACTIVE, OVER)],
        PAID,
    ),
    (
        "deleted: the period held before",
        [created(START, ACTIVE), point(START + 9, OVER, "deleted", "x")],
        PAID,
    ),
    ("deleted, and nothing held before", [point(START, CANCELED, "deleted", "x")], PAID),
    ("paused: the period before it was cut", [updated(START + 9, ACTIVE, CUT)], PAID),
    (
        "paused, and told again",
        [
            updated(START + 9, ACTIVE, CUT, "evt_a"),
            updated(START + 10, CUT, replace(CUT, cancel_at=START + MONTH), "evt_b"),
            point(START + 11, CUT, "paused", "evt_c"),
        ],
        PAID,
    ),
    (
        "canceled while paused: no less than was left",
        [
            updated(START + 9, ACTIVE, CUT, "evt_a"),
            updated(START + 10, CUT, OVER, "evt_b"),
        ],
        PAID,
    ),
    (
        "canceled while paused, and the event of it lost",
        [
            updated(START + 9, ACTIVE, CUT, "evt_a"),
            updated(START + 99, replace(CUT, status="canceled", cancel_at=1), OVER, "evt_b"),
        ],
        PAID,
    ),
    (
        "paused anew, the resumption being lost: the new period",
        [
            updated(START + 9, ACTIVE, CUT, "evt_a"),
            updated(START + MONTH + 9, renewed(ACTIVE), CUT, "evt_b"),
        ],
        {"si_1": START + 2 * MONTH},
    ),
    (
        "canceled while collection is paused: no more than when that began",
        [
            updated(START, ACTIVE, VOID, "evt_a"),
            updated(START + MONTH, VOID, renewed(VOID), "evt_b"),
            updated(START + MONTH + 9, renewed(VOID), renewed(CANCELED), "evt_c"),
        ],
        PAID,
    ),
    (
        "canceled after a pause that lapsed: the period since",
        [
            updated(START, ACTIVE, BRIEFLY, "evt_a"),
            updated(START + MONTH, BRIEFLY, renewed(BRIEFLY), "evt_b"),
            updated(START + MONTH + 9, renewed(BRIEFLY), renewed(CANCELED), "evt_c"),
        ],
        {"si_1": START + 2 * MONTH},
    ),
    (
        "canceled in the second in which a pause lapses",
        [
            updated(START, ACTIVE, BRIEFLY, "evt_a"),
            updated(START + 100, BRIEFLY, renewed(CANCELED), "evt_b"),
        ],
        PAID,
    ),
    ("canceled while payment is owed: nothing", [updated(START, DUE, CANCELED)], {}),
    ("paused while payment is owed: nothing", [updated(START, snapshot("unpaid"), CUT)], {}),
    (
        "an item whose period is not known",
        [updated(START, snapshot(items=(item(end=None),)), CANCELED)],
        {},
    ),
]


@pytest.mark.parametrize(
    ("facts", "paid"), [row[1:] for row in PAID_UNTIL], ids=[row[0] for row in PAID_UNTIL]
)
def test_what_was_paid_when_the_use_ended(facts: list[Fact], paid: dict[str, int]) -> None:
    """Of each item the end of the period that was in force, unless it is not paid for."""
    assert state_after(*facts).paid_until == paid


def test_an_unknown_status_leaves_what_held() -> None:
    """The state keeps what was understood last, and names what was not."""
    odd = snapshot("hibernating")
    state = state_after(created(START, ACTIVE), updated(START + 5, ACTIVE, odd))

    assert (state.snapshot, state.not_understood, state.at) == (
        ACTIVE,
        "status=hibernating",
        START + 5,
    )


def test_an_unknown_behavior_leaves_what_held() -> None:
    """An open enum may grow; a pause that we cannot read is no reason to guess."""
    odd = snapshot(pause_collection=PauseCollection("postpone"))
    state = state_after(created(START, ACTIVE), updated(START + 5, ACTIVE, odd))

    assert (state.pause, state.not_understood) == (None, "behavior=postpone")
    assert state.held_before


def test_something_unknown_first_of_all_holds_nothing() -> None:
    """Where nothing was understood before, there is nothing to go on with."""
    assert not state_after(created(START, snapshot("hibernating"))).held_before


def test_a_value_that_is_understood_again_ends_the_doubt() -> None:
    """The next event that can be read is read."""
    odd = snapshot("hibernating")
    state = state_after(created(START, odd), updated(START + 5, odd, ACTIVE))

    assert (state.snapshot, state.not_understood) == (ACTIVE, None)


def test_a_doubt_within_a_second_is_marked_until_the_next_one() -> None:
    """Two points in one second are ambiguous; an event of a later second settles it."""
    stopped, going = (
        point(START, snapshot("paused"), "paused", "evt_a"),
        point(START, ACTIVE, "resumed", "evt_b"),
    )
    settled = updated(START + 1, ACTIVE, VOID, "evt_c")

    assert state_after(stopped, going).ambiguous
    assert not state_after(stopped, going, settled).ambiguous


def test_a_round_trip_within_a_second_ends_in_what_was_held_before_it() -> None:
    """What the second does not say is known from the one before."""
    there, back = (
        updated(START + 5, ACTIVE, VOID, "evt_a"),
        updated(START + 5, VOID, ACTIVE, "evt_b"),
    )
    first = created(START, ACTIVE), created(START, VOID)

    ends = [state_after(before, there, back) for before in first]

    assert [(end.snapshot, end.ambiguous) for end in ends] == [(ACTIVE, False), (VOID, False)]


def test_the_policy_chooses_where_a_second_may_have_ended() -> None:
    """The more entitling state, or the less."""
    doubt = (
        point(START, ACTIVE, "resumed", "evt_a"),
        point(START, snapshot("paused"), "paused", "evt_b"),
    )
    ends = [fold(doubt, replace(BUILT_IN, ambiguous=word))[1] for word in ("grant", "revoke")]

    assert [end.snapshot.status for end in ends if end] == ["active", "paused"]


def test_a_later_second_follows_what_is_certain() -> None:
    """One step is enough; not for an event of the same second, which is not later."""
    held = state_after(created(START, ACTIVE))

    assert [follows(held, updated(START + n, ACTIVE, VOID)) for n in (-1, 0, 1)] == [
        False,
        False,
        True,
    ]


def test_nothing_follows_a_doubt() -> None:
    """What comes later may tell how the doubtful second ended, so that everything is folded again."""
    doubt = point(START, ACTIVE, "resumed", "a"), point(START, snapshot("paused"), "paused", "b")

    assert not follows(state_after(*doubt), updated(START + 1, ACTIVE, VOID))


def test_what_follows_tells_how_a_second_ended() -> None:
    """A pause in a doubtful second has begun in it, as the next event shows: nothing is assumed any more."""
    unpaid = snapshot("unpaid")
    doubt = point(START + 5, unpaid, "paused", "a"), point(START + 5, VOID, "resumed", "b")
    held = state_after(created(START, ACTIVE), *doubt)
    settled = state_after(created(START, ACTIVE), *doubt, updated(START + 9, unpaid, ACTIVE))
    other = state_after(created(START, ACTIVE), *doubt, updated(START + 9, VOID, DRAFT))

    assert (held.ambiguous, held.snapshot) == (True, VOID)
    assert (settled.ambiguous, settled.snapshot, settled.pause) == (False, ACTIVE, None)
    assert (other.ambiguous, other.pause and other.pause.since) == (False, START + 5)


def test_the_less_entitling_end_is_taken_back_by_what_follows() -> None:
    """Under a policy that revokes in doubt too, the next event tells since when the pause holds."""
    unpaid, strict = snapshot("unpaid"), replace(BUILT_IN, ambiguous="revoke")
    doubt = point(START + 5, unpaid, "paused", "a"), point(START + 5, VOID, "resumed", "b")
    _, settled = fold([created(START, ACTIVE), *doubt, updated(START + 9, VOID, DRAFT)], strict)

    assert settled
    assert settled.pause
    assert (settled.pause.since, settled.pause.assumed) == (START + 5, True)


def test_facts_are_folded_on_from_a_base() -> None:
    """What was folded before is where the rest begins."""
    first, rest = created(START, ACTIVE), updated(START + 5, ACTIVE, VOID)
    base = state_after(first)

    assert fold([rest], BUILT_IN, base) == ((rest,), state_after(first, rest))
    assert fold([], BUILT_IN, base) == ((), base)


def test_a_creation_that_is_paused_assumes_nothing() -> None:
    """There was no time before it in which the pause could have begun."""
    pause = state_after(created(START, VOID)).pause

    assert pause
    assert not pause.assumed


def test_nothing_follows_the_end() -> None:
    """After a final status, one step is never enough: order has to put the end last."""
    over = state_after(point(START, snapshot("canceled"), "deleted", "evt_a"))

    assert not follows(over, updated(START + 9, ACTIVE, VOID))
    assert follows(None, created(START, ACTIVE))


@given(wide_lives(), policies(), st.randoms(use_true_random=False))
def test_any_order_of_any_life_ends_in_the_same_state(
    life: Life, policy: Policy, random: Random
) -> None:
    """Items, metadata, reasons and values that are not known included, under any policy."""
    shuffled = list(life.facts)
    random.shuffle(shuffled)

    assert fold(shuffled, policy) == fold(life.facts, policy)


@given(wide_lives(), policies())
def test_only_a_status_that_ends_the_use_has_what_was_paid(life: Life, policy: Policy) -> None:
    """And it is the end of a period that some item had."""
    _, state = fold(life.facts, policy)
    assert state
    known = {i.period_end for f in life.facts for i in _all_items(f)}

    assert not state.paid_until or state.snapshot.status in {"canceled", "paused"}
    assert set(state.paid_until.values()) <= known


def _all_items(fact: Fact) -> tuple[Item, ...]:
    was = fact.snapshot_before()
    return fact.snapshot.items + (was.items if was else ())


@given(lives(), st.randoms(use_true_random=False))
def test_any_order_ends_in_the_same_state(life: Life, random: Random) -> None:
    """The fold of a shuffled history is the fold of the history."""
    shuffled = list(life.facts)
    random.shuffle(shuffled)

    assert fold(shuffled, BUILT_IN) == fold(life.facts, BUILT_IN)


@given(lives())
def test_one_step_is_the_same_as_folding_again(life: Life) -> None:
    """Where a fact follows, carrying the state on equals folding everything from nothing."""
    state: State | None = None
    for n, fact in enumerate(life.facts):
        whole = state_after(*life.facts[: n + 1])
        if follows(state, fact):
            assert step(state, fact) == whole
        state = whole


@given(lives())
def test_the_pause_is_the_one_that_the_true_order_tells(life: Life) -> None:
    """Folded from same-second bursts, the pause has the start and the paid period of the life as it was lived."""
    _, state = fold(life.facts, BUILT_IN)
    assert state
    truth = _truth(life.facts)

    if state.pause and truth:
        assert (state.pause.since, state.pause.paid_until) == truth
    assert bool(state.pause) == bool(truth)


def _truth(facts: tuple[Fact, ...]) -> tuple[int, dict[str, int]] | None:
    """Walk a life in the order in which it was lived, the plain way."""
    since: tuple[int, dict[str, int]] | None = None
    resumes_at: int | None = None
    for fact in facts:
        pause = fact.snapshot.pause_collection
        began = isinstance(fact.before, Before) and fact.before.pause_collection is None
        lapsed = resumes_at is not None and resumes_at <= fact.created
        if not isinstance(pause, PauseCollection):
            since = None
        elif since is None or began or (lapsed and pause.resumes_at != resumes_at):
            was = fact.snapshot_before() or fact.snapshot
            since = fact.created, {i.id: i.period_end for i in was.items if i.period_end}
        resumes_at = pause.resumes_at if isinstance(pause, PauseCollection) else None
    return since


@st.composite
def lives_and_reads(draw: st.DrawFn) -> tuple[Life, tuple[Fact, ...]]:
    """Draw a life, and reads that began at any instant and have seen a part of what happened right after it."""
    life = draw(lives())
    found = []
    for n in range(draw(st.integers(1, 3))):
        seen = draw(st.integers(0, len(life.facts) - 1))
        last = life.facts[seen].created
        until = life.facts[seen + 1].created if seen + 1 < len(life.facts) else last + MONTH
        stamp = draw(st.integers(last - 5, min(last + 5, until)))
        found.append(Fact(f"read_{n}_{stamp}", READ, stamp, life.facts[seen].snapshot))
    by_stamp = {read.created: read for read in found}  # one read a second: its stamp is in its id
    return life, tuple(by_stamp.values())


@given(lives_and_reads(), st.randoms(use_true_random=False))
def test_a_read_never_overwrites_something_newer(
    drawn: tuple[Life, tuple[Fact, ...]], random: Random
) -> None:
    """However late it comes, and whatever it saw: the end is right, or known to be in doubt."""
    life, reads = drawn
    shuffled = [*life.facts, *reads]
    random.shuffle(shuffled)
    _, state = fold(shuffled, BUILT_IN)

    assert state
    assert state.ambiguous or state.snapshot == life.end


@given(lives(), st.randoms(use_true_random=False), st.data())
def test_a_read_settles_every_doubt(life: Life, random: Random, data: st.DataObject) -> None:
    """Made once the last second is over, it says how that ended, whichever events were lost."""
    kept = data.draw(st.lists(st.sampled_from(life.facts), min_size=1, unique=True))
    read = Fact("read_1", READ, life.facts[-1].created + 1, life.end)
    random.shuffle(kept)
    _, state = fold([read, *kept], BUILT_IN)

    assert state
    assert (state.ambiguous, state.snapshot) == (False, life.end)
