"""What counts as drift: a difference of state, and nothing else."""

import pytest
from hypothesis import given
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.drift import COLUMNS, in_use, row, same, standing, told
from entitlements.fold import fold
from entitlements.model import (
    READ,
    CustomerRecord,
    Fact,
    PauseCollection,
    Snapshot,
    State,
    Subject,
)
from entitlements.policy import BUILT_IN
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

PLAIN = snapshot()
VOID = snapshot(pause_collection=PauseCollection("void", START + MONTH))
NOW = START + 60
DECIDED = CustomerRecord(version=1, policy=BUILT_IN.digest)


def state(*facts: Fact) -> State:
    """Return what facts are folded to."""
    _, found = fold(facts, BUILT_IN)
    assert found
    return found


def read(snapshot: Snapshot, at: int = NOW) -> Fact:
    """Return what a read says."""
    return Fact("read_1", READ, at, snapshot)


def stands(held: State | None, fact: Fact, customer: CustomerRecord = DECIDED) -> str:
    """Return how what is held stands to a read."""
    return standing(customer, held, fact, BUILT_IN.digest)


HELD = state(created(START, PLAIN))
PAUSED = state(created(START, PLAIN), updated(START + 1, PLAIN, VOID))


@pytest.mark.parametrize(
    ("held", "snapshot", "at", "found"),
    [
        (None, PLAIN, NOW, "missing_here"),
        (HELD, PLAIN, NOW, "in_step"),
        (HELD, PLAIN, START, "in_step"),
        (HELD, VOID, NOW, "stale_here"),
        (HELD, VOID, START + 1, "stale_here"),
        (HELD, VOID, START, "newer_here"),  # what happened in that second comes after the read
        (HELD, replace(PLAIN, status="canceled"), NOW, "stale_here"),
        (HELD, replace(PLAIN, items=(item(end=START + 2 * MONTH),)), NOW, "stale_here"),
        (HELD, replace(PLAIN, cancel_at=START + MONTH), NOW, "stale_here"),
        (PAUSED, VOID, NOW, "in_step"),
        (PAUSED, PLAIN, NOW, "stale_here"),
        (PAUSED, PLAIN, START + MONTH - 1, "stale_here"),
        (PAUSED, PLAIN, START + MONTH, "in_step"),  # over by the clock, of which nobody tells
        (PAUSED, VOID, START + MONTH, "in_step"),
        (HELD, VOID, START + MONTH, "in_step"),
    ],
)
def test_how_a_subscription_stands(
    held: State | None, snapshot: Snapshot, at: int, found: str
) -> None:
    """By what is held, and by what was read when."""
    assert stands(held, read(snapshot, at)) == found


def test_the_policy_counts_where_the_state_is_the_same() -> None:
    """What is stale as well is decided anew when it is read in."""
    other = replace(DECIDED, policy="another")
    assert stands(HELD, read(PLAIN), other) == "different_policy"
    assert stands(HELD, read(VOID), other) == "stale_here"


def test_what_looks_otherwise_in_another_version_of_the_api_is_the_same() -> None:
    """An old event is silent about the pause that an earlier one told of; items come in any order."""
    silent = replace(VOID, pause_collection=UNSET)
    renewed = state(
        created(START, PLAIN),
        updated(START + 1, PLAIN, VOID),
        point(START + 2, silent, "updated", "evt_2"),
    )
    two = snapshot(items=(item("si_1"), item("si_2", "lite")))

    assert same(renewed, read(VOID))
    assert same(state(created(START, two)), read(replace(two, items=two.items[::-1])))
    assert same(HELD, read(replace(PLAIN, pause_collection=UNSET)))
    assert not same(state(created(START, two)), read(replace(two, items=two.items[:1])))


def test_a_doubt_is_stale_until_it_is_over() -> None:
    """Although what holds meanwhile may be what was read."""
    doubt = state(
        created(START, PLAIN),
        point(START + 5, replace(PLAIN, status="paused"), "paused", "evt_1"),
        point(START + 5, replace(PLAIN, status="unpaid"), "resumed", "evt_2"),
    )
    assert doubt.ambiguous
    assert stands(doubt, read(doubt.snapshot)) == "stale_here"
    assert stands(doubt, read(doubt.snapshot, START + 5)) == "newer_here"


def test_a_value_that_is_not_known_is_the_same_as_itself() -> None:
    """What held before it is beside the point."""
    dormant, odd = (
        replace(PLAIN, status="dormant"),
        snapshot(pause_collection=PauseCollection("vanish")),
    )
    held = state(created(START, PLAIN), updated(START + 1, PLAIN, dormant))

    assert stands(held, read(dormant)) == "in_step"
    assert stands(held, read(PLAIN)) == "stale_here"
    assert stands(held, read(odd)) == "stale_here"
    assert stands(HELD, read(odd)) == "stale_here"


def test_what_is_over_is_not_in_use() -> None:
    """Everything else may come back."""
    assert in_use(HELD)
    assert in_use(state(created(START, replace(PLAIN, status="paused"))))
    assert not in_use(state(created(START, replace(PLAIN, status="canceled"))))


@given(lives())
def test_a_life_that_was_told_whole_is_in_step_with_its_end(life: Life) -> None:
    """Whatever happened in it, unless nobody can tell how its last second ended."""
    found = state(*life.facts)
    now = life.facts[-1].created + 60
    assert found.ambiguous or stands(found, read(life.end, now)) == "in_step"


@given(lives())
def test_what_was_read_in_is_in_step(life: Life) -> None:
    """With itself, whatever was lost before: the next walk finds nothing."""
    now = life.facts[-1].created + 60
    kept = (life.facts[0], read(life.end, now))
    assert stands(state(*kept), read(life.end, now + 60)) == "in_step"


def test_a_drift_says_both_sides() -> None:
    """In a row of a table as well; nothing where there is nothing."""
    one = told(Subject("cus_1", "acct_1"), "sub_1", "stale_here", HELD, VOID)
    assert dict(zip(COLUMNS, row(one), strict=True)) == {
        "account": "acct_1",
        "customer": "cus_1",
        "subscription": "sub_1",
        "cause": "stale_here",
        "status_here": "active",
        "behavior_here": None,
        "resumes_at_here": None,
        "status_there": "active",
        "behavior_there": "void",
        "resumes_at_there": START + MONTH,
        "paused_because_here": None,
        "paused_because_there": None,
        "differs": f"collection paused with void until {START + MONTH}",
    }
    gone = told(Subject("cus_1"), "sub_1", "gone_there", PAUSED, None)
    assert (gone.pause_here, gone.status_there, gone.pause_there) == (
        PauseCollection("void", START + MONTH),
        None,
        None,
    )
    assert told(Subject("cus_1"), "sub_1", "missing_here", None, PLAIN).status_here is None
