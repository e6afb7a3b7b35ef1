"""A customer's decisions and overrides, and an instant, to answers.

Any granting subscription grants. Explicit deny comes before explicit grant, then a person's review, then policy.
"""

from collections.abc import Iterable
from math import ceil

from msgspec import UNSET, Struct, UnsetType

from entitlements.decide import segment_at
from entitlements.model import (
    CUT_OFF,
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


class _Answer(Struct, frozen=True):
    """An answer at one instant, without what comes after it."""

    granted: bool
    reason: str
    rule: str | None
    subscription: str | None
    quantity: int


class _Said(Struct, frozen=True):
    """All that is said of one feature, over time."""

    by_subscriptions: list[tuple[str, Timeline]]
    over_them: Timeline
    """What people say over policy; nothing where they do not."""
    unless: str
    """The reason for which it is denied where nobody says anything."""


class _Voice(Struct, frozen=True):
    """What one subscription says of one feature at an instant, and over time."""

    segment: Segment
    subscription: str
    timeline: Timeline


def entitlement(record: CustomerRecord, feature: str, at: int) -> Entitlement:
    """Answer one question at an instant: always an answer, also for what is not known."""
    said = _said(record, feature)
    now = _answer(said, at)
    until, then = _next_change(said, at, now)
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
    said = [_said(record, feature) for feature in features(record)]
    return _first(_next_change(one, at, _answer(one, at))[0] for one in said)


def soonest(answers: Iterable[Entitlement]) -> int | None:
    """Return the same, of a customer's answers for every feature at one instant (`entitlements`)."""
    return _first(answer.until for answer in answers)


def _first(found: Iterable[int | None]) -> int | None:
    return min((until for until in found if until is not None), default=None)


def next_flip(record: CustomerRecord, feature: str, at: int) -> int | None:
    """Return the first instant after `at` at which the feature is granted or denied anew, or null."""
    said = _said(record, feature)
    now, later = _answer(said, at).granted, _instants(said, at)
    return next((t for t in later if _answer(said, t).granted != now), None)


def told_at(record: CustomerRecord, feature: str, at: int) -> tuple[bool, str, int]:
    """Return what an answer says at an instant, without what comes after it: granted, reason and quantity."""
    found = _answer(_said(record, feature), at)
    return found.granted, found.reason, found.quantity


def instants(record: CustomerRecord, feature: str, at: int) -> list[int]:
    """Return, in order, the instants after `at` at which the answer can change."""
    return _instants(_said(record, feature), at)


def _said(record: CustomerRecord, feature: str) -> _Said:
    by_subscriptions = [
        (name, _reviewed(record, name, timeline))
        for name, decision in record.decisions.items()
        if (timeline := decision.features.get(feature))
    ]
    unless = "unknown_feature" if record.version else "unknown_customer"
    return _Said(by_subscriptions, _overruling(record, feature), unless)


def _reviewed(record: CustomerRecord, subscription: str, said: Timeline) -> Timeline:
    review = record.reviews.get(subscription)
    if review is None or record.overruled is not None:
        return said
    return reviewed(said, record.decisions[subscription].since, [(review.created, review)])


def _overruling(record: CustomerRecord, feature: str) -> Timeline:
    if record.overruled is not None:
        return record.overruled.get(feature, ())
    override = record.overrides.get(feature)
    return of_override(override) if override else ()


def _answer(said: _Said, at: int) -> _Answer:
    voices = _voices(said, at)
    if said.over_them and (word := _speaking(said.over_them, at)):
        quantity = sum(v.segment.quantity for v in voices) or word.quantity
        return _Answer(word.granted, word.reason, word.rule, None, quantity)
    if len(voices) == 1:  # by far the most
        return _spoken(voices[0], voices[0].segment.quantity)
    if granting := [v for v in voices if v.segment.granted]:
        best = max(granting, key=lambda v: (_holds_until(v, at), v.segment.start, v.subscription))
        return _spoken(best, sum(v.segment.quantity for v in granting))
    if voices:
        latest = max(voices, key=lambda v: (v.segment.start, v.subscription))
        return _spoken(latest, latest.segment.quantity)
    return _Answer(granted=False, reason=said.unless, rule=None, subscription=None, quantity=0)


def _voices(said: _Said, at: int) -> list[_Voice]:
    return [
        _Voice(segment, name, timeline)
        for name, timeline in said.by_subscriptions
        if (segment := _speaking(timeline, at))
    ]


def _speaking(timeline: Timeline, at: int) -> Segment | None:
    """Return the segment that holds at an instant, if it says anything."""
    segment = segment_at(timeline, at)
    return segment if segment.start <= at and segment.speaks() else None


def _spoken(voice: _Voice, quantity: int) -> _Answer:
    s = voice.segment
    return _Answer(s.granted, s.reason, s.rule, voice.subscription, quantity)


def _holds_until(voice: _Voice, at: int) -> float:
    """Return the first instant after `at` from which the feature is denied."""
    return next((s.start for s in voice.timeline if s.start > at and not s.granted), FOREVER)


def _next_change(said: _Said, at: int, now: _Answer) -> tuple[int | None, Then | None]:
    """Return the first instant after `at` at which the answer is another one than now, and what it is then."""
    for instant in _instants(said, at):
        later = _answer(said, instant)
        if later != now:
            return instant, Then(later.granted, later.reason)
    return None, None


def _instants(said: _Said, at: int) -> list[int]:
    found = {s.start for s in said.over_them if s.start > at}
    for _, timeline in said.by_subscriptions:
        found.update([s.start for s in timeline if s.start > at])
    return sorted(found)
