"""The report of paused collection: what Stripe's Dashboard lists, with what only this service knows of it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from entitlements.patience import at_once, patiently
from entitlements.pauses import Held, Paused, Wanted, paused
from entitlements.policy import Policy
from entitlements.store import standing
from entitlements.store.places import Place
from entitlements.store.standing import Pace
from entitlements.store.store import Store

BATCH = 200
"""Subscriptions whose records are read at once."""

LOOKED = 1_000
"""Subscriptions that a page looks at, at most: where few are asked for, it may be short and not the last."""


class Asked(NamedTuple):
    """What a report is of: which subscriptions, by which policy, at which instant (Unix seconds)."""

    wanted: Wanted
    policy: Policy
    now: int


class Page(NamedTuple):
    """Some of a report, and the id behind which the next page begins: null at the end."""

    data: list[Paused]
    following: str | None


async def report(store: Store, asked: Asked) -> AsyncGenerator[tuple[int, list[Paused]]]:
    """Yield the whole report, the newest pause first, some at a time, and at how many of the list was looked for them.

    A store that is out of reach is asked again for a while: half a report is none. Raises StoreUnavailable.
    """
    async with aclosing(_read(store, asked, pace=patiently)) as read:
        async for entries in read:
            yield len(entries), [one for _, one in entries if one]


async def page(store: Store, asked: Asked, limit: int, after: Place | None = None) -> Page:
    """Return the next of a report, behind a place; a bounded part of the list is looked at. Raises StoreUnavailable."""
    data, looked = list[Paused](), 0
    async with aclosing(_read(store, asked, after, limit + 1)) as read:
        async for entries in read:
            for place, one in entries:
                if one and len(data) == limit:
                    return Page(data, data[-1].id)
                data += [one] if one else []
                looked += 1
                if looked == LOOKED:
                    return Page(data, place.id)
    return Page(data, None)


async def _read(
    store: Store,
    asked: Asked,
    after: Place | None = None,
    first: int = BATCH,
    pace: Pace = at_once,
) -> AsyncGenerator[list[tuple[Place, Paused | None]]]:
    """Yield what is on the list, a batch at a time, the first one of so many: null where it is not asked for."""
    size = first
    async with aclosing(standing.walk(store, "paused", after, pace=pace)) as walk:
        async for places in walk:
            rest = places
            while rest:
                some, rest, size = rest[:size], rest[size:], BATCH
                told = await pace(partial(_told, store, some, asked))
                yield list(zip(some, told, strict=True))


async def _told(store: Store, places: Sequence[Place], asked: Asked) -> list[Paused | None]:
    found = await standing.held(store, [(place.subject, place.about) for place in places])
    return [
        _wanted(Held(place.id, place.subject, place.about, one.customer, one.subscription), asked)
        for place, one in zip(places, found, strict=True)
    ]


def _wanted(held: Held, asked: Asked) -> Paused | None:
    found = paused(held, asked.policy, asked.now)
    return found if found and asked.wanted.includes(found, asked.now) else None
