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
    SILENCE,
    CustomerRecord,
    Entitlement,
    Segment,
    Then,
    Timeline,
)
from entitlements.words import of_override, reviewed

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
    until, then = _next_change(record, feature, at)
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
    """Return the instant that is now for a customer: what was sent or said has happened, though its clock be ahead."""
    known = latest_known(record)
    return known if now < known <= now + SKEW else now


def latest_known(record: CustomerRecord) -> int:
    """Return the latest instant at which something happened, or a person said something, that a record knows of."""
    return max([record.said_at, *(decision.as_of for decision in record.decisions.values())])


def features(record: CustomerRecord) -> list[str]:
    """Return the features that a record speaks of."""
    named = {name for decision in record.decisions.values() for name in decision.features}
    spoken = record.overrides if record.overruled is None else record.overruled
    return sorted(named | set(spoken))


def next_change(record: CustomerRecord, at: int) -> int | None:
    """Return the first instant after `at` at which any answer of the customer changes, or null."""
    found = (_next_change(record, feature, at)[0] for feature in features(record))
    return min((until for until in found if until is not None), default=None)


def next_flip(record: CustomerRecord, feature: str, at: int) -> int | None:
    """Return the first instant after `at` at which the feature is granted or denied anew, or null."""
    now = _answer(record, feature, at).granted
    later = instants(record, feature, at)
    return next((t for t in later if _answer(record, feature, t).granted != now), None)


def told_at(record: CustomerRecord, feature: str, at: int) -> tuple[bool, str, int]:
    """Return what an answer says at an instant, without what comes after it: granted, reason and quantity."""
    found = _answer(record, feature, at)
    return found.granted, found.reason, found.quantity


def _answer(record: CustomerRecord, feature: str, at: int) -> _Answer:
    voices = list(_voices(record, feature, at))
    said = _overruling(record, feature)
    if said and (word := segment_at(said, at)).start <= at and word.says() != SILENCE:
        quantity = sum(v.segment.quantity for v in voices) or word.quantity
        return _Answer(word.granted, word.reason, word.rule, None, quantity)
    granting = [v for v in voices if v.segment.granted]
    if len(granting) == 1:  # by far the most
        return _spoken(granting[0], granting[0].segment.quantity)
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
            said = _reviewed(record, subscription, found)
            segment = segment_at(said, at)
            if segment.start <= at and segment.says() != SILENCE:
                yield _Voice(segment, subscription, _holds_until(said, at))


def _reviewed(record: CustomerRecord, subscription: str, said: Timeline) -> Timeline:
    review = record.reviews.get(subscription)
    if review is None or record.overruled is not None:
        return said
    return reviewed(said, record.decisions[subscription].since, [(review.created, review)])


def _holds_until(said: Timeline, at: int) -> float:
    """Return the first instant after `at` from which the feature is denied."""
    return next((s.start for s in said if s.start > at and not s.granted), FOREVER)


def _overruling(record: CustomerRecord, feature: str) -> Timeline:
    """Return what people say of a feature over policy, over time; nothing where they do not."""
    if record.overruled is not None:
        return record.overruled.get(feature, ())
    override = record.overrides.get(feature)
    return of_override(override) if override else ()


def _next_change(record: CustomerRecord, feature: str, at: int) -> tuple[int | None, Then | None]:
    """Return the first instant after `at` at which the answer is another one, and what it is then."""
    now = None
    for instant in instants(record, feature, at):
        now = now or _answer(record, feature, at)
        later = _answer(record, feature, instant)
        if later != now:
            return instant, Then(later.granted, later.reason)
    return None, None


def instants(record: CustomerRecord, feature: str, at: int) -> list[int]:
    """Return, in order, the instants after `at` at which the answer can change."""
    said = [
        _reviewed(record, name, decision.features[feature])
        for name, decision in record.decisions.items()
        if feature in decision.features
    ]
    found = {segment.start for timeline in said for segment in timeline}
    found |= {segment.start for segment in _overruling(record, feature)}
    return sorted(t for t in found if t > at)
