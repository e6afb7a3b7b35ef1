"""What people say over policy, as a history: what holds of it at an instant, and what is kept of it. Pure.

A word is a fact that is known in the moment in which it happens. So what holds at an instant, by what was known at
another, is what had been said by the earlier of the two: the last word about each thing, unless it has expired.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from entitlements.decide import minimal, undecided, with_ends
from entitlements.model import (
    SILENCE,
    CustomerRecord,
    Override,
    Review,
    Segment,
    Timeline,
)

Said = TypeVar("Said", Override, Review)


class Word(Struct, Generic[Said], frozen=True, omit_defaults=True):
    """What a person once said about a feature or a subscription of a customer, or took back."""

    at: int
    by: str
    about: str
    said: Said | None = None
    """Null where an override was taken back."""
    reason: str = ""
    """Why it was; what is said has its own."""


class Words(Struct, frozen=True, omit_defaults=True):
    """All that people said over policy about one customer, in the order in which it was written."""

    overrides: tuple[Word[Override], ...] = ()
    reviews: tuple[Word[Review], ...] = ()
    settled: int = 0
    """The instant before which what held is not known any more: older words are kept no more."""


KEPT = 64
"""Words of each kind that are kept of a customer, beside those that hold: what is older goes first."""

NOTHING_SAID = Words()

Steps = Sequence[tuple[int, Review | None]]
"""What holds from each instant on, of what was said about one subscription; the first one first."""


# -- What is kept


def overridden(
    record: CustomerRecord, words: Words, word: Word[Override], policy: str
) -> tuple[CustomerRecord, Words]:
    """Return a customer's record and words after one more about a feature.

    The record has what holds, the words what is kept of the past. `policy` is the digest for who was never heard of.
    """
    said = adopted(words, record)
    kept, settled = _bounded((*said.overrides, word), word.at)
    return _after(
        record, replace(said, overrides=kept, settled=max(settled, said.settled)), word.at, policy
    )


def judged(
    record: CustomerRecord, words: Words, word: Word[Review]
) -> tuple[CustomerRecord, Words]:
    """Return a customer's record and words after one more about a subscription."""
    said = adopted(words, record)
    kept, settled = _bounded((*said.reviews, word), word.at)
    said = replace(said, reviews=kept, settled=max(settled, said.settled))
    return _after(record, said, word.at, record.policy)


def _after(
    record: CustomerRecord, said: Words, at: int, policy: str
) -> tuple[CustomerRecord, Words]:
    return replace(
        record,
        version=record.version + 1,
        policy=record.policy or policy,
        said_at=at,
        overrides=holding(said.overrides, at),
        reviews=holding(said.reviews, at),
    ), said


def adopted(words: Words, record: CustomerRecord) -> Words:
    """Return the words with what a record holds that none of them tells, from before they were kept."""
    return replace(
        words,
        overrides=(*_untold(record.overrides, words.overrides), *words.overrides),
        reviews=(*_untold(record.reviews, words.reviews), *words.reviews),
    )


def _untold(held: Mapping[str, Said], told: Iterable[Word[Said]]) -> list[Word[Said]]:
    known = {word.about for word in told}
    return [Word(s.created, "", name, s) for name, s in held.items() if name not in known]


def _bounded(said: Sequence[Word[Said]], now: int) -> tuple[tuple[Word[Said], ...], int]:
    """Drop the oldest words that are over; return the others, and up to when those held."""
    ends = [_end(word, said[n + 1 :]) for n, word in enumerate(said)]
    over = [n for n, end in enumerate(ends) if end <= now]
    dropped = over[: max(0, len(said) - KEPT)]
    kept = tuple(word for n, word in enumerate(said) if n not in dropped)
    return kept, max((int(ends[n]) for n in dropped), default=0)


def _end(word: Word[Said], later: Iterable[Word[Said]]) -> float:
    """Return the instant from which a word counts no more."""
    if word.said is None:
        return word.at
    return min(next((w.at for w in later if w.about == word.about), inf), _expires(word.said))


def _expires(said: Override | Review) -> float:
    return inf if isinstance(said, Review) or said.expires_at is None else said.expires_at


# -- What holds


def holding(said: Iterable[Word[Said]], at: int) -> dict[str, Said]:
    """Return, by what it is about, what had been said by an instant and holds then."""
    last = {word.about: word.said for word in said if word.at <= at}
    return {name: s for name, s in last.items() if s is not None and at < _expires(s)}


def unexpired(record: CustomerRecord, at: int) -> dict[str, Override]:
    """Return the overrides of a record without those that have expired by an instant."""
    return {name: held for name, held in record.overrides.items() if at < _expires(held)}


def standing(reviews: Mapping[str, Review]) -> dict[str, Review]:
    """Return the reviews that were not taken back."""
    return {name: review for name, review in reviews.items() if review.access is not None}


def told_by(words: Words, at: int | None) -> Words:
    """Return the words that had been said by an instant; all of them for null."""
    if at is None:
        return words
    return replace(
        words,
        overrides=tuple(word for word in words.overrides if word.at <= at),
        reviews=tuple(word for word in words.reviews if word.at <= at),
    )


def overruling(said: Sequence[Word[Override]]) -> dict[str, Timeline]:
    """Return what overrides say of each feature over time: silence where none holds."""
    found = {}
    for feature in sorted({word.about for word in said}):
        mine = [word for word in said if word.about == feature]
        ends = (word.said.expires_at for word in mine if word.said)
        instants = {word.at for word in mine} | {end for end in ends if end is not None}
        holds = ((t, holding(mine, t).get(feature)) for t in sorted(instants))
        found[feature] = minimal(_segment(t, override) for t, override in holds)
    return found


def of_override(override: Override) -> Timeline:
    """Return what one override says over time."""
    said = _segment(override.created, override)
    over = () if override.expires_at is None else (_segment(override.expires_at, None),)
    return (said, *over)


def _segment(at: int, override: Override | None) -> Segment:
    if override is None:
        return Segment(at, *SILENCE)
    granted = override.access == "grant"
    return Segment(at, granted, f"override_{override.access}", f"override.{override.access}", 1)


def steps(said: Sequence[Word[Review]], subscription: str) -> Steps:
    """Return what holds from when on, of what was said about a subscription."""
    mine = [word for word in said if word.about == subscription]
    instants = sorted({word.at for word in mine})
    return [(t, holding(mine, t).get(subscription)) for t in instants]


def reviewed(said: Timeline, since: int, given: Steps) -> Timeline:
    """Put a person's decisions in the place of what is left to a person, each from when it was made.

    Only those that are about this very question, which began at `since`.
    """
    pieces = (_pieces(s, end, since, given) for s, end in with_ends(said, inf))
    return tuple(piece for some in pieces for piece in some)


def _pieces(segment: Segment, end: float, since: int, given: Steps) -> list[Segment]:
    if not undecided(segment):
        return [segment]
    starts = sorted({segment.start, *(t for t, _ in given if segment.start < t < end)})
    return [_decided(replace(segment, start=t), _at(given, t), since) for t in starts]


def _at(given: Steps, at: int) -> Review | None:
    return next((review for start, review in reversed(given) if start <= at), None)


def _decided(segment: Segment, review: Review | None, since: int) -> Segment:
    if review is None or review.access is None or review.since != since:
        return segment
    name, granted = f"review_{review.access}", review.access == "grant"
    return Segment(segment.start, granted, name, f"review.{review.access}", segment.quantity)
