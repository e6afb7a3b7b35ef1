"""Is a store set up so that it keeps what it acknowledges? Rules as a function of what the server says of itself.

Only `appendfsync always` lets the reply wait for the disk, on Redis and Valkey alike: WAITAOF is missing before Redis
7.2 and answers too early on Valkey 9.1 under `everysec`.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from entitlements.errors import StoreUnsafe
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.topology import ONLY, Primary, primaries

Durability = Literal["fsync", "replica", "memory"]
Topic = Literal["version", "eviction", "persistence", "replication"]

OLDEST = (7, 0)
UNKNOWN = "unknown"

_PARAMETERS = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy")


class Server(Struct, frozen=True):
    """What a server says of itself; `unknown` where it does not let us ask."""

    version: str
    appendonly: str = UNKNOWN
    appendfsync: str = UNKNOWN
    no_appendfsync_on_rewrite: str = UNKNOWN
    maxmemory_policy: str = UNKNOWN
    connected_replicas: int = 0
    replica_lag: int | None = None
    """Seconds since the nearest replica was last heard of; null without one."""
    role: str = "master"
    loading: bool = False
    full: bool = False
    """Whether `maxmemory` is reached."""
    aof_last_write_status: str = "ok"
    aof_last_bgrewrite_status: str = "ok"
    rewriting: bool = False
    """Whether the append-only file is being written anew, or is about to be."""


def unsafe(server: Server, durability: Durability) -> list[str]:
    """Return what speaks against using a server, each with its remedy; nothing where all is well."""
    return [said for _, said in objections(server, durability)]


def objections(server: Server, durability: Durability) -> Iterator[tuple[Topic, str]]:
    """Yield likewise, each with what it is about."""
    if tuple(int(n) for n in server.version.split(".")[:2]) < OLDEST:
        yield "version", f"it is version {server.version}: use Redis 7.0 or newer, or Valkey"
    if server.maxmemory_policy != "noeviction":
        yield (
            "eviction",
            f"maxmemory-policy is {server.maxmemory_policy}: set it to noeviction, or decisions may vanish",
        )
    if server.role != "master":
        yield (
            "replication",
            "it is a replica, which forgets what is written to it: name its primary",
        )
    if server.loading:
        yield "persistence", "it is still loading its data: wait until it has"
    if durability != "memory":
        yield from (("persistence", said) for said in _not_on_disk(server))
    if durability == "replica" and not server.connected_replicas:
        yield (
            "replication",
            "no replica is connected: attach one, or set ENTITLEMENTS_DURABILITY=fsync",
        )


def not_yet(server: Server, durability: Durability) -> list[str]:
    """Return what speaks against trusting a server again that was unsafe.

    Once `appendonly` is switched on, nothing of it counts until the file has been written for the first time.
    """
    if durability != "memory" and server.rewriting:
        return ["its append-only file is still being written anew: wait until it has been"]
    return []


def remarks(server: Server) -> list[str]:
    """Return what an operator should see to, and what makes no acknowledgement a lie."""
    found = []
    if server.full:
        found.append("its memory is full, so it refuses writes: raise maxmemory, or retain less")
    if server.aof_last_bgrewrite_status != "ok":
        found.append(
            "its last rewrite of the append-only file failed, so the file grows: its log says why"
        )
    return found


def _not_on_disk(server: Server) -> list[str]:
    failing = "its last write to the append-only file failed: its log says why"
    return _set_otherwise(server) + [failing] * (server.aof_last_write_status != "ok")


def _set_otherwise(server: Server) -> list[str]:
    wanted = {
        "appendonly": (server.appendonly, "yes"),
        "appendfsync": (server.appendfsync, "always"),
        "no-appendfsync-on-rewrite": (server.no_appendfsync_on_rewrite, "no"),
    }
    return [
        f"{name} is {is_} and must be {must} for a 2xx to mean stored (or set ENTITLEMENTS_DURABILITY=memory)"
        for name, (is_, must) in wanted.items()
        if is_ != must
    ]


async def refuse_unsafe(redis: Redis, durability: Durability) -> None:
    """Ask every primary, since a cluster is as safe as its least safe node; name each that is not.

    Raises StoreUnsafe, or StoreUnavailable where one of them does not answer.
    """
    found = [
        f"{primary.name}: {said}" if primary.name else said
        for primary in await primaries(redis)
        for said in unsafe(await ask(redis, primary), durability)
    ]
    if found:
        raise StoreUnsafe("This store is not safe to use: " + "; ".join(found) + ".")


async def refuse_half(redis: Redis) -> None:
    """Raise StoreUnsafe where an import has not come to its end, StoreUnavailable where that cannot be asked."""
    async with reaching():
        half = await redis.exists(keys.IMPORT)
    if half:
        raise StoreUnsafe(
            "This store is half of another one: an import into it has not ended. End it with "
            "`entitlements import --resume --apply` and the same file, or empty the store."
        )


async def ask(redis: Redis, primary: Primary = ONLY) -> Server:
    """Ask a server about itself. Managed services may deny CONFIG: then INFO has to do, and the rest is unknown."""
    async with reaching():
        info = await redis.info(**primary.to)
        said = {"maxmemory-policy": info.get("maxmemory_policy", UNKNOWN)}
        said["appendonly"] = "yes" if info.get("aof_enabled") else "no"
        with suppress(ResponseError):  # denied: what INFO said stands, the rest stays unknown
            said |= {
                str(k): str(v)
                for k, v in (await redis.config_get(*_PARAMETERS, **primary.to)).items()
            }
    return Server(
        version=str(info["redis_version"]),
        **_condition(info),
        **{name.replace("-", "_"): value for name, value in said.items()},
    )


def _condition(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what INFO tells of how a server is, beside how it is set up."""
    replicas = [v for k, v in info.items() if k.startswith("slave") and isinstance(v, Mapping)]
    limit = int(info.get("maxmemory", 0))
    return {
        "connected_replicas": int(info.get("connected_slaves", 0)),
        "replica_lag": min((int(r.get("lag", 0)) for r in replicas), default=None),
        "role": str(info.get("role", UNKNOWN)),
        "loading": bool(info.get("loading")),
        "full": 0 < limit < int(info.get("used_memory", 0)),
        "aof_last_write_status": str(info.get("aof_last_write_status", UNKNOWN)),
        "aof_last_bgrewrite_status": str(info.get("aof_last_bgrewrite_status", UNKNOWN)),
        "rewriting": any(info.get(f"aof_rewrite_{is_}") for is_ in ("in_progress", "scheduled")),
    }
