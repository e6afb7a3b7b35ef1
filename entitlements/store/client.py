"""How this service talks to Redis: short timeouts, at most one retry, one kind of error.

redis-py's own defaults retry ten times with timeouts of five seconds: against a frozen server one call took 58 s to
fail, long after Stripe had given up. A retried write may be made twice, which the commit script makes harmless.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisClusterException, RedisError

from entitlements.errors import StoreUnavailable
from entitlements.store.address import Address, address
from entitlements.store.cluster import Cluster, Named, Sentinels

TIMEOUT = 0.3
"""Seconds for one try at a connection or a command."""

PATIENCE = 0.7
"""Seconds for one call, two tries. redis-py would make three: a retry that must connect again retries that too."""

ASKING = 0.15
"""Seconds for one Sentinel to say who is the primary: of three that are named, two may be dead."""

CONNECTIONS = 64
"""At most, for each client of one process. Further callers wait their turn, for as long as TIMEOUT."""


def connect(url: str, name: str) -> Redis:
    """Return a client of its own connections. `name` shows in the server's CLIENT LIST.

    A cluster's client is given out as a Redis too: the store uses only what both have, and topology.py for the rest.
    """
    kind = url.partition("://")[0].partition("+")[2]
    if kind == "cluster":
        return cast("Redis", _cluster(address(url), name))
    if kind == "sentinel":
        return _sentinel(address(url), name)
    return Redis.from_pool(BlockingConnectionPool.from_url(url, **_pool(name)))


async def disconnect(redis: Redis) -> None:
    """Close every connection of a client that `connect` gave out."""
    client: object = redis
    await (client.disconnect() if isinstance(client, Cluster) else redis.aclose())


def _cluster(to: Address, name: str) -> Cluster:
    arguments = _arguments(name) | to.login | to.tls
    arguments["startup_nodes"] = [ClusterNode(host, port) for host, port in to.nodes]
    arguments["max_connections"] = (
        2 * CONNECTIONS
    )  # to one node: pipelines have no turn to wait for
    return Cluster(CONNECTIONS, arguments)


def _sentinel(to: Address, name: str) -> Redis:
    """Sentinels are asked without a login: it is the servers'. A dead one must leave time to ask the next."""
    asking = {"socket_timeout": ASKING, "socket_connect_timeout": ASKING, "retry": _retry(0)}
    sentinels: Any = Sentinels  # its constructor has no types, nor has the pool's
    pool: Any = Named
    found = sentinels(to.nodes, sentinel_kwargs=asking | to.tls)
    return Redis.from_pool(pool(to.service, found, db=to.db, **_pool(name), **to.login, **to.tls))


def _pool(name: str) -> dict[str, Any]:
    return {"max_connections": CONNECTIONS, "timeout": TIMEOUT, **_arguments(name)}


def _arguments(name: str) -> dict[str, Any]:
    return {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "retry": _retry(1),
        "client_name": name,
    }


def _retry(times: int) -> Retry:
    return Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.1), times)


@asynccontextmanager
async def reaching() -> AsyncGenerator[None]:
    """Turn whatever keeps the store from doing its work into StoreUnavailable, which a retry may cure.

    Every refusal counts (OOM, MISCONF, READONLY, LOADING, NOREPLICAS, CLUSTERDOWN): none of them wrote anything. So
    does a cluster that is not found, or whose slots nobody holds: redis-py's RedisClusterException is no RedisError.
    """
    cancelled = _cancellations()
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
        raise unavailable(error) from error
    if _cancellations() > cancelled:
        raise asyncio.CancelledError


def unavailable(error: Exception) -> StoreUnavailable:
    """Return our own error for whatever kept the store from doing its work."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return StoreUnavailable(f"The store did not do its work ({said}). Try again shortly.")


def _cancellations() -> int:
    """Count what this task was asked to stop, and has not heard.

    redis-py sends with `asyncio.wait_for`, which can lose a cancellation on Python 3.11:
    https://github.com/python/cpython/issues/86296.
    """
    task = asyncio.current_task()
    return task.cancelling() if task else 0
