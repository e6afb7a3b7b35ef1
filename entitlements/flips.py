"""What the change feed is told: each change of an answer once and in order, whoever comes first to tell it. Pure.

A customer is due when its next answer changes by the clock. Between the last instant that was told and the one before
it is due nothing changes, so how the feed stands needs no record of its own: it is what held just before the due
instant. The worker tells flips when they are due, and a write first tells those that nobody has told yet. Both compare
the due instant in the store and move it with what they tell (store/commit.lua, store/flip.lua): nothing is told twice.
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from entitlements.model import Change, CustomerRecord, Subject
from entitlements.resolve import SKEW, features, latest_known, next_change, told_at

NEVER = 2**53
"""Later than every instant, and exact as a score of the store."""


class Held(NamedTuple):
    """A customer's record, and when it is due: null where the clock changes nothing more."""

    record: CustomerRecord
    due: int | None


class Flips(Struct, frozen=True):
    """What the clock has changed, and when it changes something next."""

    changes: tuple[Change, ...]
    due: int | None


class Told(Struct, frozen=True):
    """What is told of a write, and the instant up to which the customer's story is told with it."""

    changes: tuple[Change, ...]
    at: int


class _Moment(NamedTuple):
    """A record at an instant."""

    record: CustomerRecord
    at: int


def flips(held: Held, subject: Subject, now: int) -> Flips:
    """Return what the clock has changed from the due instant up to `now`, each change at its own instant."""
    record, due = held
    found: list[Change] = []
    while due is not None and due <= now:
        found += _changes(_Moment(record, due - 1), _Moment(record, due), subject, None)
        due = next_change(record, due)
    return Flips(tuple(found), due)


def told(
    before: Held, after: CustomerRecord, subject: Subject, event: str | None, now: int
) -> Told:
    """Return what is told of a write: the flips up to then, and each answer that it makes another one.

    `event` caused the write, or none did.
    """
    at = _instant(before, after, now)
    gone = flips(before, subject, at)
    stands = _Moment(before.record, _stands(gone.due))
    changed = _changes(stands, _Moment(after, at), subject, event)
    return Told((*gone.changes, *changed), at)


def _instant(before: Held, after: CustomerRecord, now: int) -> int:
    """Return the present of a write. Stripe's clock may be ahead of ours, and so may that of who told a flip."""
    at = max(now, latest_known(after))
    reach = min(_stands(before.due), at + SKEW)
    while (later := next_change(before.record, at)) is not None and later <= reach:
        at = later
    return at


def _stands(due: int | None) -> int:
    """Return an instant at which what holds is what the feed was told last."""
    return NEVER if due is None else due - 1


def _changes(
    was: _Moment, becomes: _Moment, subject: Subject, event: str | None
) -> Iterator[Change]:
    """Yield each answer that is another one at the second moment."""
    for feature in sorted({*features(was.record), *features(becomes.record)}):
        new = told_at(becomes.record, feature, becomes.at)
        if told_at(was.record, feature, was.at) != new:
            granted, reason, quantity = new
            yield Change(
                customer=subject.customer,
                account=subject.account,
                feature=feature,
                granted=granted,
                reason=reason,
                quantity=quantity,
                version=becomes.record.version,
                at=becomes.at,
                event=event,
            )
