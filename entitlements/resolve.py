"""A customer's decisions and overrides, and an instant, to answers.

Any granting subscription grants. Explicit deny comes before explicit grant, then a person's review, then policy.
"""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from entitlements.decide import segment_at
from entitlements.model import (
    CUT_OFF,
    PENDING,
    SILENCE,
    CustomerRecord,
    Entitlement,
    Override,
    Review,
    Segment,
    Then,
    Timeline,
)

FOREVER = float("inf")

SKEW = 300
"""Seconds by which Stripe's clock may be ahead of ours: as much as a signature may be."""


class _Answer(NamedTuple):
    """An answer at one instant, without what comes after it."""

    granted: bool
    reason: str
    rule: str | None
    subscription: str | None
    quantity: int


class _Voice(NamedTuple):
    """What one subscription says of one feature at an instant."""

    segment: Segment
    subscription: str
    holds_until: float


def entitlement(record: CustomerRecord, feature: str, at: int) -> Entitlement:
    """Answer one question at an instant: always an answer, also for what is not known."""
    now = _answer(record, feature, at)
    until, then = _next_change(record, feature, at, now)
    return Entitlement(
        feature=feature,
        granted=now.granted,
        reason=now.reason,
        rule=now.rule,
        subscription=now.subscription,
        quantity=now.quantity,
        until=until,
        then=then,
        policy=record.policy,
        flags=_flags(record, now) or UNSET,
        stale=UNSET if record.age is None else True,
        age=age(record),
    )


def age(record: CustomerRecord) -> int | UnsetType:
    """Return the age of a record that is the last that was seen, in seconds rounded up; unset for one that holds."""
    return UNSET if record.age is None else ceil(record.age)


def _flags(record: CustomerRecord, answer: _Answer) -> tuple[str, ...]:
    """Return what is in doubt about an answer; a feature nobody speaks of may be on a page of items never seen."""
    if answer.subscription:
        return record.decisions[answer.subscription].flags
    cut_off = any(CUT_OFF in decision.flags for decision in record.decisions.values())
    return (CUT_OFF,) if cut_off and answer.rule is None else ()


def entitlements(record: CustomerRecord, at: int) -> list[Entitlement]:
    """Answer for every feature that the record knows of, granted or not, by name."""
    return [entitlement(record, feature, at) for feature in features(record)]


def present(record: CustomerRecord, now: int) -> int:
    """Return the instant that is now for a customer: what Stripe has sent has happened, though its clock be ahead."""
    latest = max((decision.as_of for decision in record.decisions.values()), default=now)
    return latest if now < latest <= now + SKEW else now


def features(record: CustomerRecord) -> list[str]:
    """Return the features that a record speaks of."""
    named = {name for decision in record.decisions.values() for name in decision.features}
    return sorted(named | set(record.overrides))


def next_change(record: CustomerRecord, at: int) -> int | None:
    """Return the first instant after `at` at which any answer of the customer changes, or null."""
    known = (e.until for e in entitlements(record, at) if e.until is not None)
    return min(known, default=None)


def next_flip(record: CustomerRecord, feature: str, at: int) -> int | None:
    """Return the first instant after `at` at which the feature is granted or denied anew, or null."""
    now = _answer(record, feature, at).granted
    later = instants(record, feature, at)
    return next((t for t in later if _answer(record, feature, t).granted != now), None)


def _answer(record: CustomerRecord, feature: str, at: int) -> _Answer:
    voices = list(_voices(record, feature, at))
    override = _override(record, feature, at)
    if override:
        quantity = sum(v.segment.quantity for v in voices) or 1
        granted = override.access == "grant"
        name = f"override_{override.access}"
        return _Answer(granted, name, f"override.{override.access}", None, quantity)
    granting = [v for v in voices if v.segment.granted]
    if granting:
        best = max(granting, key=lambda v: (v.holds_until, v.segment.start, v.subscription))
        return _spoken(best, sum(v.segment.quantity for v in granting))
    if voices:
        latest = max(voices, key=lambda v: (v.segment.start, v.subscription))
        return _spoken(latest, latest.segment.quantity)
    reason = "unknown_feature" if record.version else "unknown_customer"
    return _Answer(granted=False, reason=reason, rule=None, subscription=None, quantity=0)


def _spoken(voice: _Voice, quantity: int) -> _Answer:
    s = voice.segment
    return _Answer(s.granted, s.reason, s.rule, voice.subscription, quantity)


def _voices(record: CustomerRecord, feature: str, at: int) -> Iterator[_Voice]:
    for subscription, decision in record.decisions.items():
        if found := decision.features.get(feature):
            review = record.reviews.get(subscription)
            said = tuple(reviewed(segment, review, decision.since) for segment in found)
            segment = segment_at(said, at)
            if segment.start <= at and segment.says() != SILENCE:
                yield _Voice(segment, subscription, _holds_until(said, at))


def reviewed(segment: Segment, review: Review | None, since: int) -> Segment:
    """Put a person's decision in the place of one that is pending, if it is about this very pause, by its beginning."""
    if segment.reason != PENDING or review is None or review.since != since:
        return segment
    name, granted = f"review_{review.access}", review.access == "grant"
    return Segment(segment.start, granted, name, f"review.{review.access}", segment.quantity)


def _holds_until(said: Timeline, at: int) -> float:
    """Return the first instant after `at` from which the feature is denied."""
    return next((s.start for s in said if s.start > at and not s.granted), FOREVER)


def _override(record: CustomerRecord, feature: str, at: int) -> Override | None:
    found = record.overrides.get(feature)
    if found is None or (found.expires_at is not None and found.expires_at <= at):
        return None
    return found


def _next_change(
    record: CustomerRecord, feature: str, at: int, now: _Answer
) -> tuple[int | None, Then | None]:
    """Return the first instant after `at` at which the answer is another one, and what it is then."""
    for instant in instants(record, feature, at):
        later = _answer(record, feature, instant)
        if later != now:
            return instant, Then(later.granted, later.reason)
    return None, None


def instants(record: CustomerRecord, feature: str, at: int) -> list[int]:
    """Return, in order, the instants after `at` at which the answer can change."""
    said = [d.features[feature] for d in record.decisions.values() if feature in d.features]
    found = {segment.start for timeline in said for segment in timeline}
    override = record.overrides.get(feature)
    if override and override.expires_at is not None:
        found.add(override.expires_at)
    return sorted(t for t in found if t > at)
