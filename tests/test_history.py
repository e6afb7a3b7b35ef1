"""A whole life as one decision."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.decide import decide
from entitlements.fold import fold
from entitlements.history import history
from entitlements.model import CustomerRecord, Decision, Fact
from entitlements.policy import BUILT_IN
from entitlements.resolve import entitlement
from tests.support.histories import MONTH, START, Life, created, item, lives, snapshot, updated


def at_moment(facts: tuple[Fact, ...], at: int) -> CustomerRecord:
    """Return the record by the definition: decide over the fold of what was created up to an instant."""
    _, state = fold([f for f in facts if f.created <= at], BUILT_IN)
    return _record(decide(state, BUILT_IN) if state else None)


def _record(decision: Decision | None) -> CustomerRecord:
    return CustomerRecord(version=1, decisions={"sub_a": decision} if decision else {})


def test_without_facts_there_is_no_history() -> None:
    """Nothing to say is null."""
    assert history([], BUILT_IN) is None


def test_a_product_that_was_swapped_falls_silent() -> None:
    """The old feature has no answer from the swap on, the new one none before it."""
    old, new = snapshot(), snapshot(items=(item("si_2", "team"),))
    found = history([created(START, old), updated(START + 10, old, new)], BUILT_IN)
    assert found
    held = _record(found)

    assert [entitlement(held, "pro", START + t).reason for t in (0, 10)] == [
        "active",
        "unknown_feature",
    ]
    assert [entitlement(held, "team", START + t).reason for t in (0, 10)] == [
        "unknown_feature",
        "active",
    ]


def test_until_reaches_over_events_that_came_later() -> None:
    """Asked about the past, the end of an answer is the event that ended it."""
    unpaid = snapshot("unpaid")
    found = history([created(START, snapshot()), updated(START + 10, snapshot(), unpaid)], BUILT_IN)

    assert entitlement(_record(found), "pro", START + 3).until == START + 10


@given(lives(), st.integers(-5, 5 * MONTH))
def test_the_past_is_answered_by_its_definition(life: Life, later: int) -> None:
    """At every instant, the history answers what deciding over the facts up to then answers."""
    at = START + later
    expected, found = at_moment(life.facts, at), _record(history(life.facts, BUILT_IN))

    for feature in ("pro", "other"):
        one, other = entitlement(expected, feature, at), entitlement(found, feature, at)
        assert replace(one, until=None, then=None) == replace(other, until=None, then=None)


@given(lives())
def test_from_the_last_event_on_it_is_the_present_decision(life: Life) -> None:
    """The history and the held decision agree on the future, `until` and `then` included."""
    last = max(f.created for f in life.facts)
    expected, found = at_moment(life.facts, last), _record(history(life.facts, BUILT_IN))

    assert entitlement(expected, "pro", last) == entitlement(found, "pro", last)
