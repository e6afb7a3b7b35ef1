"""Who did what by hand, when and why: an append-only stream in each partition.

It lies beside what it tells of, so that a script writes both or neither. Kept as long as the log (retention.py).
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.entry import Value
from entitlements.store.store import Store


class Deed(Struct, frozen=True):
    """Who does something, when (Unix seconds) and why."""

    by: str
    """The name of a token, or of a user of the machine."""
    reason: str
    at: int

    def record(self, action: str, about: str, outcome: str = "") -> "Record":
        """Return what is recorded of it: what was done, as `<room>.<verb>`, and about what."""
        return Record(
            at=self.at, by=self.by, action=action, about=about, reason=self.reason, outcome=outcome
        )


class Record(Struct, frozen=True, kw_only=True):
    """One deed. `about` names its object: a subject or an event id, whose partition the record lies in."""

    at: int
    """Unix seconds."""
    by: str
    """The name of a token, or of a user of the machine."""
    action: str
    """What was done, as `<room>.<verb>`: `quarantine.discard`."""
    about: str
    reason: str
    outcome: str = ""

    def fields(self) -> list[Value]:
        """Return stream fields and values for a script to XADD to `keys.shared(p, "audit")`."""
        return [part for name in self.__struct_fields__ for part in (name, getattr(self, name))]


async def write(store: Store, record: Record) -> None:
    """Record a deed that no script of its own writes. Raises StoreUnavailable, NotDurable."""
    p = store.partition(record.about)
    async with reaching():
        await store.send(p, ("XADD", keys.shared(p, "audit"), "*", *record.fields()))


async def latest(store: Store, limit: int) -> list[Record]:
    """Return the last deeds of all partitions, the newest first."""
    pipeline = store.redis.pipeline(transaction=False)
    for p in range(store.partitions):
        pipeline.xrevrange(keys.shared(p, "audit"), count=limit)
    async with reaching():
        found = [entry for entries in await pipeline.execute() for entry in entries]
    records = [_record(fields) for _, fields in found]
    return sorted(records, key=lambda record: -record.at)[:limit]


async def about(store: Store, name: str, limit: int) -> list[Record]:
    """Return the last deeds about a subject or an event, the newest first; so many of its partition are looked at."""
    audit = keys.shared(store.partition(name), "audit")
    async with reaching():
        found: Any = await store.redis.xrevrange(audit, count=limit)
    records = [_record(fields) for _, fields in found]
    return [record for record in records if record.about == name]


def _record(fields: Mapping[bytes, bytes]) -> Record:
    return msgspec.convert(
        {name.decode(): value.decode() for name, value in fields.items()}, Record, strict=False
    )
