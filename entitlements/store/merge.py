"""The log's entries of several partitions in one order, read some at a time from all of them."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from operator import itemgetter
from typing import NamedTuple

from entitlements.cursor import Position, before, position
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.entry import Logged, Place
from entitlements.store.replies import text
from entitlements.store.store import Store

_place = itemgetter(0)


class Range(NamedTuple):
    """Which entries of a partition: behind one position, up to another one."""

    after: Position
    upto: Position


class Merge:
    """Reads ranges of partitions, forwards or backwards."""

    def __init__(self, store: Store, ranges: Mapping[int, Range], *, newest_first: bool) -> None:
        self._store = store
        self._backwards = newest_first
        self._unread = dict(ranges)
        self._held: dict[int, list[Logged]] = {p: [] for p in ranges}

    async def rounds(self, counts: Iterable[int]) -> AsyncGenerator[list[Logged]]:
        """Yield all entries in their order, in lists that are not empty. Each count says how many are read at once."""
        for count in counts:
            if not self._unread and not any(self._held.values()):
                return
            await self._fill(count // len(self._held) + 1)
            if taken := self._take():
                yield taken

    async def _fill(self, count: int) -> None:
        """Read on where less is held than is read at once."""
        short = [p for p in self._unread if len(self._held[p]) < count]
        pipeline = self._store.redis.pipeline(transaction=False)
        for p in short:
            name, (after, upto) = keys.shared(p, "log"), self._unread[p]
            if self._backwards:
                pipeline.xrevrange(name, str(upto), f"({after}", count)
            else:
                pipeline.xrange(name, f"({after}", str(upto), count)
        async with reaching():
            found = await pipeline.execute() if short else []
        for p, entries in zip(short, found, strict=True):
            self._held[p] += [Logged(Place(position(text(i)), p), said) for i, said in entries]
            if len(entries) < count:
                del self._unread[p]
            else:
                self._unread[p] = self._rest(p)

    def _rest(self, p: int) -> Range:
        """Return what of a partition is behind the last entry that is held."""
        (after, upto), last = self._unread[p], self._held[p][-1].place.at
        return Range(after, before(last)) if self._backwards else Range(last, upto)

    def _take(self) -> list[Logged]:
        """Give out what nothing can come before any more: what lies beyond an unread partition's last must wait."""
        lasts = (self._held[p][-1].place for p in self._unread)
        edge = (max if self._backwards else min)(lasts, default=None)
        taken: list[Logged] = []
        for p, entries in self._held.items():
            n = len(entries) if edge is None else sum(self._due(e.place, edge) for e in entries)
            taken += entries[:n]
            self._held[p] = entries[n:]
        return sorted(taken, key=_place, reverse=self._backwards)

    def _due(self, place: Place, edge: Place) -> bool:
        return place >= edge if self._backwards else place <= edge
