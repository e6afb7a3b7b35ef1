"""Overrides: a person's word over policy, for one customer and feature. Set, taken back, and listed as they expire."""

from functools import partial
from typing import Literal, NamedTuple

from msgspec import Struct

from entitlements.errors import BadRequest, Conflict, NotFound
from entitlements.model import Override, Subject
from entitlements.say import Plan, Saying, foresee, instant, repeats, say
from entitlements.store.audit import Deed
from entitlements.store.places import Place, Span, page
from entitlements.store.store import Spoken, Store
from entitlements.store.write import Mark
from entitlements.words import Word, Words, adopted, overridden, unexpired

LIST = "expiring"
"""Of all partitions: `<subject> <feature>`, by when it expires."""

MOST = 100
"""Overrides that a customer may have at once: its record is read with every answer."""


class Wish(Struct, frozen=True):
    """What somebody wants to hold for one feature of a customer; null for what policy says."""

    subject: Subject
    feature: str
    access: Literal["grant", "deny"] | None
    expires_at: int | None = None


async def write(store: Store, wish: Wish, deed: Deed) -> Saying:
    """Set an override, or take it back. Raises NotFound, BadRequest, Conflict, StoreError."""
    action = "override.clear" if wish.access is None else "override.set"
    return await say(store, wish.subject, deed, action, await _planning(store, wish, deed))


async def preview(store: Store, wish: Wish, deed: Deed) -> Saying:
    """Return what that would change. Writes nothing. Raises as it would."""
    return await foresee(store, wish.subject, deed.at, await _planning(store, wish, deed))


async def _planning(store: Store, wish: Wish, deed: Deed) -> "partial[Plan | None]":
    return partial(_plan, wish, deed, (await store.policy_in_force()).digest)


def _plan(wish: Wish, deed: Deed, policy: str, held: Spoken) -> Plan | None:
    word = _word(wish, deed, instant(held.record, deed.at))
    if repeats(held.words.overrides, word):
        return None
    _require_possible(wish, held, word.at)
    record, words = overridden(held.record, held.words, word, policy)
    mark = Mark(LIST, wish.expires_at, f"{wish.subject} {wish.feature}")
    return Plan(record, words, [mark], _outcome(wish))


def _word(wish: Wish, deed: Deed, at: int) -> Word[Override]:
    if wish.access is None:
        return Word(at, deed.by, wish.feature, None, deed.reason)
    said = Override(wish.access, deed.reason, wish.expires_at, at)
    return Word(at, deed.by, wish.feature, said)


def _outcome(wish: Wish) -> str:
    until = "" if wish.expires_at is None else f" until {wish.expires_at}"
    return f"{wish.feature}: {wish.access or 'as policy says'}{until}"


def _require_possible(wish: Wish, held: Spoken, at: int) -> None:
    overrides = unexpired(held.record, at)
    if wish.access is None:
        holding(held, wish.feature, at)
    elif wish.expires_at is not None and wish.expires_at <= at:
        raise BadRequest(
            f"expires_at={wish.expires_at} is not in the future: it is {at} now. "
            "Leave it out for an override without an end, or delete the one there is."
        )
    elif wish.feature not in overrides and len(overrides) >= MOST:
        raise Conflict(
            f"This customer has {len(overrides)} overrides, as many as there may be. Delete one that is not needed."
        )


def holding(held: Spoken, feature: str, at: int) -> Word[Override]:
    """Return the word by which an override holds. Raises NotFound."""
    if feature not in unexpired(held.record, at):
        raise NotFound(
            f"No override holds for {feature}: none was set, or it was deleted or has expired. "
            "The history of the customer's overrides tells."
        )
    return last_set(adopted(held.words, held.record), feature)


def last_set(words: Words, feature: str) -> Word[Override]:
    """Return the word that set the last override of a feature. There is one."""
    return next(w for w in reversed(words.overrides) if w.about == feature and w.said is not None)


class OfCustomer(NamedTuple):
    """The words by which overrides hold, and all words."""

    holding: list[Word[Override]]
    words: Words


async def of_customer(store: Store, subject: Subject, now: int) -> OfCustomer:
    """Return a customer's overrides, by feature, and their history. Raises StoreError."""
    held = await store.spoken(subject)
    words, at = adopted(held.words, held.record), instant(held.record, now)
    return OfCustomer([last_set(words, f) for f in sorted(unexpired(held.record, at))], words)


async def one(store: Store, subject: Subject, feature: str, now: int) -> Word[Override]:
    """Return the word by which an override holds for a feature. Raises NotFound, StoreError."""
    held = await store.spoken(subject)
    return holding(held, feature, instant(held.record, now))


class Expiring(NamedTuple):
    """Some overrides of all customers, each with its place on the list, and whether there are more."""

    found: list[tuple[Place, Word[Override]]]
    more: bool


async def expiring(store: Store, limit: int, after: Place | None, span: Span) -> Expiring:
    """Return so many overrides that expire within a span, the next one first, from behind a place on.

    One that is taken back meanwhile is left out. Raises StoreError.
    """
    places = await page(store, LIST, limit + 1, after, span)
    said = await store.words([place.subject for place in places[:limit]])
    pairs = ((p, _at(p, words)) for p, words in zip(places[:limit], said, strict=True))
    return Expiring([(p, word) for p, word in pairs if word], len(places) > limit)


def _at(place: Place, words: Words) -> Word[Override] | None:
    """Return the word that put an override where it stands on the list, if it is the last one about it."""
    feature = place.about
    last = next((word for word in reversed(words.overrides) if word.about == feature), None)
    return last if last and last.said and last.said.expires_at == place.at else None
