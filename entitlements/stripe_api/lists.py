"""Stripe's lists: one page as bytes, and events from the oldest on.

Source: https://docs.stripe.com/api/pagination and https://docs.stripe.com/api/events/list.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from entitlements.errors import BadRequest, StripeUnavailable
from entitlements.stripe_api.calls import Answer

PAGE = 100
"""Objects of a page: Stripe's most."""

TYPES = 20
"""Event types of one list: Stripe's most."""

Found = TypeVar("Found")


class Read(NamedTuple):
    """What Stripe said an object is like."""

    stamp: int
    """An instant by Stripe's own clock at which the read had not begun before: all that happened earlier is in it."""
    body: bytes
    """The object, as JSON."""
    id: str


class Page(NamedTuple):
    """One page, in Stripe's order: the newest first."""

    data: tuple[Read, ...]
    has_more: bool
    """Whether there are more in the direction that was asked for: older ones, or with `ending_before` newer ones."""


class EventFilter(Struct, frozen=True, kw_only=True):
    """Which events are listed: Stripe's own filters. Times are Unix seconds."""

    types: tuple[str, ...] = ()
    """Up to twenty; or one alone that may end with `*`. None: all."""
    since: int | None = None
    until: int | None = None
    """Not included."""
    delivery_success: bool | None = None
    """False: pending or failed for at least one endpoint of the account, not necessarily for ours."""

    def params(self) -> dict[str, Any]:
        """Return them as Stripe's parameters. Raises BadRequest for types that one list cannot have."""
        wild = any("*" in kind for kind in self.types)
        if len(self.types) > (1 if wild else TYPES):
            raise BadRequest(
                f"Stripe lists events of up to {TYPES} types, or of one type that ends with `*`: "
                f"ask for fewer than these {len(self.types)}."
            )
        kinds = {"type": self.types[0]} if wild else {"types": list(self.types)}
        created = {"gte": self.since, "lt": self.until}
        return {
            **(kinds if self.types else {}),
            "created": {name: at for name, at in created.items() if at is not None},
            "delivery_success": self.delivery_success,
        }


class Place(Struct, frozen=True):
    """Where a page begins: behind an object, towards the older ones, or before one, towards the newer ones."""

    starting_after: str | None = None
    ending_before: str | None = None
    limit: int = PAGE

    def params(self) -> dict[str, Any]:
        """Return it as Stripe's parameters."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


BEGINNING = Place()


class ListsEvents(Protocol):
    """Whoever lists events: StripeApi.events, of one account."""

    async def __call__(self, asked: EventFilter, place: Place) -> Page:
        """Return one page."""


class _Named(Struct):
    id: str
    created: int = 0


class _List(Struct):
    data: list[Raw]
    has_more: bool


def page_of(answer: Answer) -> Page:
    """Return the page that was answered. Raises StripeUnavailable where it is none."""
    found = decoded(answer.body, _List)
    reads = (Read(answer.stamp, bytes(raw), decoded(raw, _Named).id) for raw in found.data)
    return Page(tuple(reads), found.has_more)


def decoded(body: bytes | Raw, kind: type[Found]) -> Found:
    """Return a body as one of our own types. Raises StripeUnavailable where it is not of that kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StripeUnavailable(
            f"What was answered is not as Stripe's API describes it ({error}). Is the API's base right?"
        ) from error


async def oldest_first(
    listed: ListsEvents, asked: EventFilter, after: str | None = None
) -> AsyncIterator[Read]:
    """Yield events, the oldest first, from behind the one named `after` on. The id of any of them resumes the walk.

    Stripe lists the newest first; `ending_before` pages towards the newer ones, so from an event on it is one call for
    each hundred. Where none is named the oldest are found first: by halving the time, some thirty calls at most.
    The walk ends at the newest there is. Events older than thirty days are not there.
    """
    if after is None:
        first = await _oldest(listed, asked)
        for read in first[::-1]:
            yield read
        after = first[0].id if first else None
    more = after is not None
    while more:
        page = await listed(asked, Place(ending_before=after))
        for read in page.data[::-1]:
            yield read
        after, more = (page.data[0].id, page.has_more) if page.data else (after, False)


async def _oldest(listed: ListsEvents, asked: EventFilter) -> Sequence[Read]:
    """Return the oldest events, up to a page of them; none where there are none.

    While a page has older ones behind it, those lie in the time before its last event, which is halved; down to one
    second, which is paged to its end. What drops out meanwhile (`delivery_success`) is not missed.
    """
    low, page = asked.since or 0, await listed(asked, BEGINNING)
    while page.has_more:
        high = decoded(page.data[-1].body, _Named).created + 1
        if high - low <= 1:
            return await _last(listed, asked, page)
        middle = (low + high) // 2
        earlier = await listed(replace(asked, since=low, until=middle), BEGINNING)
        low, page = (low, earlier) if earlier.data else (middle, page)
    return page.data


async def _last(listed: ListsEvents, asked: EventFilter, page: Page) -> Sequence[Read]:
    """Return the last page behind one."""
    while page.has_more:
        older = await listed(asked, Place(starting_after=page.data[-1].id))
        page = older if older.data else page._replace(has_more=False)
    return page.data
