"""Clients for stores of several nodes: a cluster, and a primary that Sentinels name."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Self

import redis
from redis.asyncio import BlockingConnectionPool, RedisCluster
from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.typing import EncodableT


class Cluster(RedisCluster):
    """redis-py's client of a cluster, which queues like a pool and never forgets the nodes that it was given."""

    def __init__(self, at_once: int, arguments: dict[str, Any]) -> None:
        super().__init__(dynamic_startup_nodes=False, **arguments)
        self._named = dict(self.nodes_manager.startup_nodes)
        self._left: list[ClusterNode] = []
        """Nodes that were replaced, in whose commands somebody may still be."""
        self._learning = asyncio.Lock()
        self._turns = asyncio.Semaphore(at_once)
        """redis-py refuses the caller who finds every connection taken; here, as with one server, he waits."""

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> Self:
        """Learn the nodes where that is due."""
        if not self._initialize:
            return self
        async with self._learning:
            if self._initialize:  # else somebody has learnt them meanwhile
                await _disconnect(self._left)
                self._left.clear()
                await self._learn(additional_startup_nodes_info, last_failed_node_name)
        return self

    async def _learn(self, *known: Any) -> None:  # noqa: ANN401  as redis-py has them
        """Ask for the nodes, and keep hold of those that are no more: redis-py leaves theirs to the collector.

        Those that were found are asked the next time, and those of the settings too: names outlive addresses, and
        nodes that came later outlive the ones that were named.
        """
        manager, before = self.nodes_manager, self.get_nodes()
        try:
            await super().initialize(*known)
        finally:
            now = manager.nodes_cache
            self._left += [node for node in before if now.get(node.name) is not node]
            manager.startup_nodes = now | self._named

    async def disconnect(self) -> None:
        """Close every connection, when nobody asks any more.

        redis-py's `aclose`, which it also calls itself on the way, closes none while the nodes are to be learnt anew,
        as they are after any lost connection: https://github.com/redis/redis-py/blob/v8.1.0/redis/asyncio/cluster.py#L691
        """
        with suppress(redis.TimeoutError):
            await self.aclose()
        await _disconnect([*self.get_nodes(), *self._named.values(), *self._left])

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
        try:
            await super().aclose()
        finally:
            await self.sentinel_manager.aclose()


class Sentinels(Sentinel):
    """Sentinels, of whom none is forgotten, however many ask at once.

    redis-py's own puts whoever answered at the top of its list, by the place he had when he was asked; he who asks
    meanwhile finds another there, who is lost with his connections:
    https://github.com/redis/redis-py/blob/v8.1.0/redis/asyncio/sentinel.py#L328
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Ask who is the primary, by a list of one's own, which is everybody's then. Raises MasterNotFoundError."""
        asked: Any = copy(self)
        asked.sentinels = list(self.sentinels)
        found: tuple[str, int] = await Sentinel.discover_master(asked, service_name)
        self.sentinels = asked.sentinels
        return found


async def _disconnect(nodes: list[ClusterNode]) -> None:
    """Close all connections to some nodes; one that does not hear of it in time is gone all the same."""
    await asyncio.gather(*(node.disconnect() for node in nodes), return_exceptions=True)


def understood(replies: list[Any]) -> list[Any]:
    """Return the replies to a pipeline if none is an error; raise the first that is."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
