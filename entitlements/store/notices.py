"""Word of every write, as soon as it is made: what wakes the change feed, and what a cache is thrown away by.

A notice may be lost with its connection. Then `alive` is false for a while: whoever relies on notices reads again what
it holds once it is true, and trusts nothing meanwhile. https://redis.io/docs/latest/develop/pubsub/#delivery-semantics
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from redis.exceptions import RedisError

from entitlements.errors import StoreUnavailable
from entitlements.model import Subject
from entitlements.store import keys
from entitlements.store.ear import ear
from entitlements.store.store import Store

AGAIN = 0.2
"""Seconds from the end of one connection to the next."""


class Notice(NamedTuple):
    """Somebody wrote to a customer's records, or told a change of its answers."""

    partition: int
    version: int
    subject: Subject


class Notices:
    """One connection to the channel of writes. Callbacks are called in the loop, and must be quick."""

    def __init__(self, store: Store) -> None:
        self._ear = ear(store.asking, store.redis)
        self._on_written: list[Callable[[Notice], object]] = []
        self._on_alive: list[Callable[[bool], object]] = []
        self.alive = False
        """Whether every write is heard of now. It turns false within SILENT seconds of a server's last word."""

    def on_written(self, tell: Callable[[Notice], object]) -> None:
        """Let something be told of every write, by whichever process it is."""
        self._on_written.append(tell)

    def on_alive(self, tell: Callable[[bool], object]) -> None:
        """Let something be told whenever the connection is lost (false) and found again (true)."""
        self._on_alive.append(tell)

    async def listen(self) -> None:
        """Listen until cancelled, on one connection after the other."""
        try:
            while True:
                with suppress(StoreUnavailable, RedisError, OSError, TimeoutError):
                    await self._ear.listen(keys.WRITTEN, self._take)
                self._turn(alive=False)
                await asyncio.sleep(AGAIN)
        finally:
            self.alive = False

    def _take(self, word: str | None) -> None:
        if word is None:  # a connection is new: what was said before it was not heard
            self._turn(alive=False)
            self._turn(alive=True)
        elif notice := _notice(word):
            for tell in self._on_written:
                tell(notice)

    def _turn(self, *, alive: bool) -> None:
        if alive != self.alive:
            self.alive = alive
            for tell in self._on_alive:
                tell(alive)


def _notice(said: str) -> Notice | None:
    """Read `<partition> <version> <subject>`; nothing of what others may publish there."""
    partition, _, rest = said.partition(" ")
    version, _, subject = rest.partition(" ")
    if not (partition.isdecimal() and version.isdecimal() and subject):
        return None
    return Notice(int(partition), int(version), keys.subject_named(subject))
