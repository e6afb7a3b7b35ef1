"""Reviews: what policy leaves to a person, subscription by subscription; listed, decided, undone.

The list `review` has every subscription that a person should look at, decided ones too, until nothing about it asks for
that. What waits is what a record says at the instant of asking: nobody has to tidy up when a pause ends by the clock.
"""

import re
from collections.abc import Iterator
from functools import partial
from math import inf
from typing import Literal, NamedTuple, cast

from msgspec import Struct

from entitlements.decide import undecided, with_ends
from entitlements.errors import Conflict, NotFound
from entitlements.model import CustomerRecord, Decision, Entitlement, Review, Segment, Subject
from entitlements.resolve import entitlement, present
from entitlements.say import Plan, Saying, foresee, instant, repeats, say
from entitlements.store import keys
from entitlements.store.audit import Deed
from entitlements.store.client import reaching
from entitlements.store.places import Place, page
from entitlements.store.replies import text
from entitlements.store.store import Spoken, Store
from entitlements.words import Word, judged, standing

LIST = "review"

ROUNDS = 10
"""Reads of the list that a page makes at most, so that many decided ones do not make it long."""

SCANNED = 1_000
"""Members looked through at a time when a subscription is looked for."""


class Wish(Struct, frozen=True):
    """What somebody decides about a subscription, for as long as this pause lasts; null takes it back."""

    subject: Subject
    subscription: str
    access: Literal["grant", "revoke"] | None


class Waiting(Struct, frozen=True, kw_only=True, tag_field="object", tag="review"):
    """A subscription that a person should look at. Times are Unix seconds."""

    id: str
    """A list goes on behind it."""
    customer: str
    account: str | None
    subscription: str
    since: int
    """When what is to be decided began: the pause, or else the status."""
    reason: str | None
    """Of what is left to a person; null where only `flags` ask for a look."""
    rule: str | None
    begins: int | None
    """When what is left to a person begins or began to hold."""
    ends: int | None
    """When it ends by itself; null where that is not known."""
    flags: tuple[str, ...]
    decided: Review | None
    features: tuple[Entitlement, ...]
    """What the customer is answered meanwhile about each feature of this subscription."""
    explain: str
    """Where the whole story is told."""


class Question(NamedTuple):
    """A stretch of a timeline that a person can decide."""

    segment: Segment
    end: float


class Page(NamedTuple):
    """Some of the list, and from behind which place it goes on; null at the end."""

    found: list[Waiting]
    following: Place | None


async def waiting(
    store: Store, now: int, limit: int, after: Place | None = None, *, decided: bool = False
) -> Page:
    """Return so many that wait, the oldest first, from behind a place on; with `decided` those that are decided.

    A page looks at a bounded number of them: it may be short, or empty, and still not be the last. Raises StoreError.
    """
    found = list[Waiting]()
    for _ in range(ROUNDS):
        places = await page(store, LIST, limit, after)
        records = await store.customers([place.subject for place in places])
        for place, record in zip(places, records, strict=True):
            if len(found) == limit:
                return Page(found, after)
            after, told = place, _told(place, record, now)
            if told and decided == (told.decided is not None):
                found.append(told)
        if len(places) < limit:
            return Page(found, None)
    return Page(found, after)


def _told(place: Place, record: CustomerRecord, now: int) -> Waiting | None:
    decision = record.decisions.get(place.about)
    if decision is None:
        return None
    at = present(record, now)
    question = next(_questions(decision, at), None)
    if question is None and not decision.flags:
        return None
    segment, end = question or (None, inf)
    subject, account = place.subject, place.subject.account
    return Waiting(
        id=place.id,
        customer=subject.customer,
        account=account,
        subscription=place.about,
        since=decision.since,
        reason=segment.reason if segment else None,
        rule=segment.rule if segment else None,
        begins=segment.start if segment else None,
        ends=None if end == inf else int(end),
        flags=decision.flags,
        decided=_decided(record, place.about, decision),
        features=tuple(entitlement(record, name, at) for name in sorted(decision.features)),
        explain=f"/ops/v1/customers/{subject.customer}/explain",
    )


def _questions(decision: Decision, at: int) -> Iterator[Question]:
    """Yield what a person can decide of a subscription, from an instant on."""
    for said in decision.features.values():
        pairs = with_ends(said, inf)
        yield from (Question(s, end) for s, end in pairs if end > at and undecided(s))


def _decided(record: CustomerRecord, subscription: str, decision: Decision) -> Review | None:
    review = standing(record.reviews).get(subscription)
    return review if review and review.since == decision.since else None


async def find(store: Store, subscription: str, account: str | None) -> Subject:
    """Return whose subscription it is, of those on the list. Raises NotFound, StoreError.

    Its record tells in which partition it lies; there the list is looked through.
    """
    pipeline = store.redis.pipeline(transaction=False)
    for p in range(store.partitions):
        pipeline.exists(keys.subscription(p, Subject("", account), subscription))
    async with reaching():
        replies = await pipeline.execute()
    for p in (p for p, there in enumerate(replies) if there):
        if (found := await _listed(store, p, subscription, account)) is not None:
            return found
    raise NotFound(
        f"{subscription} is not among the reviews: it is not known here, or nothing about it is left to a person."
    )


async def _listed(store: Store, p: int, subscription: str, account: str | None) -> Subject | None:
    literal = re.sub(r"([*?\[\]\\])", r"\\\1", subscription)
    cursor = 0
    while True:
        async with reaching():
            cursor, members = await store.redis.zscan(
                keys.shared(p, LIST), cursor, match=f"* {literal}", count=SCANNED
            )
        for member, score in cast("list[tuple[bytes, float]]", members):
            subject = Place(int(score), text(member)).subject
            if subject.account == account:
                return subject
        if cursor == 0:
            return None


async def write(store: Store, wish: Wish, deed: Deed) -> Saying:
    """Decide, or undo. Raises NotFound, Conflict, StoreError."""
    action = "review.undo" if wish.access is None else "review.decide"
    return await say(store, wish.subject, deed, action, partial(_plan, wish, deed))


async def preview(store: Store, wish: Wish, deed: Deed) -> Saying:
    """Return what that would change. Writes nothing. Raises as it would."""
    return await foresee(store, wish.subject, deed.at, partial(_plan, wish, deed))


def _plan(wish: Wish, deed: Deed, held: Spoken) -> Plan | None:
    name, at = wish.subscription, instant(held.record, deed.at)
    decision = held.record.decisions.get(name)
    if decision is None:
        raise NotFound(f"{name} is no subscription of {wish.subject} that is known here.")
    word = Word(at, deed.by, name, Review(wish.access, decision.since, deed.reason, at))
    if repeats(held.words.reviews, word):
        return None
    if wish.access is None and _decided(held.record, name, decision) is None:
        raise NotFound(f"Nothing is decided about {name}, or it was about an earlier pause.")
    if wish.access and not any(_questions(decision, present(held.record, deed.at))):
        raise Conflict(
            f"Nothing about {name} is left to a person: policy has decided it. "
            "An override decides for the customer, whatever policy says."
        )
    record, words = judged(held.record, held.words, word)
    return Plan(record, words, (), f"{name}: {wish.access or 'undone'}")
