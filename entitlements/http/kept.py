"""Answers about the present, kept beside the records that they follow from for as long as they are good."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from entitlements.answers import Answers
from entitlements.http.encoded import JSON, MAX_AGE, Encoded, features_of, one
from entitlements.model import CustomerRecord
from entitlements.resolve import latest_known
from entitlements.wire import is_id

ROOM = 32
"""Answers kept of one customer, at most."""

LIST = ""
"""In whose name the array of all is kept: no feature has an empty one."""

FOREVER = 2**63

_TYPE = (b"content-type", JSON.encode())


Make = Callable[[CustomerRecord], Encoded]
"""Makes an answer of a record."""


class Question(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Whether a customer may use a feature now. Not looked at closely: what is kept has been asked for before."""

    customer: str
    feature: str


class Kept(Struct, frozen=True):
    """An answer, its record and its headers: good from `since` up to `until` (Unix seconds, not included)."""

    answer: Encoded
    record: CustomerRecord
    headers: tuple[tuple[bytes, bytes], ...]
    since: int
    until: int


class Present:
    """The answers that hold now, for the platform's own customers whose records are in memory."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._cache = answers.cache
        self._held = answers.cache.true

    def one(self, customer: str, feature: str, now: int) -> Awaitable[Kept | None]:
        """Return the answer for one feature; null for what is not plain. Raises StoreUnavailable."""
        return self._found(customer, feature, now, partial(one, feature=feature, at=now))

    def features(self, customer: str, now: int) -> Awaitable[Kept | None]:
        """Return the array of all that a customer may use; null likewise. Raises StoreUnavailable."""
        return self._found(customer, LIST, now, partial(features_of, at=now, denied=False))

    async def all(self, asked: Sequence[Question], now: int) -> list[Kept | None]:
        """Return the answers to many questions, each as `one` does. Raises StoreUnavailable."""
        found = self._all(asked, now)
        if None in found and await self._read({question.customer for question in asked}):
            found = self._all(asked, now)
        return found

    async def _found(self, customer: str, name: str, now: int, make: Make) -> Kept | None:
        kept = self._kept(customer, name, now, make)
        if kept is None and self._lacks(customer):
            await self._cache.bring(customer)
            kept = self._kept(customer, name, now, make)
        return kept

    def _all(self, asked: Sequence[Question], now: int) -> list[Kept | None]:
        held_of, found = self._held.get, list[Kept | None]()
        for question in asked:
            held, feature = held_of(question.customer), question.feature
            kept: Kept | None = held.made.get(feature) if held else None
            if kept is None or not kept.since <= now < kept.until:
                make = partial(one, feature=feature, at=now)
                kept = self._kept(question.customer, feature, now, make)
            found.append(kept)
        return found

    async def _read(self, customers: Iterable[str]) -> bool:
        """Bring into memory the records that are not there, if they may be kept there; tell whether any was read."""
        missing = [customer for customer in customers if self._lacks(customer)]
        if missing:
            await self._cache.read(missing)
        return bool(missing)

    def _lacks(self, customer: str) -> bool:
        """Tell whether a record is not in memory, and may be kept there: of a customer of the platform's own."""
        if customer in self._held or not self._cache.hearing:
            return False
        return "/" not in customer and is_id(customer)

    def _kept(self, customer: str, name: str, now: int, make: Make) -> Kept | None:
        """Return an answer about a record in memory, kept or made now; null where it cannot be told at once."""
        # `acct_…/cus_…` names a connected account's customer: nothing of theirs is made here, so nothing is found
        held = None if "/" in customer else self._held.get(customer)
        if held is None:
            return None
        found: Kept | None = held.made.get(name)
        if found is None or not found.since <= now < found.until:
            found = self._made(held.record, now, make) if name == LIST or is_id(name) else None
            if found and len(held.made) < ROOM:
                held.made[name] = found
        return found

    def _made(self, record: CustomerRecord, now: int, make: Make) -> Kept | None:
        """Return an answer to keep; null where it lies in the past, or becomes another one soon."""
        if latest_known(record) > now:
            return None
        if not record.version:  # it names the policy in force, which may become another one
            record = replace(record, policy=self._answers.policy.digest)
        answer = make(record)
        until = FOREVER if answer.until is None else answer.until - MAX_AGE
        until = until if record.version else now + 1
        return Kept(answer, record, _headers(answer), now, until) if now < until else None


def _headers(answer: Encoded) -> tuple[tuple[bytes, bytes], ...]:
    return (
        _TYPE,
        (b"etag", answer.etag.encode()),
        (b"cache-control", b"private, max-age=%d" % answer.max_age()),
    )
