"""Events that were authentic and could not be taken in: each waits, whole, until it is taken in or discarded.

Nothing here expires and nothing is trimmed. An event waits in the partition of its id.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, json

from entitlements.errors import NotFound
from entitlements.model import Subject
from entitlements.store import keys, places
from entitlements.store.audit import Record
from entitlements.store.client import reaching
from entitlements.store.packed import unpack
from entitlements.store.replies import script
from entitlements.store.store import KEEP_MARK, Store

PAGE = 100
"""Entries that are read at a time when all are walked."""

_COLUMNS = ("event", "type", "received_ms", "why", "subject", "attempts")


class Waiting(Struct, frozen=True, kw_only=True):
    """An event in the quarantine, without its body."""

    event: str
    """Its id, or `sha256:…` of what has none."""
    type: str
    received_ms: int
    why: str
    """Why it could not be taken in, the last time somebody tried."""
    subject: str = ""
    attempts: int = 0


class Place(NamedTuple):
    """Where an event stands in the order of the list, which begins with the newest."""

    received_ms: int
    event: str


async def count(store: Store) -> int:
    """Return how many events wait."""
    return await places.count(store, "quarantine")


async def page(store: Store, limit: int, after: Place | None = None) -> list[Waiting]:
    """Return so many events that wait, the newest first, from behind a place on."""
    places = sorted(await _places(store, limit, after), reverse=True)[:limit]
    found = await _read(store, [place.event for place in places], _COLUMNS)
    return [_waiting(fields) for fields in found if fields]


async def walk(store: Store) -> AsyncIterator[Waiting]:
    """Yield every event that waits, the newest first, whatever is taken out meanwhile."""
    after = None
    while found := await page(store, PAGE, after):
        for waiting in found:
            yield waiting
        after = Place(found[-1].received_ms, found[-1].event)


async def naming(store: Store, subject: Subject, look: int) -> list[Waiting]:
    """Return those of the newest events that wait which name a customer, the newest first; so many are looked at.

    What could not be read says nowhere whose it is, so that it is looked for in the body.
    """
    places = sorted(await _places(store, look, None), reverse=True)[:look]
    named = [json.encode(name) for name in (subject.customer, subject.account) if name]
    found = list[Waiting]()
    for n in range(0, len(places), PAGE):
        events = [place.event for place in places[n : n + PAGE]]
        rows = await _read(store, events, (*_COLUMNS, "body"))
        found += [_waiting(row) for row in rows if row and _names(row["body"], named)]
    return found


def _names(body: bytes, named: Sequence[bytes]) -> bool:
    said = unpack(body)
    return all(name in said for name in named)


async def one(store: Store, event: str) -> tuple[Waiting, bytes]:
    """Return an event that waits, and its body as it was sent. Raises NotFound."""
    (fields,) = await _read(store, [event], (*_COLUMNS, "body"))
    if not fields:
        raise NotFound(
            f"{event} does not wait in the quarantine: it was never put there, or is settled already."
        )
    return _waiting(fields), unpack(fields["body"])


async def stays(store: Store, event: str, why: str, record: Record) -> bool:
    """Note that another attempt failed, and why. Returns false where the event does not wait (any more)."""
    return await _settle(store, event, why, record)


async def leaves(store: Store, event: str, record: Record) -> bool:
    """Take an event out for good: it is taken in, or discarded. Returns false where it does not wait (any more)."""
    return await _settle(store, event, "", record)


async def _settle(store: Store, event: str, why: str, record: Record) -> bool:
    p = store.partition(event)
    names = [
        keys.waiting(p, event),
        keys.shared(p, "quarantine"),
        keys.shared(p, "audit"),
        keys.event(p, event),
    ]
    script = store.redis.register_script(_SETTLE)
    return await store.run(script, p, names, [event, why, KEEP_MARK, *record.fields()]) == 1


async def _places(store: Store, limit: int, after: Place | None) -> list[Place]:
    """Return the first places of each partition behind one place; those of the same millisecond are read whole."""
    pipeline = store.redis.pipeline(transaction=False)
    highest = f"({after.received_ms}" if after else "+inf"
    for p in range(store.partitions):
        name = keys.shared(p, "quarantine")
        pipeline.zrevrangebyscore(name, highest, "-inf", start=0, num=limit, withscores=True)
        if after:
            pipeline.zrevrangebyscore(name, after.received_ms, after.received_ms, withscores=True)
    async with reaching():
        found = [pair for pairs in await pipeline.execute() for pair in pairs]
    places = [Place(int(score), member.decode()) for member, score in found]
    return [place for place in places if after is None or place < after]


async def _read(
    store: Store, events: Sequence[str], columns: Sequence[str]
) -> list[dict[str, bytes]]:
    """Return these fields of each event, those it has; none where it does not wait."""
    pipeline = store.redis.pipeline(transaction=False)
    for event in events:
        pipeline.hmget(keys.waiting(store.partition(event), event), columns)
    async with reaching():
        rows = await pipeline.execute()
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in rows
    ]


def _waiting(fields: Mapping[str, bytes]) -> Waiting:
    return Waiting(
        event=fields["event"].decode(),
        type=fields["type"].decode(),
        received_ms=int(fields["received_ms"]),
        why=fields["why"].decode(),
        subject=fields.get("subject", b"").decode(),
        attempts=int(fields.get("attempts", 0)),
    )


_SETTLE = script("settle")
