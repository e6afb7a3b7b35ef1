"""A dump into an empty store: line after line, going on where it was if it is stopped.

While it goes on, the store says so of itself (`ent:import`), and no service starts on it (`Store.open`).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from entitlements.errors import Conflict, StoreUnavailable
from entitlements.store import keys
from entitlements.store.client import connect, disconnect, reaching
from entitlements.store.lane import Piped
from entitlements.store.lines import Part, Tail, raw
from entitlements.store.safety import Durability, refuse_unsafe
from entitlements.store.scan import scan
from entitlements.store.store import Store

LINES = 50
"""Lines written in one round trip: at most, since long ones go alone."""

ELEMENTS = 1_000
"""Elements written in one round trip, about."""

TRIES = 6
PAUSE = 0.2
"""Seconds before the second try of a write, twice as long before each further one."""

Numbered = tuple[int, Part]


@asynccontextmanager
async def opened(url: str, partitions: int, durability: Durability) -> AsyncGenerator[Store]:
    """Give a store to load into; nothing is written by opening it. Raises StoreUnavailable or StoreUnsafe."""
    redis = connect(url, "entitlements-import")
    try:
        await refuse_unsafe(redis, durability)
        yield Store(redis, Piped(redis), partitions, durability)
    finally:
        await disconnect(redis)


async def progress(store: Store, file: str) -> int:
    """Return the last line of a file (by its SHA-256) that a store has; 0 where the store is empty.

    Raises Conflict where it holds anything else: two stores are never mixed.
    """
    async with reaching():
        marker: dict[bytes, bytes] = await store.redis.hgetall(keys.IMPORT)  # type: ignore[assignment]  # not decoded
    if marker:
        if marker[b"file"].decode() != file:
            raise Conflict(
                "The store is half of another file. End that import, or empty the store first."
            )
        return int(marker[b"line"])
    async for names in scan(store, keys.EVERYTHING):
        if names:
            raise Conflict(
                f"The store is not empty: it holds {names[0]!r}. Import into an empty one: another server, "
                "another database, or another ENTITLEMENTS_DATA_DIR."
            )
    return 0


async def load(
    store: Store, file: str, lines: Iterable[Numbered], last: int, *, tries: int = TRIES
) -> AsyncIterator[int]:
    """Write the parts that come after line `last`; yield the number of the last line written, time and again.

    Writing a line twice does no harm. Raises StoreUnavailable where the store stays out of reach.
    """
    await _note(store, file, last)
    rest = (numbered for numbered in lines if numbered[0] > last)
    resuming = True
    while batch := _batch(rest):
        await _patiently(store, [part for _, part in batch], tries, resuming=resuming)
        resuming = False
        await _note(store, file, batch[-1][0])
        yield batch[-1][0]
    async with reaching():
        await store.redis.delete(keys.IMPORT)


def _batch(lines: Iterable[Numbered]) -> list[Numbered]:
    found, elements = list[Numbered](), 0
    for numbered in islice(lines, LINES):
        found.append(numbered)
        elements += len(numbered[1].data)
        if elements >= ELEMENTS:
            break
    return found


async def _note(store: Store, file: str, line: int) -> None:
    async with reaching():
        await store.redis.hset(keys.IMPORT, mapping={"file": file, "line": line})


async def _patiently(store: Store, parts: Sequence[Part], tries: int, *, resuming: bool) -> None:
    """Write; where the store does not answer, look again at what it has and write the rest."""
    for attempt in range(tries):
        try:
            await _write(store, parts, careful=resuming or attempt > 0)
        except StoreUnavailable:
            if attempt == tries - 1:
                raise
            await asyncio.sleep(PAUSE * 2**attempt)
        else:
            return


async def _write(store: Store, parts: Sequence[Part], *, careful: bool) -> None:
    tops = await _tops(store, parts) if careful else {}
    pipeline = store.redis.pipeline(transaction=False)
    for part in parts:
        _write_part(pipeline, part, tops.get(part.key, (0, 0)))
        if part.expires_ms is not None:
            pipeline.pexpireat(part.key, part.expires_ms)
    async with reaching():
        await pipeline.execute()


async def _tops(store: Store, parts: Sequence[Part]) -> dict[str, tuple[int, int]]:
    """Return the id of the last entry that each stream has already."""
    found = {}
    for name in {part.key for part in parts if part.type == "stream"}:
        async with reaching():
            entries: Any = await store.redis.xrevrange(name, count=1)
            if not entries and await store.redis.exists(name):
                told = await store.redis.xinfo_stream(name)
                entries = [(told["last-generated-id"], {})]
        found[name] = _id(entries[0][0].decode()) if entries else (0, 0)
    return found


def _write_part(pipeline: Any, part: Part, top: tuple[int, int]) -> None:  # noqa: ANN401  redis-py's own type is not precise
    rows = [[raw(t) for t in row] for row in part.data]
    match part.type:
        case "string":
            pipeline.set(part.key, rows[0][0])
        case "hash":
            pipeline.hset(part.key, items=[t for row in rows for t in row])
        case "set":
            pipeline.sadd(part.key, *(member for (member,) in rows))
        case "list":
            _append(pipeline, part, [member for (member,) in rows])
        case "zset":
            pipeline.zadd(part.key, {member: float(score) for member, score in rows})
        case _:
            fresh = [row for row in rows if _id(row[0].decode()) > top]
            for name, *fields in fresh:
                pipeline.execute_command("XADD", part.key, name, *fields)
            if part.tail:
                _close(pipeline, part, part.tail, top)


def _append(pipeline: Any, part: Part, members: Sequence[bytes]) -> None:  # noqa: ANN401  likewise
    if part.offset:
        pipeline.ltrim(part.key, 0, part.offset - 1)
    else:
        pipeline.delete(part.key)
    pipeline.rpush(part.key, *members)


def _close(pipeline: Any, part: Part, tail: Tail, top: tuple[int, int]) -> None:  # noqa: ANN401  likewise
    """Tell a stream what else it knows; one that has no entries is made first."""
    if not part.offset and _id(tail.last) > top:
        pipeline.execute_command("XADD", part.key, tail.last, "", "")
        pipeline.xtrim(part.key, maxlen=0, approximate=False)
    if part.offset or _id(tail.last) > (0, 0):
        pipeline.execute_command(
            "XSETID", part.key, tail.last, "ENTRIESADDED", tail.added, "MAXDELETEDID", tail.deleted
        )


def _id(name: str) -> tuple[int, int]:
    """Return a stream's id as it is ordered."""
    milliseconds, _, sequence = name.partition("-")
    return int(milliseconds), int(sequence)
