"""What is foreseen of customers, laid over what the store holds of them. However many they are, memory stays bounded.

The rest lies in a file of SQLite that has no name and goes with its connection: https://sqlite.org/inmemorydb.html.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from entitlements.model import CustomerRecord, Outcome, Subject, SubscriptionRecord
from entitlements.redecide import Whole
from entitlements.store import cold
from entitlements.store.marks import Marked

MOST = 2_000
"""Customers in memory."""


class Foretold(NamedTuple):
    """A customer as the store has it, and as it would be."""

    before: Whole
    after: Whole


class _Kept(Struct, array_like=True):
    """A customer as it lies in the file."""

    subject: Subject
    records: tuple[CustomerRecord, CustomerRecord]
    colds: tuple[dict[str, bytes], dict[str, bytes]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


class Overlay:
    """Customers, each as it is and as it would be, and events that would be kept for no customer. To be closed."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._near: dict[Subject, Foretold] = {}
        self._far = sqlite3.connect("", isolation_level=None)
        self._far.execute("CREATE TABLE customers (name TEXT PRIMARY KEY, body BLOB)")
        self._far.execute(
            "CREATE TABLE kept (partition, event, outcome, PRIMARY KEY (partition, event))"
        )

    def get(self, subject: Subject) -> Foretold | None:
        """Return what is foreseen of a customer; null where nothing is."""
        if found := self._near.get(subject):
            return found
        row = self._far.execute(
            "SELECT body FROM customers WHERE name = ?", [str(subject)]
        ).fetchone()
        return _from(row[0]) if row else None

    def put(self, foretold: Foretold) -> None:
        """Foresee something of a customer, in the place of what was before."""
        subject = foretold.before.subject
        self._near.pop(subject, None)
        self._near[subject] = foretold
        if len(self._near) > self._most:
            self._move(len(self._near) // 2)

    def _move(self, count: int) -> None:
        """Move those into the file who were touched longest ago."""
        old = [self._near.pop(subject) for subject in list(self._near)[:count]]
        self._far.execute("BEGIN")
        rows = ((str(one.before.subject), _to(one)) for one in old)
        self._far.executemany("REPLACE INTO customers VALUES (?, ?)", rows)
        self._far.execute("COMMIT")

    def __iter__(self) -> Iterator[Foretold]:
        """Yield every customer, once each."""
        yield from self._near.values()
        for (body,) in self._far.execute("SELECT body FROM customers"):
            found = _from(body)
            if found.before.subject not in self._near:
                yield found

    def kept(self, event: Marked) -> Outcome | None:
        """Return as what an event would be kept that moves no subscription; null where it would not."""
        asked = "SELECT outcome FROM kept WHERE partition = ? AND event = ?"
        found = self._far.execute(asked, event).fetchone()
        return found[0] if found else None

    def keep(self, event: Marked, outcome: Outcome) -> None:
        """Foresee that an event is kept."""
        self._far.execute("REPLACE INTO kept VALUES (?, ?, ?)", [*event, outcome])

    def close(self) -> None:
        """Forget everything."""
        self._far.close()


def _to(one: Foretold) -> bytes:
    before, after = one
    colds = _written(before.subscriptions), _written(after.subscriptions)
    return _encode(_Kept(before.subject, (before.record, after.record), colds))


def _written(colds: Mapping[str, SubscriptionRecord]) -> dict[str, bytes]:
    return {name: cold.encode(record) for name, record in colds.items()}


def _from(body: bytes) -> Foretold:
    kept = _decode(body)
    before, after = (
        Whole(kept.subject, record, {name: cold.decode(raw) for name, raw in colds.items()})
        for record, colds in zip(kept.records, kept.colds, strict=True)
    )
    return Foretold(before, after)
