"""Old facts become a state, and no answer changes by it."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.compact import compacted, precedes
from entitlements.decide import decide
from entitlements.fold import fold
from entitlements.history import history
from entitlements.model import READ, CustomerRecord, Fact, State, SubscriptionRecord
from entitlements.policy import BUILT_IN
from entitlements.resolve import entitlement
from tests.support.histories import MONTH, START, Life, created, lives, point, snapshot, updated

ACTIVE, UNPAID, OVER = snapshot(), snapshot("unpaid"), snapshot("canceled")
PAUSED = snapshot("paused")


def record(*facts: Fact) -> SubscriptionRecord:
    """Return what is held after facts, each received as it was created."""
    arrived = [replace(fact, received_ms=fact.created * 1000) for fact in facts]
    return SubscriptionRecord(*fold(arrived, BUILT_IN))


def kept(found: SubscriptionRecord) -> list[str]:
    """Return the events that are still held."""
    return [fact.event for fact in found.facts]


def test_old_facts_go_and_what_they_made_stays() -> None:
    """A fact at the very edge is not old yet."""
    held = record(
        created(START, ACTIVE),
        updated(START + 5, ACTIVE, UNPAID, "a"),
        updated(START + 9, UNPAID, ACTIVE, "b"),
    )
    found = compacted(held, START + 9, BUILT_IN)

    assert kept(found) == ["b"]
    assert found.state == held.state
    assert found.base == fold(held.facts[:2], BUILT_IN)[1]


def test_a_fact_that_came_late_is_not_old() -> None:
    """Others of its time may still come: a replay brings them in any order."""
    held = record(created(START, ACTIVE))
    late = replace(held.facts[0], received_ms=(START + MONTH) * 1000)

    assert compacted(replace(held, facts=(late,)), START + MONTH, BUILT_IN).base is None


def test_nothing_old_changes_nothing() -> None:
    """The record itself is returned."""
    held = record(created(START, ACTIVE))

    assert compacted(held, START, BUILT_IN) is held
    assert compacted(SubscriptionRecord(), START, BUILT_IN) == SubscriptionRecord()


def test_a_second_is_never_cut() -> None:
    """Its facts stay together where one of them came late."""
    first, a, b = record(
        created(START, ACTIVE),
        updated(START + 5, ACTIVE, UNPAID, "a"),
        updated(START + 5, UNPAID, ACTIVE, "b"),
    ).facts
    held = SubscriptionRecord(
        *fold([first, a, replace(b, received_ms=b.received_ms + 10**6)], BUILT_IN)
    )

    assert kept(compacted(held, START + 9, BUILT_IN)) == ["a", "b"]


def test_a_doubt_stays_until_it_is_settled() -> None:
    """What follows it, or comes late, may still tell."""
    doubt = point(START + 5, PAUSED, "paused", "a"), point(START + 5, UNPAID, "resumed", "b")
    held = record(created(START, ACTIVE), *doubt)
    settled = record(*held.facts, updated(START + 9, UNPAID, ACTIVE, "c"))

    assert sorted(kept(compacted(held, START + MONTH, BUILT_IN))) == ["a", "b"]
    assert kept(compacted(settled, START + MONTH, BUILT_IN)) == []


def test_a_read_stays_with_what_it_may_have_seen() -> None:
    """What comes right after it cannot take its state for the one before."""
    read = Fact("read_1", READ, START + 5, ACTIVE)
    held = record(created(START, ACTIVE), read, updated(START + 6, ACTIVE, UNPAID, "b"))

    assert kept(compacted(held, START + 6, BUILT_IN)) == ["read_1", "b"]
    assert kept(compacted(held, START + 7, BUILT_IN)) == []


def test_what_lies_before_all_that_is_retained_has_no_place() -> None:
    """The second of the base itself is closed; and nothing but another end follows an end."""
    base = compacted(record(created(START, ACTIVE)), START + 1, BUILT_IN).base
    over = compacted(record(point(START, OVER, "deleted", "a")), START + 1, BUILT_IN).base

    assert [precedes(base, created(START + n, ACTIVE)) for n in (-1, 0, 1)] == [True, True, False]
    assert precedes(over, updated(START + 9, ACTIVE, UNPAID))
    assert not precedes(over, point(START + 9, OVER, "deleted", "b"))
    assert not precedes(None, created(START, ACTIVE))


@st.composite
def received(draw: st.DrawFn) -> tuple[Fact, ...]:
    """Draw the facts of a life, reads among them, each with its own delay."""
    life: Life = draw(lives())
    reads = draw(st.lists(st.sampled_from(life.facts), max_size=2, unique=True))
    seen = [
        Fact(f"read_{n}", READ, f.created + draw(st.integers(0, 2)), f.snapshot)
        for n, f in enumerate(reads)
    ]
    delays = st.sampled_from([0, 0, 0, 1, 3600, MONTH])
    return tuple(
        replace(fact, received_ms=(fact.created + draw(delays)) * 1000)
        for fact in (*life.facts, *seen)
    )


@given(received(), st.integers(START, START + 12 * MONTH), st.data())
def test_compaction_changes_no_answer(
    facts: tuple[Fact, ...], before: int, data: st.DataObject
) -> None:
    """At every instant from the base on, and whatever comes after it."""
    whole = SubscriptionRecord(*fold(facts, BUILT_IN))
    found = compacted(whole, before, BUILT_IN)
    begins = found.base.at if found.base else START - 10
    at = data.draw(st.integers(begins, max(begins, facts[-1].created) + 2 * MONTH))
    later = updated(max(begins, facts[-1].created) + 1, ACTIVE, UNPAID, "evt_later")

    assert said(found, at) == said(whole, at)
    assert found.state == whole.state
    for more in (later, replace(later, created=begins + 1)):
        if not precedes(found.base, more):
            assert after(found, more) == after(whole, more)


@given(received(), st.integers(START, START + 12 * MONTH), st.integers(START, START + 12 * MONTH))
def test_compacting_twice_is_compacting_once(facts: tuple[Fact, ...], one: int, other: int) -> None:
    """The later of two instants alone decides what stays, but for a doubt that the first cut off from its end."""
    whole = SubscriptionRecord(*fold(facts, BUILT_IN))
    first, last = sorted((one, other))

    twice = compacted(compacted(whole, first, BUILT_IN), last, BUILT_IN)

    assert twice == compacted(whole, last, BUILT_IN)


def after(record: SubscriptionRecord, more: Fact) -> State | None:
    """Return the state of a record after one more fact."""
    return fold((*record.facts, more), BUILT_IN, record.base)[1]


def said(record: SubscriptionRecord, at: int) -> object:
    """Return the answer of an instant over the life that a record holds."""
    life = history(record.facts, BUILT_IN, record.base)
    if life is None:
        return None
    now = entitlement(CustomerRecord(version=1, decisions={"sub_a": life}), "pro", at)
    assert record.state
    assert decide(record.state, BUILT_IN).since == life.since
    return now
