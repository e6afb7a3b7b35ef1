"""What is done otherwise in a cluster than with one server: asking each primary, walking all keys, one connection."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from entitlements.store.client import reaching
from entitlements.store.cluster import Cluster, understood


class Primary(NamedTuple):
    """A server that takes writes: its name, empty of one alone, and the arguments that send a command to it."""

    name: str
    to: dict[str, Any]


ONLY = Primary("", {})


async def primaries(redis: Redis) -> list[Primary]:
    """Return every server that takes writes, in the order of their names. Raises StoreUnavailable."""
    cluster = _cluster(redis)
    if cluster is None:
        return [ONLY]
    async with reaching():
        await cluster.initialize()
    nodes = sorted(cluster.get_primaries(), key=lambda node: node.name)
    return [Primary(node.name, {"target_nodes": node}) for node in nodes]


async def together(redis: Redis, key: str, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """Send commands over one connection to the server that holds a key; a retry sends all of them again.

    Returns the replies, or raises the first error. Nothing of a command is in its text.
    """
    cluster = _cluster(redis)
    if cluster is not None:
        return await cluster.together(key, commands)
    pipeline = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return understood(await pipeline.execute(raise_on_error=False))


async def walk(
    redis: Redis, match: str, batch: int, kind: str | None = None
) -> AsyncIterator[tuple[float, list[Any]]]:
    """Yield the keys that match, of one type if one is named, with the share of the store that has been looked through.

    A key may come twice; one that is there all the time comes at least once. A cursor means nothing to another server,
    so where one took the place of another meanwhile, or slots moved, all is walked again. Raises StoreUnavailable.
    """
    async with reaching():
        size = max(1, await redis.dbsize())
    seen = 0
    while True:
        before = await _lineup(redis)
        for primary in await primaries(redis):
            cursor = None
            while cursor != 0:
                cursor, names = await step(redis, primary, cursor or 0, (match, batch, kind))
                seen += batch
                yield min(1.0, seen / size), names
        if await _lineup(redis) == before:
            return


async def step(
    redis: Redis, primary: Primary, cursor: int, which: tuple[str, int, str | None]
) -> tuple[int, list[Any]]:
    """Look through some keys of one server: a pattern, about how many, and of which type. Returns the next cursor."""
    match, count, kind = which
    async with reaching():
        after: Any
        after, names = await redis.scan(cursor, match=match, count=count, _type=kind, **primary.to)
    return (after[primary.name] if primary.name else after), names


async def _lineup(redis: Redis) -> dict[str, object]:
    """Tell which processes hold which slots."""
    found: dict[str, object] = {}
    for name, to in await primaries(redis):
        async with reaching():
            found[name] = (await redis.info("server", **to))["run_id"]
    cluster = _cluster(redis)
    if cluster is not None:
        async with reaching():
            slots: Any = await cluster.cluster_slots()
        found["slots"] = {held: nodes["primary"] for held, nodes in slots.items()}
    return found


def _cluster(redis: object) -> Cluster | None:
    return redis if isinstance(redis, Cluster) else None
