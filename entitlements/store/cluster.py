"""Clients for stores of several nodes: a cluster, and a primary that Sentinels name."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

import redis
from redis.asyncio import BlockingConnectionPool, RedisCluster
from redis.asyncio.cluster import PipelineCommand
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.typing import EncodableT


class Cluster(RedisCluster):
    """redis-py's client of a cluster, which queues like a pool and never forgets the nodes that it was given."""

    def __init__(self, at_once: int, arguments: dict[str, Any]) -> None:
        super().__init__(dynamic_startup_nodes=False, **arguments)
        self._named = dict(self.nodes_manager.startup_nodes)
        self._turns = asyncio.Semaphore(at_once)
        """redis-py refuses the caller who finds every connection taken; here, as with one server, he waits."""

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> Self:
        """Learn the nodes where that is due.

        Those that were found are asked the next time, and those of the settings too: names outlive addresses, and
        nodes that came later outlive the ones that were named.
        """
        await super().initialize(additional_startup_nodes_info, last_failed_node_name)
        manager = self.nodes_manager
        manager.startup_nodes = manager.nodes_cache | self._named
        return self

    async def execute_command(self, *args: EncodableT, **kwargs: object) -> object:
        """Send one command to where its keys are."""
        async with self._turns:
            return await super().execute_command(*args, **kwargs)

    async def together(self, key: str, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands over one connection to the primary that holds a key; return the replies.

        Raises the first error among them. All are sent anew, once, where the primary is gone or is another one;
        redis-py's own pipeline would send those alone that failed, and perhaps to another node than the rest.
        """
        async with self._turns:
            try:
                return await self._together(key, commands)
            except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ClusterDownError):
                self._initialize = True
            except redis.exceptions.MovedError as moved:
                await self.nodes_manager.move_slot(moved)
            return await self._together(key, commands)

    async def _together(self, key: str, commands: Sequence[Sequence[Any]]) -> list[Any]:
        await self.initialize()
        todo = [PipelineCommand(n, *command) for n, command in enumerate(commands)]
        node = self.get_node_from_key(key)
        assert node  # a slot that nobody holds is an error of its own
        await node.execute_pipeline(todo)
        return understood([command.result for command in todo])


class Named(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that Sentinels name, asked anew for each; those to the Sentinels close with them."""

    async def aclose(self) -> None:
        """Close every connection."""
        await super().aclose()
        await self.sentinel_manager.aclose()


def understood(replies: list[Any]) -> list[Any]:
    """Return the replies to a pipeline if none is an error; raise the first that is."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
