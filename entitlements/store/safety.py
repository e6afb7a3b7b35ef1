"""Is a store set up so that it keeps what it acknowledges? Rules as a function of what the server says of itself.

Only `appendfsync always` lets the reply wait for the disk, on Redis and Valkey alike: WAITAOF is missing before Redis
7.2 and answers too early on Valkey 9.1 under `everysec`.
"""

from contextlib import suppress
from typing import Literal

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from entitlements.errors import StoreUnsafe
from entitlements.store.client import reaching
from entitlements.store.topology import ONLY, Primary, primaries

Durability = Literal["fsync", "replica", "memory"]

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


def unsafe(server: Server, durability: Durability) -> list[str]:
    """Return what speaks against using a server, each with its remedy; nothing where all is well."""
    found = []
    if tuple(int(n) for n in server.version.split(".")[:2]) < OLDEST:
        found.append(f"it is version {server.version}: use Redis 7.0 or newer, or Valkey")
    if server.maxmemory_policy != "noeviction":
        found.append(
            f"maxmemory-policy is {server.maxmemory_policy}: set it to noeviction, or decisions may vanish"
        )
    if durability != "memory":
        found += _not_on_disk(server)
    if durability == "replica" and not server.connected_replicas:
        found.append("no replica is connected: attach one, or set ENTITLEMENTS_DURABILITY=fsync")
    return found


def _not_on_disk(server: Server) -> list[str]:
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
        connected_replicas=int(info.get("connected_slaves", 0)),
        **{name.replace("-", "_"): value for name, value in said.items()},
    )
