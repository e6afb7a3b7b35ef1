"""The canonical order: what a second ends in, whatever the order of arrival."""

from collections.abc import Iterable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from entitlements import order
from entitlements.model import Fact, PauseCollection, Snapshot
from entitlements.policy import Access
from tests.support.histories import START, Life, created, lives, point, snapshot, updated

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

    assert order.within_second(ACTIVE, [deleted, canceled], "grant").facts == (canceled, deleted)


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
