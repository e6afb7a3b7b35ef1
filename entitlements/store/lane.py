"""How many callers ask one server at once: over one connection, and in one write for each turn of the event loop.

redis-py takes a connection of its pool for each call and several writes and reads of it; most of the cost of a short
call is that. Here a call is a place in a queue: the server answers in the order of asking, so whoever asked first is
answered first. A call that is not answered in TIMEOUT takes the connection with it, and what waited behind it as well:
each of those calls is made once more on the next one, as redis-py would.

Serves one server, by TCP or by a socket; `Piped` is the same by redis-py, for TLS, a cluster, Sentinels and replicas.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as Closed
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as Late

from entitlements.store.client import TIMEOUT, reaching, unavailable
from entitlements.store.cluster import understood
from entitlements.store.dial import PLAIN, Command, Dial, Line, packed
from entitlements.store.entry import Value

GRACE = 0.02
"""Seconds in which a reply that has come already is read, should this process itself have been late."""

LOST = (Closed, Late)
"""What is raised to whoever waits for a reply that will not come."""


class Asking(Protocol):
    """Who asks a server."""

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands together, and return their replies. Raises StoreUnavailable."""

    async def run(self, script: AsyncScript, names: Sequence[str], values: Sequence[Value]) -> Any:  # noqa: ANN401  whatever it returns
        """Run a script, which may be sent twice. Raises StoreUnavailable."""

    async def close(self) -> None:
        """Close what is its own."""


class Piped:
    """Asks by a client of redis-py: a pipeline for each call."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands together; a cluster has them in many slots."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        async with reaching():
            return await pipeline.execute()

    async def run(self, script: AsyncScript, names: Sequence[str], values: Sequence[Value]) -> Any:  # noqa: ANN401  likewise
        """Run a script, loading it where it is not known."""
        async with reaching():
            return await script(keys=names, args=values)

    async def close(self) -> None:
        """Leave the client to its owner."""


class Lane:
    """Asks over one connection, which is made when it is first needed and again when it is lost."""

    def __init__(self, url: str, name: str) -> None:
        self.dial = Dial(url, name)
        self._line: _Queue | None = None
        self._turn = asyncio.Lock()

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands together; once more where the connection is lost."""
        try:
            return understood(await self._replies(commands) if commands else [])
        except NoScriptError:
            raise
        except RedisError as error:
            raise unavailable(error) from error

    async def _replies(self, commands: Sequence[Command]) -> list[Any]:
        if self._line is None or not self._line.open:
            return await self._anew(commands, tries=2)
        try:
            return await self._line.ask(commands)
        except LOST:
            return await self._anew(commands, tries=1)

    async def _anew(self, commands: Sequence[Command], tries: int) -> list[Any]:
        async with reaching():
            while tries > 1:
                tries -= 1
                with suppress(*LOST):
                    return await (await self._connected()).ask(commands)
            return await (await self._connected()).ask(commands)

    async def run(self, script: AsyncScript, names: Sequence[str], values: Sequence[Value]) -> Any:  # noqa: ANN401  likewise
        """Run a script; a server that was started anew is given it again."""
        rest = (len(names), *names, *values)
        try:
            (reply,) = await self.ask(("EVALSHA", script.sha, *rest))
        except NoScriptError:
            (reply,) = await self.ask(("EVAL", cast("str", script.script), *rest))
        return reply

    async def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            self._line.close()

    async def _connected(self) -> "_Queue":
        async with self._turn:
            if self._line is None or not self._line.open:
                self._line = await self._connect()
            return self._line

    async def _connect(self) -> "_Queue":
        line = await self.dial.connect(_Queue)
        try:
            understood(await line.ask(self.dial.greeting()))
        except BaseException:
            line.close()
            raise
        return line


class _Asked(NamedTuple):
    """Who waits for replies, how many, those that came, and since when (in the loop's seconds)."""

    waiting: "asyncio.Future[list[Any]]"
    expected: int
    replies: list[Any]
    since: float


class _Queue(Line):
    """One connection that is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.open = True
        self._out: list[bytes] = []
        self._asked: deque[_Asked] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._why: RedisError | None = None

    def ask(self, commands: Sequence[Command]) -> "asyncio.Future[list[Any]]":
        """Write commands at the end of this turn of the loop, and return what their replies come in."""
        waiting: asyncio.Future[list[Any]] = self.loop.create_future()
        self._asked.append(_Asked(waiting, len(commands), [], self.loop.time()))
        if not self._out:
            self.loop.call_soon(self._write)
        self._out += map(packed, commands)
        return waiting

    def close(self, why: RedisError | None = None) -> None:
        """Close it; whoever waits is told why."""
        self.open = False
        self._why = self._why or why
        self.transport.abort()

    def replied(self, reply: Any) -> None:  # noqa: ANN401  whatever a server replies
        """Hand it to whoever asked first."""
        asked = self._asked[0]
        asked.replies.append(reply)
        if len(asked.replies) == asked.expected:
            self._asked.popleft()
            if not asked.waiting.done():  # else whoever asked has left
                asked.waiting.set_result(asked.replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
        why = self._why or Closed(f"The connection was lost: {exc or 'the server closed it'}")
        for asked in self._asked:
            if not asked.waiting.done():
                asked.waiting.set_exception(why)

    def _write(self) -> None:
        self.transport.write(b"".join(self._out))
        self._out.clear()
        if self._timer is None:
            self._timer = self.loop.call_later(TIMEOUT, self._look)

    def _look(self) -> None:
        """Give up a connection whose first reply is late; look again when it would be."""
        self._timer = None
        if not self._asked:
            return
        first = self._asked[0]
        left = first.since + TIMEOUT - self.loop.time()
        if left <= 0:
            self.loop.call_later(GRACE, self._give_up, first)
        self._timer = self.loop.call_later(left if left > 0 else TIMEOUT, self._look)

    def _give_up(self, late: _Asked) -> None:
        if self._asked and self._asked[0] is late:
            self.close(Late(f"No reply came within {TIMEOUT} s"))


def lane(url: str, name: str, redis: Redis, *, replicated: bool) -> Asking:
    """Return how to ask a store that many ask at once, by its address, and by a client of redis-py for it."""
    return Lane(url, name) if url.startswith(PLAIN) and not replicated else Piped(redis)
