"""What a pause of collection has given away: service that was granted and that nobody will ever pay for. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from entitlements.decide import since, timeline, with_ends
from entitlements.history import states
from entitlements.model import Item, Pause, Review, State, SubscriptionRecord
from entitlements.policy import DAY, PAUSABLE, Policy
from entitlements.words import reviewed

NEVER_CHARGED = frozenset({"mark_uncollectible", "void"})
"""Behaviours whose invoices are never collected. Those of `keep_as_draft` wait to be, so nothing of it is given."""


class _Era(NamedTuple):
    """A state of the subscription within its pause, and for how long it was in it."""

    state: State
    pause: Pause
    begin: int
    end: int


def days_given_away(
    cold: SubscriptionRecord, review: Review | None, policy: Policy, at: int
) -> int:
    """Return how many whole days of service a subscription's present pause has given away up to an instant.

    A second counts where all of this holds:
    - it lies within the pause: not before it began, before `resumes_at`, and the status is one that a pause has a
      meaning in;
    - the behaviour was then one by which nothing will ever be charged: `mark_uncollectible` or `void`. A pause that
      was `keep_as_draft` before it became `void` gave nothing away as long as it was that;
    - some item of the subscription granted its features then, by the policy (as it is now) and a person's review;
    - and that item was not paid for: the period that was in force when the pause began had ended. An item that came
      later was never paid for.

    Items that overlap count once, and seconds add up before they become days. What a person overrides for the customer
    changes nothing here: it is not the subscription that gives it. Before what is kept of the facts the pause is taken
    to have been as the earliest of them says. Zero without a pause.
    Source of what becomes of invoices: https://docs.stripe.com/billing/subscriptions/pause-payment.
    """
    eras = _eras(cold, policy, at)
    return _length(s for era in eras for s in _unpaid(era, review, policy)) // DAY


def _eras(cold: SubscriptionRecord, policy: Policy, at: int) -> Iterator[_Era]:
    """Yield what the present pause consists of, in order."""
    pause = cold.state.pause if cold.state else None
    if pause is None:
        return
    found = list(states(cold.facts, policy, cold.base))
    ends = [*(begin for begin, _ in found[1:]), at]
    begin = pause.since
    for (_, state), end in zip(found, ends, strict=True):
        if state.pause and state.pause.since == pause.since:
            if _never_charged(state, state.pause):
                yield _Era(state, state.pause, begin, min(end, at))
            begin = end


def _never_charged(state: State, pause: Pause) -> bool:
    understood = state.not_understood is None
    return understood and state.snapshot.status in PAUSABLE and pause.behavior in NEVER_CHARGED


def _unpaid(era: _Era, review: Review | None, policy: Policy) -> Iterator[tuple[int, int]]:
    """Yield the stretches in which an item was granted and not paid for."""
    stop = era.end if era.pause.resumes_at is None else min(era.end, era.pause.resumes_at)
    for item in era.state.snapshot.items:
        start = max(era.begin, era.pause.paid_until.get(item.id, era.begin))
        granted = _granted(era, item, review, policy) if start < stop else ()
        for begin, end in granted:
            if max(begin, start) < min(end, stop):
                yield max(begin, start), min(end, stop)


def _granted(
    era: _Era, item: Item, review: Review | None, policy: Policy
) -> Iterator[tuple[int, int]]:
    """Yield the stretches of an era in which an item was granted."""
    spoken = [(review.created, review)] if review else []
    policed = timeline(replace(era.state, at=era.begin), item, policy)
    said = reviewed(policed, since(era.state), spoken)
    for segment, end in with_ends(said, era.end):
        if segment.granted:
            yield segment.start, end


def _length(stretches: Iterable[tuple[int, int]]) -> int:
    """Return how long stretches are together; what several share counts once."""
    total = reached = 0
    for begin, end in sorted(stretches):
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total
