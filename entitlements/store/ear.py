"""Who hears what is published in a store. Every write is, so that a word must cost little."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from redis.asyncio import Redis

from entitlements.store.client import reaching
from entitlements.store.dial import Command, Dial, Line, packed
from entitlements.store.lane import Asking, Lane
from entitlements.store.replies import text

QUIET = 0.5
"""Seconds without a word after which the server is asked for one."""

SILENT = 1.5
"""Seconds without a word after which the server is taken for dead."""

Tell = Callable[[str | None], object]
"""Told null whenever listening begins, on a new connection, and then each word."""


class Ear(Protocol):
    """Who listens to a channel."""

    async def listen(self, channel: str, tell: Tell) -> None:
        """Listen until the server is lost, or silent. Raises StoreUnavailable, RedisError, OSError or TimeoutError."""


class Subscribed:
    """Listens by a client of redis-py, which connects anew by itself."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def listen(self, channel: str, tell: Tell) -> None:
        """Take one word after the other."""
        loop = asyncio.get_running_loop()
        async with self._redis.pubsub() as heard:
            async with reaching():
                await heard.subscribe(channel)
            last = loop.time()
            while loop.time() - last < SILENT:
                if message := await heard.get_message(timeout=QUIET):
                    last = loop.time()
                    _pass_on(message, tell)
                else:
                    async with reaching():
                        await heard.ping()


def _pass_on(message: dict[str, Any], tell: Tell) -> None:
    if message["type"] == "subscribe":
        tell(None)
    elif message["type"] == "message":
        tell(text(message["data"]))


class Wired:
    """Listens on a connection of its own, and takes all words that came together at once: a tenth of the cost."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial

    async def listen(self, channel: str, tell: Tell) -> None:
        """Keep the connection for as long as the server speaks."""
        line = await self._dial.connect(partial(_Heard, tell))
        try:
            line.say(*self._dial.greeting(), ("SUBSCRIBE", channel))
            while (left := line.left()) > 0 and not line.lost.done():
                await asyncio.wait({line.lost}, timeout=min(left, QUIET))
                if line.left() <= SILENT - QUIET:
                    line.say(("PING",))
        finally:
            line.close()


class _Heard(Line):
    """One connection that listens."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell
        self._last = self.loop.time()
        self.lost: asyncio.Future[None] = self.loop.create_future()

    def left(self) -> float:
        """Return the seconds in which another word must come."""
        return self._last + SILENT - self.loop.time()

    def say(self, *commands: Command) -> None:
        """Send commands."""
        self.transport.write(b"".join(map(packed, commands)))

    def close(self) -> None:
        """Close it."""
        self.transport.abort()

    def replied(self, reply: Any) -> None:  # noqa: ANN401  whatever a server replies
        """Pass on a word; after a refusal none."""
        self._last = self.loop.time()
        if isinstance(reply, Exception):  # nothing is to be heard here
            self.close()
        elif isinstance(reply, list) and not self.transport.is_closing():
            self._pass_on(reply)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell whoever listens."""
        if not self.lost.done():
            self.lost.set_result(None)

    def _pass_on(self, reply: list[Any]) -> None:
        if reply[0] == b"message":
            self._tell(text(reply[2]))
        elif reply[0] == b"subscribe":
            self._tell(None)


def ear(asking: Asking, redis: Redis) -> Ear:
    """Return who listens to a store, by who asks it and by a client of redis-py for it."""
    return Wired(asking.dial) if isinstance(asking, Lane) else Subscribed(redis)
