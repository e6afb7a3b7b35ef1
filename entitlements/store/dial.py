"""A connection to one server for a protocol of our own, made and greeted as redis-py would, and what it is made of."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import hiredis
from redis.asyncio.connection import parse_url
from redis.exceptions import NoScriptError, ResponseError

from entitlements.store.client import TIMEOUT
from entitlements.store.entry import Value

Command = Sequence[Value]

PLAIN = ("redis://", "unix://")
"""What an address begins with that can be dialled: one server, by TCP or by a socket, without TLS."""


_NOTHING = object()


class Line(asyncio.Protocol):
    """One connection, which hands on every reply that is whole: a refusal as an error of redis-py's."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        """What to write to."""
        self._reader = hiredis.Reader(replyError=_refusal, notEnoughData=_NOTHING)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not _NOTHING:
            self.replied(reply)

    def replied(self, reply: Any) -> None:  # noqa: ANN401  whatever a server replies
        """Take a reply."""
        raise NotImplementedError


def _refusal(said: str) -> ResponseError:
    return NoScriptError(said) if said.startswith("NOSCRIPT") else ResponseError(said)


Spoken = TypeVar("Spoken", bound=Line)


class Dial:
    """Where a server is, and who calls."""

    def __init__(self, url: str, name: str) -> None:
        self._at: dict[str, Any] = dict(parse_url(url))
        self._name = name

    async def connect(self, protocol: Callable[[], Spoken]) -> Spoken:
        """Return what speaks over a new connection. Raises OSError or TimeoutError."""
        loop, at = asyncio.get_running_loop(), self._at
        async with asyncio.timeout(TIMEOUT):
            if path := at.get("path"):
                _, found = await loop.create_unix_connection(protocol, path)
            else:
                host, port = at.get("host", "localhost"), at.get("port", 6379)
                _, found = await loop.create_connection(protocol, host, port)
        return found

    def greeting(self) -> list[Command]:
        """Return what is said first: who calls, and for which database."""
        login = [self._at[name] for name in ("username", "password") if self._at.get(name)]
        auth = [("AUTH", *login)] if login else []
        return [*auth, ("SELECT", self._at.get("db", 0)), ("CLIENT", "SETNAME", self._name)]


def packed(command: Command) -> bytes:
    """Return a command as it is sent."""
    return cast("bytes", hiredis.pack_command(cast("Any", tuple(command))))
