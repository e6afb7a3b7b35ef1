"""The canonical order: what a second ends in, whatever the order of arrival."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import order
from entitlements.model import Fact, PauseCollection, Snapshot
from entitlements.policy import Access
from tests.support.histories import START, Life, created, item, lives, point, snapshot, updated

ACTIVE = snapshot()
PAUSED = snapshot(pause_collection=PauseCollection("void"))
DRAFT = snapshot(pause_collection=PauseCollection("keep_as_draft"))
UNPAID = snapshot("unpaid")
OVER = snapshot("canceled")


def end(held: Snapshot | None, *facts: Fact, prefer: Access = "grant") -> tuple[Snapshot, bool]:
    """Return the state in which a second ends, and whether that is in doubt."""
    (group,) = order.by_second(facts)
    second = order.within_second(held, group, prefer)
    return second.facts[-1].snapshot, second.ambiguous


def test_a_later_second_wins() -> None:
    """Groups come in order of `created`, whatever the order of arrival."""
    late, early = (
        updated(START + 1, ACTIVE, PAUSED, "evt_b"),
        updated(START, PAUSED, ACTIVE, "evt_a"),
    )

    assert order.by_second([late, early]) == [[early], [late]]


def test_a_chain_within_one_second_ends_where_nothing_leaves() -> None:
    """Three changes in one second end in the state that one arrives at and none leaves."""
    facts = (
        updated(START, ACTIVE, PAUSED, "a"),
        updated(START, PAUSED, DRAFT, "b"),
        updated(START, DRAFT, UNPAID, "c"),
    )

    assert end(ACTIVE, *reversed(facts)) == (UNPAID, False)


def test_there_and_back_ends_where_the_second_began() -> None:
    """Where every arrival is balanced by a departure, the state held before is the end."""
    there, back = updated(START, ACTIVE, PAUSED, "a"), updated(START, PAUSED, ACTIVE, "b")

    assert end(ACTIVE, there, back) == (ACTIVE, False)
    assert end(PAUSED, there, back) == (PAUSED, False)


def test_there_and_back_from_an_unknown_start_is_ambiguous_until_creation_arrives() -> None:
    """A round trip says nothing of its start; the creation in the same second does."""
    there, back = updated(START, ACTIVE, PAUSED, "a"), updated(START, PAUSED, ACTIVE, "b")

    assert end(None, there, back) == (ACTIVE, True)
    assert end(None, there, back, prefer="revoke") == (PAUSED, True)
    assert end(None, there, created(START, PAUSED), back) == (PAUSED, False)


def test_there_back_and_there_again_ends_there() -> None:
    """A change made twice is two changes when two requests made it."""
    facts = (
        updated(START, ACTIVE, PAUSED, "a"),
        updated(START, PAUSED, ACTIVE, "b"),
        updated(START, ACTIVE, PAUSED, "c"),
    )

    assert end(ACTIVE, *facts) == (PAUSED, False)


def test_a_twin_is_one_change() -> None:
    """Two event ids with one request and the same two states count once."""
    facts = updated(START, ACTIVE, PAUSED, "a", "req"), updated(START, ACTIVE, PAUSED, "b", "req")
    back = updated(START, PAUSED, ACTIVE, "c")

    assert end(ACTIVE, *facts) == (PAUSED, False)
    assert end(ACTIVE, *facts, back) == (ACTIVE, False)


def test_creation_is_first() -> None:
    """The events of the second in which a subscription is made follow its creation."""
    incomplete = snapshot("incomplete")
    facts = updated(START, incomplete, ACTIVE, "a"), created(START, incomplete, "z")

    assert end(None, *facts) == (ACTIVE, False)
    assert order.within_second(None, list(facts), "grant").facts[0].event == "z"


def test_deletion_is_last_whatever_its_second() -> None:
    """Nothing that claims a later second follows a deletion."""
    deleted, later = (
        point(START, OVER, "deleted", "evt_a"),
        updated(START + 9, PAUSED, ACTIVE, "evt_b"),
    )

    assert [g[0].event for g in order.by_second([deleted, later])] == ["evt_b", "evt_a"]


def test_deletion_follows_the_update_that_cancels() -> None:
    """Of two final facts in one second, the deletion is the last."""
    canceled, deleted = updated(START, ACTIVE, OVER, "b"), point(START, OVER, "deleted", "a")

    assert order.within_second(ACTIVE, [deleted, canceled], "grant") == ((canceled, deleted), False)


@pytest.mark.parametrize(
    ("fact", "final"),
    [
        (point(START, OVER, "deleted", "a"), True),
        (point(START, snapshot("hibernating"), "deleted", "a"), True),
        (updated(START, ACTIVE, OVER), True),
        (updated(START, snapshot("incomplete"), snapshot("incomplete_expired")), True),
        (updated(START, OVER, UNPAID), False),
    ],
)
def test_what_is_final(fact: Fact, final: bool) -> None:  # noqa: FBT001  a row
    """A deletion, whatever it says, and a status that has no way out."""
    later = updated(START + 9, PAUSED, ACTIVE, "evt_later")

    assert order.is_final(fact) is final
    assert order.by_second([later, fact])[-1] == [fact if final else later]


def test_one_fact_alone_is_no_doubt() -> None:
    """Its state is where its second ended."""
    alone = updated(START, ACTIVE, PAUSED)

    assert order.within_second(None, [alone], "grant") == ((alone,), False)


def test_a_point_beside_its_update_is_no_doubt() -> None:
    """`paused` says the same as the `updated` that comes with it."""
    stopped = snapshot("paused")

    assert end(
        ACTIVE, point(START, stopped, "paused", "a"), updated(START, ACTIVE, stopped, "b")
    ) == (stopped, False)


def test_two_points_without_updates_are_ambiguous() -> None:
    """Points alone have no order among themselves."""
    stopped = snapshot("paused")
    facts = point(START, stopped, "paused", "a"), point(START, PAUSED, "resumed", "b")

    assert end(ACTIVE, *facts)[1]


def test_points_of_the_state_held_change_nothing() -> None:
    """A second in which only the held state was seen ends in it."""
    assert end(
        ACTIVE, point(START, ACTIVE, "resumed", "a"), point(START, ACTIVE, "resumed", "b")
    ) == (ACTIVE, False)


def test_a_lost_update_leaves_a_doubt() -> None:
    """Two changes that do not connect have two possible ends."""
    facts = updated(START, ACTIVE, PAUSED, "a"), updated(START, UNPAID, DRAFT, "b")

    assert end(ACTIVE, *facts)[1]
    assert end(ACTIVE, *facts) == end(ACTIVE, *reversed(facts))


def test_a_round_trip_elsewhere_is_ambiguous() -> None:
    """Where neither of its states is the one held before, the second can have ended in either."""
    there, back = updated(START, ACTIVE, PAUSED, "a"), updated(START, PAUSED, ACTIVE, "b")

    assert end(UNPAID, there, back) == (ACTIVE, True)


def test_what_entitles_alike_is_chosen_by_its_own_text() -> None:
    """Neither arrival nor the run of the process decides."""
    carts = [snapshot(items=(item(quantity=n),)) for n in range(1, 9)]
    facts = [point(START, cart, "resumed", f"evt_{n}") for n, cart in enumerate(carts)]

    for order_of_arrival in (facts, facts[::-1]):
        assert end(None, *order_of_arrival) == (max(carts, key=repr), True)
        assert end(None, *order_of_arrival, prefer="revoke") == (min(carts, key=repr), True)


def test_a_value_that_is_not_known_entitles_least() -> None:
    """Less than any status that can go on."""
    odd = snapshot("hibernating")
    for status in ("incomplete", "unpaid", "paused", "past_due", "trialing", "active"):
        facts = point(START, odd, "resumed", "a"), point(START, snapshot(status), "resumed", "b")
        assert end(None, *facts)[0].status == status
        assert end(None, *facts, prefer="revoke")[0] == odd


def test_the_facts_of_a_second_follow_its_walk() -> None:
    """Also where it comes to one state twice: each change at its own step, each point after the one that led to it."""
    walked = [
        updated(START, ACTIVE, PAUSED, "evt_7"),
        updated(START, PAUSED, DRAFT, "evt_5"),
        point(START, DRAFT, "paused", "evt_9"),
        updated(START, DRAFT, PAUSED, "evt_3"),
        updated(START, PAUSED, UNPAID, "evt_1"),
    ]
    for arrival in (walked, walked[::-1]):
        (group,) = order.by_second(arrival)
        assert list(order.within_second(ACTIVE, group, "grant").facts) == walked


def test_of_several_walks_the_same_one_is_taken() -> None:
    """Two ways lead through these changes, from the state held before to the one end."""
    trial = snapshot("trialing")
    walked = [
        updated(START, trial, UNPAID, "evt_1"),
        updated(START, UNPAID, trial, "evt_2"),
        updated(START, trial, ACTIVE, "evt_0"),
        updated(START, ACTIVE, UNPAID, "evt_3"),
    ]
    (group,) = order.by_second(walked)

    assert order.within_second(trial, group, "grant") == (tuple(walked), False)


def test_what_is_off_the_walk_comes_first_and_creation_before_it() -> None:
    """An event was lost: the walk still ends the second, and a creation begins it."""
    facts = [
        created(START, snapshot("incomplete"), "evt_z"),
        point(START, UNPAID, "resumed", "evt_b"),
        updated(START, ACTIVE, PAUSED, "evt_a"),
    ]
    (group,) = order.by_second(facts)

    assert order.within_second(None, group, "grant") == (tuple(facts), True)


@given(lives(), st.randoms(use_true_random=False))
def test_arrival_plays_no_part(life: Life, random: Random) -> None:
    """Any order of the same facts is put into the same canonical order."""
    shuffled = list(life.facts)
    random.shuffle(shuffled)

    assert _whole(shuffled) == _whole(life.facts)


@given(lives())
def test_the_walk_ends_in_the_truth(life: Life) -> None:
    """Where every event arrived, the end is the true one and no doubt remains."""
    facts, doubtful = _whole(life.facts)

    assert facts[-1].snapshot == life.end
    assert not doubtful


def _whole(facts: Iterable[Fact]) -> tuple[list[Fact], bool]:
    held: Snapshot | None = None
    ordered: list[Fact] = []
    doubtful = False
    for group in order.by_second(facts):
        second = order.within_second(held, group, "grant")
        held, doubtful = second.facts[-1].snapshot, doubtful or second.ambiguous
        ordered += second.facts
    return ordered, doubtful
