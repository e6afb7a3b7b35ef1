"""Clients for stores of several nodes: no connection is left open, and no node forgotten."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from entitlements.errors import StoreUnavailable
from entitlements.store.client import connect, disconnect, reaching
from tests.support.servers import client, eventually

PAUSE = 900
"""Milliseconds for which a node does not answer: more than a call waits for it, less than until it is called dead."""


def keys_of_each(plain: Any) -> list[str]:  # noqa: ANN401  redis-py's cluster client has few types
    """Return the name of a key of each primary."""
    names = {str(plain.get_node_from_key(f"k{n}")): f"k{n}" for n in range(100)}
    assert len(names) == len(plain.get_primaries())
    return list(names.values())


def connected(plain: Any, name: str) -> int:  # noqa: ANN401  likewise
    """Count the connections of a name to all nodes."""
    found: Any = plain.client_list(target_nodes=redis.RedisCluster.ALL_NODES)
    return sum(each["name"] == name for node in found.values() for each in node)


@pytest.mark.asyncio
async def test_nothing_is_left_open_after_a_call_that_failed(
    servers: Callable[[str], str],
) -> None:
    """Whichever node it was that did not answer: redis-py means to learn the nodes anew then, and closes nothing."""
    url = servers("cluster")
    with client(url) as plain:
        for key in keys_of_each(plain):
            several = connect(url, "leaving")
            for other in keys_of_each(plain):
                await several.get(other)
            assert connected(plain, "leaving")
            await fail(several, plain, key)
            await disconnect(several)
            await eventually(lambda: connected(plain, "leaving") == 0)


async def fail(several: Redis, plain: Any, key: str) -> None:  # noqa: ANN401  likewise
    """Ask a node that does not answer."""
    plain.execute_command("CLIENT PAUSE", PAUSE, target_nodes=plain.get_node_from_key(key))
    with pytest.raises(StoreUnavailable):
        async with reaching():
            await several.get(key)


@pytest.mark.asyncio
async def test_no_sentinel_is_forgotten_when_many_ask_at_once(
    servers: Callable[[str], str],
) -> None:
    """The first who is named is dead; all who connect hear of it from the second."""
    scheme, _, rest = servers("sentinel").partition("://")
    named = connect(f"{scheme}://127.0.0.1:1,{rest}", "test")
    try:
        pool: Any = named.connection_pool
        before = set(pool.sentinel_manager.sentinels)
        await asyncio.gather(*(named.ping() for _ in range(10)))
        assert set(pool.sentinel_manager.sentinels) == before
    finally:
        await disconnect(named)
