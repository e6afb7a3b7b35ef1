"""Facts to state. A subscription is its facts: the state is a cache of this fold, and can always be made again.

Three things are known only from history, and are therefore folded, never read from the latest event alone:

- when a pause of collection began, and up to when each item was paid for *then*. While collection is paused, periods
  keep rolling and each renewal moves the period's end on, although nothing is charged;
- since when the status is what it is, so that a grace has a fixed end which later events do not move;
- what held before a value that we do not know.

Source: https://docs.stripe.com/billing/subscriptions/pause-payment and design notes in deploy/decisions.
"""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from msgspec import UNSET
from msgspec.structs import replace

from entitlements import order
from entitlements.model import Before, Fact, Item, Pause, PauseCollection, Snapshot, State
from entitlements.policy import BEHAVIORS, STATUSES, Policy

ENDS_USE = frozenset({"canceled", "paused"})
"""Statuses that can come in the middle of a paid period. Pausing cuts the period short, so what was paid is kept."""

OWING = frozenset({"past_due", "unpaid", "incomplete", "incomplete_expired"})
"""Statuses whose period in force is not paid for."""


def fold(
    facts: Iterable[Fact], policy: Policy, base: State | None = None
) -> tuple[tuple[Fact, ...], State | None]:
    """Fold facts, given in any order and with any duplicates taken out, from a base that they all come after.

    Returns them in canonical order, and the state that they end in (without facts the base, null being from nothing).
    """
    groups = order.by_second(facts)
    ordered: list[Fact] = []
    state = base
    for group, following in zip_longest(groups, groups[1:], fillvalue=()):
        held = state.snapshot if state and order.entered(_last(ordered), group) else None
        second = order.within_second(held, group, policy.ambiguous, following)
        state = _over(state, second)
        ordered += second.facts
    return tuple(ordered), state


def _last(facts: Sequence[Fact]) -> Fact | None:
    return facts[-1] if facts else None


def _over(state: State | None, second: order.Second) -> State:
    """Carry a state over one more second, which must not be empty."""
    for fact in second.facts:
        state = step(state, fact)
    assert state is not None  # a second is never empty
    return replace(state, ambiguous=second.ambiguous)


def follows(state: State | None, fact: Fact) -> bool:
    """Tell whether a fact comes after all that a state was folded from, so that one step is enough.

    After an ambiguous second it is not: the fact may tell how that second ended.
    """
    if state is None:
        return True
    over = state.snapshot.status in order.FINAL
    return state.at < fact.created and not over and not state.ambiguous


def step(state: State | None, fact: Fact) -> State:
    """Carry a state over one fact. What is not understood changes nothing but says so."""
    value = not_understood(fact.snapshot)
    if value and state:
        return replace(state, at=fact.created, not_understood=value)
    return State(
        at=fact.created,
        snapshot=fact.snapshot,
        status_since=_status_since(state, fact),
        paid_until=_paid_until(state, fact),
        pause=_pause(state, fact),
        not_understood=value,
        held_before=value is None,
    )


def not_understood(snapshot: Snapshot) -> str | None:
    """Return the value of a snapshot that is not known, as `status=…` or `behavior=…`; null when all is."""
    pause = snapshot.pause_collection
    if snapshot.status not in STATUSES:
        return f"status={snapshot.status}"
    if pause and pause.behavior not in BEHAVIORS:
        return f"behavior={pause.behavior}"
    return None


def _status_since(state: State | None, fact: Fact) -> int:
    """Return when the present status began: the event that changed it says so, later ones do not move it."""
    return state.status_since if state and _same_status(state, fact) else fact.created


def _same_status(state: State, fact: Fact) -> bool:
    before = fact.before or Before()
    changed_here = before.status is not UNSET and before.status != fact.snapshot.status
    return state.snapshot.status == fact.snapshot.status and not changed_here


def _paid_until(state: State | None, fact: Fact) -> dict[str, int]:
    """Return what was paid when a status began that ends the use. One that follows another adds nothing to it."""
    if fact.snapshot.status not in ENDS_USE:
        return {}
    before = fact.snapshot_before() or (state.snapshot if state else fact.snapshot)
    if state and {before.status, state.snapshot.status} <= ENDS_USE:
        return state.paid_until
    return paid_until(before, state.pause if state else None, fact.created)


def paid_until(before: Snapshot, pause: Pause | None, at: int) -> dict[str, int]:
    """Return, by item, the end of what is paid where the use ends at an instant.

    While collection is paused that is no more than when the pause began; while payment is owed it is nothing.
    """
    if before.status in OWING:
        return {}
    if pause and not lapsed(pause, at):
        return pause.paid_until
    return _period_ends(before.items)


def lapsed(pause: Pause | PauseCollection, at: int) -> bool:
    """Tell whether a pause has reached its `resumes_at`. Stripe sends no event then."""
    return pause.resumes_at is not None and pause.resumes_at <= at


def _pause(state: State | None, fact: Fact) -> Pause | None:
    """Return the pause after a fact. A change of behaviour or of `resumes_at` goes on with the pause that is held."""
    held = state.pause if state else None
    now = fact.snapshot.pause_collection
    if now is UNSET:  # an API version without the field: the event says nothing about it
        return held
    if now is None:
        return None
    began_here = fact.before is not None and fact.before.pause_collection is None
    if held and not began_here and not _another(held, now, fact.created):
        return replace(held, behavior=now.behavior, resumes_at=now.resumes_at)
    before = fact.snapshot_before() or fact.snapshot
    return Pause(
        behavior=now.behavior,
        since=fact.created,
        paid_until=_period_ends(before.items),
        resumes_at=now.resumes_at,
        assumed=not (began_here or held or fact.type == "customer.subscription.created"),
    )


def _another(held: Pause, now: PauseCollection, at: int) -> bool:
    """Tell whether a pause had reached its `resumes_at`, so that another date means another pause."""
    return lapsed(held, at) and now.resumes_at != held.resumes_at


def _period_ends(items: Iterable[Item]) -> dict[str, int]:
    return {item.id: item.period_end for item in items if item.period_end is not None}
