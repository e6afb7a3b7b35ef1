"""A list that lies in all partitions, as one: counted, and read in one order, the lowest score first."""

from typing import Annotated, NamedTuple, Self
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta

from entitlements.errors import BadRequest
from entitlements.model import Subject
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.store import Store
from entitlements.wire import Id, Seconds

_Names = Annotated[list[Id], Meta(min_length=2, max_length=3)]


class Place(NamedTuple):
    """An entry, by which it also stands in its list's order: an instant, and its name there.

    The name is of a subject, and of what of it stands there: a subscription, or a feature.
    """

    at: int
    member: str

    @property
    def subject(self) -> Subject:
        """Return whose it is."""
        return keys.subject_named(self.member.rpartition(" ")[0])

    @property
    def about(self) -> str:
        """Return what of the subject it is."""
        return self.member.rpartition(" ")[2]

    @property
    def id(self) -> str:
        """Return a name that says all of it: `cus_…/sub_…@<instant>`, with the account before it if there is one."""
        account, customer = self.subject.account, self.subject.customer
        names = [name for name in (account, customer, self.about) if name is not None]
        return f"{'/'.join(quote(name, safe='') for name in names)}@{self.at}"

    @classmethod
    def named(cls, said: str) -> Self:
        """Return the place that `id` names, whether or not anything still stands there. Raises BadRequest."""
        names, _, instant = said.rpartition("@")
        try:
            *account, customer, about = msgspec.convert(
                [unquote(name) for name in names.split("/")], _Names
            )
            at = msgspec.convert(instant, Seconds, strict=False)
        except msgspec.ValidationError as error:
            raise BadRequest(
                f"{said!r} names no entry. It takes the id of one, such as cus_1/sub_1@1800000000."
            ) from error
        return cls(at, f"{Subject(customer, *account)} {about}")


class Span(NamedTuple):
    """Which scores are meant, both ends included; null is without an end."""

    lowest: int | None = None
    highest: int | None = None

    def bounds(self) -> tuple[str, str]:
        """Return both ends as the store writes them."""
        lowest = "-inf" if self.lowest is None else str(self.lowest)
        return lowest, "+inf" if self.highest is None else str(self.highest)


ALL = Span()


async def count(store: Store, name: str) -> int:
    """Return how many entries a list has."""
    return sum(await _counts(store, name, ALL))


async def holding(store: Store, name: str, span: Span) -> list[int]:
    """Return the partitions in which a list has entries within a span."""
    return [p for p, found in enumerate(await _counts(store, name, span)) if found]


async def _counts(store: Store, name: str, span: Span) -> list[int]:
    pipeline = store.redis.pipeline(transaction=False)
    for p in range(store.partitions):
        pipeline.zcount(keys.shared(p, name), *span.bounds())
    async with reaching():
        return await pipeline.execute()


async def page(
    store: Store, name: str, limit: int, after: Place | None = None, span: Span = ALL
) -> list[Place]:
    """Return so many places of a list within a span, from behind one place on.

    Of each partition as many are read; of the score that the page goes on within, all.
    """
    lowest, highest = span.bounds()
    pipeline = store.redis.pipeline(transaction=False)
    for p in range(store.partitions):
        key = keys.shared(p, name)
        first = f"({after.at}" if after else lowest
        pipeline.zrangebyscore(key, first, highest, start=0, num=limit, withscores=True)
        if after:
            pipeline.zrangebyscore(key, after.at, after.at, withscores=True)
    async with reaching():
        found = [pair for pairs in await pipeline.execute() for pair in pairs]
    places = [Place(int(score), member.decode()) for member, score in found]
    return sorted(place for place in places if after is None or place > after)[:limit]
