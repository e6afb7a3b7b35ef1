"""Events from the oldest on, out of lists that begin with the newest."""

import asyncio
import math
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.errors import BadRequest, StripeUnavailable
from entitlements.stripe_api.calls import Answer
from entitlements.stripe_api.lists import (
    TYPES,
    EventFilter,
    Page,
    Place,
    Read,
    oldest_first,
    page_of,
)
from tests.support.histories import START

MOMENTS = st.lists(st.integers(0, 40), max_size=30).map(sorted)
SIZES = st.integers(1, 5)
EVERY = EventFilter()


class Listing:
    """Events as Stripe lists them, so many on a page. With each call some drop out, as the delivered ones do."""

    def __init__(self, moments: Sequence[int], size: int, dropping: Sequence[int] = ()) -> None:
        self.every = [_read(n, START + moment) for n, moment in enumerate(moments)]
        self.size = size
        self.calls = 0
        self._dropping = [f"evt_{n}" for n in dropping]
        self._dropped: set[str] = set()

    async def __call__(self, asked: EventFilter, place: Place) -> Page:
        """Return one page."""
        self.calls += 1
        if self._dropping:
            self._dropped.add(self._dropping.pop())
        names = [read.id for read in self.every]
        behind, before = place.starting_after, place.ending_before
        end = names.index(behind) if behind else len(names)
        begin = names.index(before) + 1 if before else 0
        found = [read for read in self.every[begin:end] if self._fits(read, asked)]
        page = found[: self.size] if before else found[-self.size :]
        return Page(tuple(page[::-1]), len(found) > len(page))

    def _fits(self, read: Read, asked: EventFilter) -> bool:
        until = math.inf if asked.until is None else asked.until
        return read.id not in self._dropped and (asked.since or 0) <= _created(read) < until


def _read(n: int, created: int) -> Read:
    return Read(0, msgspec.json.encode({"id": f"evt_{n}", "created": created}), f"evt_{n}")


def _created(read: Read) -> int:
    return int(msgspec.json.decode(read.body)["created"])


def walked(listing: Listing, asked: EventFilter = EVERY, after: str | None = None) -> list[str]:
    """Return the ids of a walk."""

    async def walk() -> list[str]:
        return [read.id async for read in oldest_first(listing, asked, after)]

    return asyncio.run(walk())


@given(MOMENTS, SIZES)
def test_every_event_comes_once_the_oldest_first(moments: list[int], size: int) -> None:
    """Whatever seconds they share; at a cost that the number of pages bounds, and the halving of all time."""
    listing = Listing(moments, size)
    assert walked(listing) == [read.id for read in listing.every]
    assert listing.calls <= 2 + math.log2(START + 41) + 2 * math.ceil(len(moments) / size)


@given(MOMENTS, SIZES, st.data())
def test_a_walk_goes_on_behind_any_event(
    moments: list[int], size: int, data: st.DataObject
) -> None:
    """The id of the last one that was seen is all it takes."""
    last = data.draw(st.integers(0, max(0, len(moments) - 1)))
    listing = Listing([0, *moments], size)
    assert walked(listing, after=f"evt_{last}") == [read.id for read in listing.every[last + 1 :]]


@given(MOMENTS, SIZES, st.integers(0, 41), st.integers(0, 41))
def test_a_window_holds_its_first_second_and_not_its_last(
    moments: list[int], size: int, since: int, until: int
) -> None:
    """As everywhere here: `until` is not included."""
    listing = Listing(moments, size)
    asked = EventFilter(since=START + since, until=START + until)
    within = [r.id for r in listing.every if START + since <= _created(r) < START + until]
    assert walked(listing, asked) == within


@given(MOMENTS, SIZES, st.data())
def test_what_drops_out_meanwhile_hides_nothing_else(
    moments: list[int], size: int, data: st.DataObject
) -> None:
    """Undelivered events are delivered while they are walked; those that stay come once, in their order."""
    gone = data.draw(st.lists(st.sampled_from(range(len(moments))), unique=True)) if moments else []
    listing = Listing(moments, size, gone)
    found = walked(listing)
    order = [read.id for read in listing.every]
    assert found == sorted(set(found), key=order.index)
    assert {f"evt_{n}" for n in range(len(moments)) if n not in gone} <= set(found)


def test_types_are_those_that_one_list_can_have() -> None:
    """Twenty, or one with a `*`."""
    assert EventFilter(types=("customer.*",)).params()["type"] == "customer.*"
    assert EventFilter(types=("a", "b")).params()["types"] == ["a", "b"]
    for wrong in (("customer.*", "invoice.paid"), tuple(str(n) for n in range(TYPES + 1))):
        with pytest.raises(BadRequest, match="ask for fewer"):
            EventFilter(types=wrong).params()


@pytest.mark.parametrize(
    "body", [b"[]", b'{"data":[]}', b'{"data":[{}],"has_more":false}', b"\xff"]
)
def test_what_is_no_list_is_told(body: bytes) -> None:
    """Perhaps another server stands there."""
    with pytest.raises(StripeUnavailable, match="base"):
        page_of(Answer(0, body))
