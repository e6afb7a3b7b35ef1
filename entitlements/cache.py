"""Hot records in memory: true for as long as this process hears of every write, and then the last that was seen.

Where it may have missed a write nothing is trusted any more: what is held counts only while the store cannot be
reached, and with its age. A write by this process itself is heard of before its delivery is answered.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from entitlements.errors import StoreUnavailable
from entitlements.model import CustomerRecord, Subject
from entitlements.together import Together

ROOM = 20_000
"""Records held at most, of about two kilobytes each. The one that came first goes first."""

LET_BE = 1.0
"""Seconds for which a store that could not be reached is not asked for what is held: callers need not wait for it."""


class Held(Struct, frozen=True, eq=False):
    """A record in memory."""

    record: CustomerRecord
    epoch: int
    """The stretch of hearing in which it was read."""
    read_at: float
    made: dict[str, Any] = field(default_factory=dict)
    """What others made of it, to be let go with it. Whoever puts something in bounds it."""


class Records(Protocol):
    """Where records are read: a store."""

    async def customers(self, subjects: Sequence[Subject | str]) -> Sequence[CustomerRecord]:
        """Return the records of customers, or of whoever is called so, in their order. Raises StoreUnavailable."""


class Cache:
    """The hot records of one process. `clock` is monotonic, in seconds."""

    def __init__(
        self, store: Records, *, room: int = ROOM, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._room = room
        self._clock = clock
        self.true: dict[str, Held] = {}
        """What the store would say, by the subject's name; nothing while not every write is heard of. To be read."""
        self._held = OrderedDict[str, Held]()
        """Likewise, and what else was seen last. A plain dict would look for its first one past all that left it."""
        self._reads: dict[object, dict[str, int]] = {}
        """Of each read that is under way: by name, the newest version of each that was written since it began."""
        self._together = Together(self.read)
        self._hears = False
        self._epoch = 0
        self._heard_until = clock()
        self._let_be_until = 0.0

    def hears(self, *, alive: bool) -> None:
        """Take note that every write is heard of from now on, or that it may not be any more."""
        if alive:
            self._epoch += 1
        elif self._hears:
            self._heard_until = self._clock()
        self._hears = alive
        self.true.clear()

    @property
    def hearing(self) -> bool:
        """Tell whether every write is heard of."""
        return self._hears

    def written(self, subject: Subject, version: int) -> None:
        """Take note that a customer's record was written. In a store that was emptied versions begin again."""
        name = str(subject)
        held = self._held.get(name)
        if held is not None and held.record.version != version:
            self._drop(name)
        for read in self._reads.values():
            if name in read:
                read[name] = max(read[name], version)

    async def customers(
        self, subjects: Sequence[Subject], *, newest: bool = False
    ) -> dict[Subject, CustomerRecord]:
        """Return the records of some customers; with `newest` from the store itself.

        One that could not be read, and is the last that was seen, has its `age`. Raises StoreUnavailable for one that
        was never seen.
        """
        found = {} if newest else self._trusted(subjects)
        if missing := [subject for subject in dict.fromkeys(subjects) if subject not in found]:
            found |= zip(missing, await self.read(missing), strict=True)
        return found

    def _trusted(self, subjects: Sequence[Subject]) -> dict[Subject, CustomerRecord]:
        pairs = ((subject, self.true.get(str(subject))) for subject in subjects)
        return {subject: held.record for subject, held in pairs if held}

    async def bring(self, name: str) -> None:
        """Have the record of a subject that is called so read, with those that others want at the same time.

        Raises StoreUnavailable for one that could not be read, and was never seen.
        """
        if self._clock() < self._let_be_until and name in self._held:
            return
        try:
            await self._together.one(name)
        except StoreUnavailable:
            if name not in self._held:
                raise
        except Exception:  # noqa: BLE001  a record that cannot be read is nobody else's trouble
            await self.read([name])

    async def read(self, subjects: Sequence[Subject | str]) -> Sequence[CustomerRecord]:
        """Return records as `customers` does, from the store itself, in the order of their subjects."""
        names, epoch, began = [str(subject) for subject in subjects], self._epoch, self._clock()
        if began < self._let_be_until and (seen := self._seen(names)):
            return seen
        read, written = object(), dict.fromkeys(names, 0)
        self._reads[read] = written
        try:
            records = await self._store.customers(subjects)
        except StoreUnavailable:
            self._let_be_until = self._clock() + LET_BE
            if seen := self._seen(names):
                return seen
            raise
        finally:
            del self._reads[read]
        for name, record in zip(names, records, strict=True):
            if record.version >= written[name]:  # else it was written anew while it was read
                self._keep(name, Held(record, epoch, began))
        return records

    def _seen(self, names: Sequence[str]) -> list[CustomerRecord]:
        """Return the last that was seen of each of some subjects, with its age; nothing if one was never seen."""
        held = [self._held[name] for name in names if name in self._held]
        return [self._last_seen(one) for one in held] if len(held) == len(names) else []

    def _keep(self, name: str, held: Held) -> None:
        self._held[name] = held
        if self._hears and held.epoch == self._epoch:
            self.true[name] = held
        else:
            self.true.pop(name, None)
        if len(self._held) > self._room:
            first, _ = self._held.popitem(last=False)
            self.true.pop(first, None)

    def _drop(self, name: str) -> None:
        self._held.pop(name, None)
        self.true.pop(name, None)

    def _last_seen(self, held: Held) -> CustomerRecord:
        return replace(held.record, age=self._clock() - self._true_until(held))

    def _true_until(self, held: Held) -> float:
        """Return the last instant at which a record was known to hold."""
        if held.epoch != self._epoch:
            return held.read_at
        until = self._clock() if self._hears else self._heard_until
        return max(held.read_at, until)
