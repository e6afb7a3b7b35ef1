"""The event log of all partitions, read as one: in the order of receipt, oldest first, or newest first in pages.

An event lies in the partition of its customer; one that counts for no customer (ignored or quarantined) in that of its
id. The order is that of the entries' ids, which begin with the store's own clock. Nothing is indexed: a search costs
what it looks through, which is all that came in the time that is asked about; of one customer, one partition of all.
"""

import sys
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from itertools import chain, repeat
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from entitlements.cursor import START, Cursor, Position, before
from entitlements.errors import NotFound
from entitlements.model import Outcome, Subject
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.entry import Logged, Place
from entitlements.store.merge import Merge, Range
from entitlements.store.replies import text
from entitlements.store.store import Store
from entitlements.store.streams import heads

ROUND = 2_048
"""Entries read at once, of all partitions together: a few megabytes."""

FIRST = 256
"""Entries that a page reads at first: it may need no more."""

LOOK = 20_000
"""Entries that a page looks through at most: about half a second."""

SLACK = 300
"""Seconds by which the clocks of who receives and of the store may differ, and a write may come after its receipt."""

LAST = Position(2**64 - 1, 2**64 - 1)
"""Behind every entry: https://redis.io/docs/latest/develop/data-types/streams/#entry-ids."""

Fields = Mapping[bytes, bytes]


class Search(Struct, frozen=True, kw_only=True):
    """Which entries are meant; null is any. Instants are Unix seconds, of receipt."""

    since: int | None = None
    until: int | None = None
    """Not included."""
    type: str | None = None
    """A type, or with `*` at its end all that begin so, as in Stripe's own list of events."""
    customer: str | None = None
    """What is quarantined counts for no customer, unless that outcome is asked for."""
    account: str | None = None
    subscription: str | None = None
    outcome: Outcome | None = None
    event: str | None = None


ANY = Search()


class Batch(NamedTuple):
    """Some entries in the order of receipt, and how far has been read with them."""

    entries: list[Logged]
    """Those that are meant: perhaps none."""
    cursor: Cursor
    """Behind all that was looked through: who goes on there misses nothing and gets nothing twice."""
    looked: int


class Page(NamedTuple):
    """Some entries, the newest first."""

    entries: list[Logged]
    next: Place | None
    """Behind which the next page begins; null where there is no more. A page may be short and have a next one."""


class Log:
    """Reads the log of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def end(self) -> Cursor:
        """Return where the log ends now: what is read up to there stays the same, whatever comes."""
        return tuple(head.last for head in await heads(self._store, "log"))

    async def read(
        self, search: Search = ANY, after: Cursor | None = None, upto: Cursor | None = None
    ) -> AsyncGenerator[Batch]:
        """Yield what is meant, the oldest first, from behind one cursor up to another one. Memory is steady.

        Raises StoreUnavailable; who keeps the last batch's cursor can go on there.
        """
        stands = list(after or [START] * self._store.partitions)
        whole = _window(search)
        ranges = {
            p: Range(max(whole.after, stands[p]), min(whole.upto, upto[p]) if upto else whole.upto)
            for p in self._partitions(search)
        }
        meant = _meant(search)
        merge = Merge(self._store, ranges, newest_first=False)
        async with aclosing(merge.rounds(repeat(ROUND))) as rounds:
            async for entries in rounds:
                for entry in entries:
                    stands[entry.place.partition] = entry.place.at
                found = [entry for entry in entries if meant(entry.fields)]
                yield Batch(found, tuple(stands), len(entries))

    async def page(
        self, search: Search, limit: int, after: Place | None = None, *, look: int = LOOK
    ) -> Page:
        """Return what is meant, the newest first, from behind a place on; about `look` entries are looked through.

        Raises StoreUnavailable.
        """
        whole = _window(search)
        ranges = {
            p: Range(whole.after, min(whole.upto, _behind(after, p)))
            for p in self._partitions(search)
        }
        meant, found, looked = _meant(search), list[Logged](), 0
        merge = Merge(self._store, ranges, newest_first=True)
        async with aclosing(merge.rounds(chain([FIRST], repeat(ROUND)))) as rounds:
            async for entries in rounds:
                found += [entry for entry in entries if meant(entry.fields)]
                looked += len(entries)
                if len(found) > limit:
                    return Page(found[:limit], found[limit - 1].place)
                if looked >= look:
                    return Page(found, entries[-1].place)
        return Page(found, None)

    async def one(self, event: str, search: Search = ANY, *, look: int = sys.maxsize) -> Logged:
        """Return the newest entry of an event, among those that are meant.

        What was ignored or waits in the quarantine is looked for in the partition of its id alone, and what a customer
        is named for in his; anything else in all of them, the newest first, among about `look` entries.
        Raises NotFound, StoreUnavailable.
        """
        outcome = await self._kept_as(event)
        meant = replace(search, event=event, outcome=search.outcome or outcome)
        page = await self.page(meant, 1, look=look)
        if page.entries:
            return page.entries[0]
        where = f"among the newest {look:,} entries of the log" if page.next else "in the log"
        raise NotFound(
            f"{event} is not {where}, as far as was searched. It was never taken in, or longer ago than the log is "
            "kept (log_retention), or not where the search was told to look. Name its customer, or when it came."
        )

    async def _kept_as(self, event: str) -> Outcome | None:
        """Return the outcome of an event whose only entry lies in the partition of its id; null for any other."""
        p = self._store.partition(event)
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.get(keys.event(p, event))
        pipeline.exists(keys.waiting(p, event))
        async with reaching():
            mark, waits = await pipeline.execute()
        if waits:
            return "quarantined"
        return "ignored" if mark and text(mark).startswith("ignored ") else None

    def _partitions(self, search: Search) -> Collection[int]:
        """Return where what is meant can lie."""
        if search.event and search.outcome in {"ignored", "quarantined"}:
            return [self._store.partition(search.event)]
        if search.customer and search.outcome != "quarantined":
            return [self._store.partition(str(Subject(search.customer, search.account)))]
        return range(self._store.partitions)


def _window(search: Search) -> Range:
    """Return the entries that can have come when it is asked about: of a little more than that time."""
    since, until = search.since, search.until
    after = START if since is None else before(Position(max(0, since - SLACK) * 1000, 0))
    return Range(after, LAST if until is None else Position((until + SLACK) * 1000, 0))


def _behind(place: Place | None, p: int) -> Position:
    """Return the last position of a partition that a page behind a place may have."""
    if place is None:
        return LAST
    return place.at if p < place.partition else before(place.at)


def _meant(search: Search) -> Callable[[Fields], bool]:
    """Return what tells whether an entry is meant. What is no entry of ours never is."""
    exact = {name: getattr(search, name) for name in ("event", "subscription", "outcome")}
    begins = {}
    if search.customer:
        exact["subject"] = str(Subject(search.customer, search.account))
    elif search.account:
        begins["subject"] = f"{search.account}/"
    if search.type and search.type.endswith("*"):
        begins["type"] = search.type[:-1]
    else:
        exact["type"] = search.type
    unwanted = b"quarantined" if search.customer and search.outcome is None else None
    wanted = [(name.encode(), value.encode()) for name, value in exact.items() if value]
    prefixes = [(name.encode(), value.encode()) for name, value in begins.items()]
    first = 0 if search.since is None else search.since * 1000
    end = sys.maxsize if search.until is None else search.until * 1000

    def meant(fields: Fields) -> bool:
        return (
            first <= int(fields.get(b"received_ms", -1)) < end
            and fields[b"outcome"] != unwanted
            and all(fields.get(name) == value for name, value in wanted)
            and all(fields.get(name, b"").startswith(value) for name, value in prefixes)
        )

    return meant
