"""The streams of changes: what each partition still holds, and what came after a cursor, in its order."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from entitlements.cursor import START, Cursor, Position, before, position
from entitlements.model import Change
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.replies import text
from entitlements.store.store import Store

PAGE = 1_000
"""Entries read at once, of all partitions together."""

LEAST = 16
"""Of one partition, at least."""

_change = msgspec.json.Decoder(Change)


class Head(NamedTuple):
    """What a partition's stream says of itself."""

    last: Position = START
    """The last id that was ever given."""
    first: Position | None = None
    """Of the oldest entry that is still there."""
    deleted: Position = START
    """The latest that was taken out of the middle."""
    whole: bool = True
    """Whether nothing ever went."""

    def lost(self, at: Position) -> bool:
        """Tell whether who stands at a position may have missed an entry.

        A position after the last id is one of a store that has lost its end since, in a failover for instance.
        """
        gone = not self.whole and at < (self.first or self.last)
        return gone or at < self.deleted or at > self.last

    def retained(self) -> Position:
        """Return where to stand to read all that is still there."""
        return before(self.first) if self.first else self.last


class Entry(NamedTuple):
    """One change, and where it stands."""

    partition: int
    at: Position
    change: Change | None
    """Null where somebody else has written what is not understood."""


class Page(NamedTuple):
    """Some entries, and the cursor after each of them."""

    entries: list[tuple[Entry, Cursor]]
    at: Cursor
    """After all of them."""
    more: bool
    """Whether there may be others."""


class Streams:
    """Reads the streams of all partitions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.partitions = store.partitions

    async def heads(self) -> list[Head]:
        """Return what each partition's stream says of itself."""
        return await heads(self._store, "changes")

    async def page(self, at: Cursor, upto: Cursor) -> Page:
        """Return what comes next after a cursor, up to another one."""
        behind = [p for p in range(self.partitions) if at[p] < upto[p]]
        page = await self.page_of(behind, at, upto)
        return page if page.more else Page(page.entries, tuple(map(max, page.at, upto)), more=False)

    async def page_of(
        self, partitions: Collection[int], at: Cursor, upto: Cursor | None = None
    ) -> Page:
        """Return what comes next after a cursor in some partitions, up to another one or to their ends.

        Entries of different partitions come in the order of their ids.
        """
        count = max(LEAST, PAGE // (len(partitions) or 1))
        pipeline = self._store.redis.pipeline(transaction=False)
        for p in partitions:
            end = str(upto[p]) if upto else "+"
            pipeline.xrange(keys.shared(p, "changes"), f"({at[p]}", end, count)
        found = await _entries(pipeline, partitions)
        full = [entries[-1].at for entries in found if len(entries) == count]
        until = min(full, default=None)  # what is beyond it may come before what was not read yet
        taken = [e for entries in found for e in entries if until is None or e.at <= until]
        return _page(at, sorted(taken, key=lambda entry: entry.at), more=bool(full))


async def heads(store: Store, name: str) -> list[Head]:
    """Return what each partition's stream of that name says of itself, in one round trip."""
    pipeline = store.redis.pipeline(transaction=False)
    for p in range(store.partitions):
        pipeline.xinfo_stream(keys.shared(p, name))
    async with reaching():
        found = await pipeline.execute(raise_on_error=False)
        return [_head(said) for said in found]


async def _entries(pipeline: Pipeline, partitions: Collection[int]) -> list[list[Entry]]:
    async with reaching():
        found = await pipeline.execute() if partitions else []
    return [
        [Entry(p, position(text(name)), _read(fields)) for name, fields in entries]
        for p, entries in zip(partitions, found, strict=True)
    ]


def _page(at: Cursor, entries: Sequence[Entry], *, more: bool) -> Page:
    stands, found = list(at), []
    for entry in entries:
        stands[entry.partition] = entry.at
        found.append((entry, tuple(stands)))
    return Page(found, tuple(stands), more)


def _head(said: dict[str, Any] | Exception) -> Head:
    if isinstance(said, ResponseError) and "no such key" in str(said):
        return Head()
    if isinstance(said, Exception):
        raise said
    first = said["first-entry"]
    return Head(
        last=position(text(said["last-generated-id"])),
        first=position(text(first[0])) if first else None,
        deleted=position(text(said["max-deleted-entry-id"])),
        whole=said["entries-added"] == said["length"],
    )


def _read(fields: dict[bytes, bytes]) -> Change | None:
    try:
        return _change.decode(fields[b"change"])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None
