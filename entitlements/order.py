"""The canonical order of one subscription's events. Arrival plays no part in it.

Stripe promises no order and `created` has one-second resolution, so a later second wins, and within one second the
events are put in order by what they say of themselves. An `updated` event carries `previous_attributes`, which makes
it an edge from the state before it to the state after it. The edges of one second form a walk: it starts in the state
held before and ends in the one state that some edge arrives at and none leaves. Where every arrival is balanced by a
departure, the walk is a round trip and the second ends where it began. Neither a clock nor a call to Stripe is needed.

- Creation is first; deletion, `canceled` and `incomplete_expired` are last and final, whatever their second.
- Stripe may make two events of one change: the twin has the same request and the same two states, and is one edge.
- `paused` and `resumed` come beside their `updated`: points, not edges. They say where the walk has been.
- Where more than one end remains possible, what follows may tell: the next second begins in one of them. Else the
  second is ambiguous. The end is then chosen by a fixed preference, the same for every order of arrival, and a missing
  event or a read from Stripe heals it.
- A read from Stripe says how the second in which it began was entered, so it comes before that second's events.

Source: https://docs.stripe.com/webhooks (event ordering) and the fields of the Event object.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from entitlements.model import READ, Fact, Snapshot
from entitlements.policy import Access

FINAL = frozenset({"canceled", "incomplete_expired"})

READ_SPAN = 10
"""Seconds after its stamp within which a read may have seen what happened: longer than one may take."""

_ENTITLING = (  # from the least entitling to the most
    "incomplete_expired",
    "canceled",
    "incomplete",
    "unpaid",
    "paused",
    "past_due",
    "trialing",
    "active",
)


class Second(NamedTuple):
    """The facts of one second in canonical order. The last one holds the state that the second ends in."""

    facts: tuple[Fact, ...]
    ambiguous: bool


class _Edge(NamedTuple):
    """One change, however many events tell of it."""

    before: Snapshot
    after: Snapshot
    request: str | None


def is_final(fact: Fact) -> bool:
    """Tell whether nothing can follow this fact: the subscription is over."""
    return fact.type == "customer.subscription.deleted" or fact.snapshot.status in FINAL


def by_second(facts: Iterable[Fact]) -> list[list[Fact]]:
    """Return the facts grouped by second, earliest first, each group in an order that arrival does not touch.

    Final facts form the last groups, even if some other event claims a later second. A read is a group by itself.
    """
    ordered = sorted(facts, key=lambda f: (*_second(f), f.event))
    return [list(group) for _, group in groupby(ordered, key=_second)]


def _second(fact: Fact) -> tuple[bool, int, bool]:
    return is_final(fact), fact.created, fact.type != READ


def entered(before: Fact | None, group: Sequence[Fact]) -> bool:
    """Tell whether the state after a fact is certainly the one that the next group began in.

    A read may have seen a part of what the group tells of: it is stamped when it began, and took a while.
    """
    return before is None or before.type != READ or group[0].created > before.created + READ_SPAN


def within_second(
    held: Snapshot | None,
    group: Sequence[Fact],
    prefer: Access,
    following: Sequence[Fact] = (),
) -> Second:
    """Put the facts of one second in order.

    `held` is the state before the second, or null where none is known; `prefer` chooses among several possible ends,
    unless the group that follows says which of them it began in.
    """
    if len(group) == 1:
        return Second(tuple(group), ambiguous=False)
    if is_final(group[0]):
        return Second(tuple(sorted(group, key=_finality)), ambiguous=False)
    created = [f for f in group if f.type == "customer.subscription.created"]
    start = created[0].snapshot if created else held
    edges = _edges(group)
    ends = _possible_ends(start, edges, [f.snapshot for f in group if f not in created])
    if len(ends) > 1:
        ends = ends & _beginnings(following) or ends
    end = _preferred(ends, prefer) if ends else group[0].snapshot
    return Second(_arrange(group, start, end, edges), ambiguous=len(ends) > 1)


def _finality(fact: Fact) -> tuple[bool, str]:
    return fact.type == "customer.subscription.deleted", fact.event


def _edges(group: Iterable[Fact]) -> list[_Edge]:
    """Return the distinct changes of state that the facts tell of, in a fixed order."""
    found = {
        _Edge(before, fact.snapshot, fact.request): None
        for fact in group
        if (before := fact.snapshot_before()) is not None and before != fact.snapshot
    }
    return list(found)


def _possible_ends(
    start: Snapshot | None, edges: Sequence[_Edge], seen: Sequence[Snapshot]
) -> set[Snapshot]:
    """Return the states in which the second can have ended, from arrivals minus departures."""
    balance = Counter(edge.after for edge in edges)
    balance.subtract(edge.before for edge in edges)
    touched = set(balance)
    ends = {state for state, n in balance.items() if n > 0}
    if edges and not ends:
        ends = {start} if start in touched and start is not None else touched
    # A state that was seen, and that no edge leads to or from, may have come after the walk.
    return ends | ({state for state in seen if state not in touched} - {start})


def _beginnings(group: Sequence[Fact]) -> set[Snapshot]:
    """Return the states in which a second can have begun, by what its own facts say."""
    if reads := {fact.snapshot for fact in group if fact.type == READ}:
        return reads
    edges = _edges(group)
    balance = Counter(edge.before for edge in edges)
    balance.subtract(edge.after for edge in edges)
    return {state for state, n in balance.items() if n > 0} or set(balance)


def _preferred(ends: Iterable[Snapshot], prefer: Access) -> Snapshot:
    best = max if prefer == "grant" else min
    return best(ends, key=_entitling)


def _entitling(state: Snapshot) -> tuple[int, bool, str]:
    """Rank a state by how much it entitles; its own text breaks ties, so that arrival never does."""
    rank = _ENTITLING.index(state.status) if state.status in _ENTITLING else -1
    return rank, not state.pause_collection, repr(state)


def _arrange(
    group: Sequence[Fact], start: Snapshot | None, end: Snapshot, edges: Sequence[_Edge]
) -> tuple[Fact, ...]:
    """Return the facts along the walk from start to end, each point where the walk last was in its state."""
    walk = _walk(start, end, edges)
    place = {state: i for i, state in enumerate(walk)}
    steps = {pair: i for i, pair in enumerate(pairwise(walk), start=1)}

    def position(fact: Fact) -> tuple[bool, int, str]:
        before = fact.snapshot_before()
        step = steps.get((before, fact.snapshot)) if before is not None else None
        where = place.get(fact.snapshot, -1) if step is None else step
        return fact.type != "customer.subscription.created", where, fact.event

    return tuple(sorted(group, key=position))


def _walk(start: Snapshot | None, end: Snapshot, edges: Sequence[_Edge]) -> list[Snapshot]:
    """Return the states passed, walking the edges backwards from the end (Hierholzer's algorithm).

    Backwards, because the end is what is certain: a lost event leaves a gap behind, never ahead.
    """
    into: dict[Snapshot, list[_Edge]] = {}
    for edge in sorted(edges, key=lambda e: e.before == start):
        into.setdefault(edge.after, []).append(edge)
    stack, path = [end], []
    while stack:
        if incoming := into.get(stack[-1]):
            stack.append(incoming.pop(0).before)
        else:
            path.append(stack.pop())
    return path
