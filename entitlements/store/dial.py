"""A connection to one server for a protocol of our own, made and greeted as redis-py would."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import hiredis
from redis.asyncio.connection import parse_url

from entitlements.store.client import TIMEOUT
from entitlements.store.entry import Value

Command = Sequence[Value]
Spoken = TypeVar("Spoken", bound=asyncio.Protocol)

PLAIN = ("redis://", "unix://")
"""What an address begins with that can be dialled: one server, by TCP or by a socket, without TLS."""


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
