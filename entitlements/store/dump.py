"""Everything that is ours in a store, as lines that another server can read, whatever its version or kind.

The store may be in use. Each key is as it was at one moment, and a customer's records are of one moment together. The
order makes the rest safe: customers first, then marks, then lists, and the log last. So every event that a customer's
records have is in the log that travels with them, and what was delivered meanwhile is in the log to be replayed.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from entitlements.errors import StoreError
from entitlements.model import CustomerRecord, Subject
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.lines import Header, Part, Tail, Text, Type, parts, text
from entitlements.store.scan import scan
from entitlements.store.seen import Seen
from entitlements.store.store import Store

TYPES: tuple[Type, ...] = ("string", "hash", "set", "list", "zset", "stream")
"""In their order: a mark says that an event is known, and comes before what knows it; a list after what it lists."""

KEYS = 100
"""Keys read in one round trip."""

ENTRIES = 64
"""Entries of a stream read in one round trip: the body of each may be a megabyte."""

Found = TypeVar("Found")
_customer = msgspec.json.Decoder(CustomerRecord)


class Step(NamedTuple):
    """How far a dump is (0 to 1), and some of it."""

    share: float
    found: Sequence[Part]


async def header(store: Store, now: int) -> Header:
    """Return the first line of a dump made now (Unix seconds)."""
    async with reaching():
        meta: Any = await store.redis.hgetall(keys.META)
    said = {name.decode(): value.decode() for name, value in meta.items()}
    return Header(
        partitions=store.partitions,
        policy=said.get("policy", ""),
        livemode=said.get("livemode", ""),
        created=now,
    )


async def dump(store: Store) -> AsyncIterator[Step]:
    """Yield every key of ours, once."""
    seen = Seen()
    seen.add(hash(keys.META))
    yield Step(0, await _plain(store, [keys.META], "hash"))
    async for share, subjects in store.subjects():
        for some in _chunks([s for s in subjects if seen.add(hash(s))]):
            yield Step(share / 2, await _customers(store, some))
    for n, kind in enumerate(TYPES):
        share = 0.5 + (n + 0.5) / len(TYPES) / 2
        async for names in scan(store, keys.EVERYTHING, kind):
            come = [keys.subject_of(name) for name in names if _room(name) == "c"]
            for some in _chunks([s for s in come if seen.add(hash(s))]):
                yield Step(share, await _customers(store, some))
            others = [k for k in names if _room(k) not in _TOGETHER and seen.add(hash(k))]
            async for found in _others(store, others, kind):
                yield Step(share, found)


_TOGETHER = {"c", "s", "w"}
"""A hot record travels with the cold ones that it names and with what people said, and none of them alone."""


def _chunks(found: Sequence[Found]) -> Iterator[Sequence[Found]]:
    return (found[n : n + KEYS] for n in range(0, len(found), KEYS))


async def _others(store: Store, names: Sequence[str], kind: Type) -> AsyncIterator[Sequence[Part]]:
    if kind != "stream":
        for some in _chunks(names):
            yield await _plain(store, some, kind)
        return
    for name in names:
        async for part in _stream(store, name):
            yield [part]


def _room(name: str) -> str:
    """Return what kind of key it is within its partition: `c`, `s`, `e`, `log`; nothing for what has no partition."""
    return name.split(":")[2] if name.startswith("ent:{") else ""


async def _customers(store: Store, subjects: Sequence[Subject]) -> list[Part]:
    """Return the records of some customers, each customer's of one moment."""
    records = await store.customers(list(subjects))
    pending = dict(zip(subjects, records, strict=True))
    found: dict[Subject, list[Part]] = {}
    while pending:
        named = {s: _records(store, s, record) for s, record in pending.items()}
        pipeline = store.redis.pipeline(transaction=False)
        for names in named.values():
            # atomic: one command, one slot; redis-py bars the pipelines of a cluster from `mget`
            pipeline.execute_command("MGET", *names)
        async with reaching():
            values = await pipeline.execute()
        again = {}
        for (subject, names), row in zip(named.items(), values, strict=True):
            record = _customer.decode(row[0]) if row[0] else CustomerRecord(version=0)
            if set(record.decisions) <= set(pending[subject].decisions):
                found[subject] = [_string(k, v) for k, v in zip(names, row, strict=True) if v]
            else:  # a subscription came between the two reads
                again[subject] = record
        pending = again
    return [part for records in found.values() for part in records]


def _records(store: Store, subject: Subject, record: CustomerRecord) -> list[str]:
    p = store.partition(str(subject))
    return [
        keys.customer(p, subject),
        keys.words(p, subject),
        *(keys.subscription(p, subject, name) for name in record.decisions),
    ]


def _string(key: str, value: bytes, expires_ms: int | None = None) -> Part:
    return Part(key=key, type="string", data=[[text(value)]], expires_ms=expires_ms)


async def _plain(store: Store, names: Sequence[str], kind: Type) -> list[Part]:
    """Return keys of any type but a stream, each read by one command; what has gone meanwhile is left out."""
    pipeline = store.redis.pipeline(transaction=False)
    for name in names:
        _read(pipeline, name, kind)
        pipeline.pexpiretime(name)
    async with reaching():
        replies = await pipeline.execute()
    found: list[Part] = []
    for name, value, expires in zip(names, replies[::2], replies[1::2], strict=True):
        if value is not None and expires != _GONE:
            at = expires if expires > 0 else None
            found += parts(name, kind, _elements(value, kind), at)
    return found


_GONE = -2


def _read(pipeline: Any, name: str, kind: Type) -> None:  # noqa: ANN401  redis-py's own type is not precise
    match kind:
        case "string":
            pipeline.get(name)
        case "hash":
            pipeline.hgetall(name)
        case "set":
            pipeline.smembers(name)
        case "list":
            pipeline.lrange(name, 0, -1)
        case _:
            pipeline.zrange(name, 0, -1, withscores=True)


def _elements(value: Any, kind: Type) -> Iterable[Sequence[Text]]:  # noqa: ANN401  what Redis replied
    match kind:
        case "string":
            return [[text(value)]]
        case "hash":
            return ([text(k), text(v)] for k, v in value.items())
        case "zset":
            return ([text(member), repr(float(score))] for member, score in value)
        case _:
            return ([text(member)] for member in value)


async def _stream(store: Store, name: str) -> AsyncIterator[Part]:
    """Yield a stream up to the entry that is its last now, and then what else it knows."""
    async with reaching():
        told = await store.redis.xinfo_stream(name)
        expires = await store.redis.pexpiretime(name)
    if told["groups"]:
        raise StoreError(f"{name} has consumer groups, which do not travel: remove them first.")
    last, lowest, offset = told["last-generated-id"].decode(), "-", 0
    while True:
        async with reaching():
            entries: Any = await store.redis.xrange(name, lowest, last, count=ENTRIES)
        rows = [[i.decode(), *(text(t) for pair in f.items() for t in pair)] for i, f in entries]
        for part in parts(name, "stream", rows):
            yield msgspec.structs.replace(part, offset=offset + part.offset)
        if not rows:
            break
        lowest, offset = f"({rows[-1][0]}", offset + len(rows)
    tail = Tail(last, told["entries-added"], told["max-deleted-entry-id"].decode())
    at = expires if expires > 0 else None
    yield Part(key=name, type="stream", data=[], offset=offset, expires_ms=at, tail=tail)
