"""How this service talks to Redis: short timeouts, at most one retry, one kind of error.

redis-py's own defaults retry ten times with timeouts of five seconds: against a frozen server one call took 58 s to
fail, long after Stripe had given up. A retried write may be made twice, which the commit script makes harmless.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from entitlements.errors import SettingsError, StoreUnavailable

TIMEOUT = 0.3
"""Seconds for one try at a connection or a command."""

PATIENCE = 0.7
"""Seconds for one call, two tries. redis-py would make three: a retry that must connect again retries that too."""

CONNECTIONS = 64
"""At most, for each client of one process. Further callers wait their turn, for as long as TIMEOUT."""


def connect(url: str, name: str) -> Redis:
    """Return a client of its own pool. `name` shows in the server's CLIENT LIST.

    Raises SettingsError for a cluster or Sentinel, which this version cannot reach yet.
    """
    scheme = url.partition("://")[0]
    if "+" in scheme:
        raise SettingsError(
            f"ENTITLEMENTS_REDIS_URL has the scheme {scheme}, which this version cannot use yet: "
            "name one server, with redis://, rediss:// or unix://."
        )
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.1), 1),
        client_name=name,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def reaching() -> AsyncGenerator[None]:
    """Turn whatever keeps the store from doing its work into StoreUnavailable, which a retry may cure.

    Every refusal counts (OOM, MISCONF, READONLY, LOADING, NOREPLICAS, CLUSTERDOWN): none of them wrote anything.
    """
    cancelled = _cancellations()
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise StoreUnavailable(
            f"The store did not do its work ({said}). Try again shortly."
        ) from error
    if _cancellations() > cancelled:
        raise asyncio.CancelledError


def _cancellations() -> int:
    """Count what this task was asked to stop, and has not heard.

    redis-py sends with `asyncio.wait_for`, which can lose a cancellation on Python 3.11:
    https://github.com/python/cpython/issues/86296.
    """
    task = asyncio.current_task()
    return task.cancelling() if task else 0
