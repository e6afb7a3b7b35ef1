"""How the servers of a store are, for whoever examines it: what makes them safe, their memory, their clocks."""

import time
from collections.abc import Callable

from msgspec import Struct

from entitlements.store.client import reaching
from entitlements.store.safety import Server, ask
from entitlements.store.store import Store
from entitlements.store.topology import Primary, primaries


class Vitals(Struct, frozen=True):
    """One primary. Sizes are bytes."""

    name: str
    """Its address; empty where there is one alone."""
    software: str
    server: Server
    used: int
    room: int
    """`maxmemory`, or the machine's memory where none is set."""
    limited: bool
    """Whether `maxmemory` is set."""
    ahead: float
    """Seconds by which its clock is ahead of ours."""


async def vitals(store: Store, clock: Callable[[], float] = time.time) -> list[Vitals]:
    """Ask every primary how it is. Raises StoreUnavailable."""
    return [await _ask(store, primary, clock) for primary in await primaries(store.redis)]


async def _ask(store: Store, primary: Primary, clock: Callable[[], float]) -> Vitals:
    async with reaching():
        info = await store.redis.info(**primary.to)
        before = clock()
        seconds, micros = await store.redis.time(**primary.to)
        after = clock()
    limit = int(info.get("maxmemory", 0))
    valkey = info.get("valkey_version")
    return Vitals(
        name=primary.name,
        software=f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}",
        server=await ask(store.redis, primary),
        used=int(info["used_memory"]),
        room=limit or int(info.get("total_system_memory", 0)),
        limited=limit > 0,
        ahead=int(seconds) + int(micros) / 1e6 - (before + after) / 2,
    )
