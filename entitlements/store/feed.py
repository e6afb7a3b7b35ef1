"""The change feed of one process: every change is read once, and handed to all who follow.

Notices say in which partition something was written; a look at every partition, each second and after each loss of the
connection, finds what no notice told of. While nobody follows nothing is read.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from entitlements.cursor import START, Cursor
from entitlements.errors import FeedUnavailable, StoreError
from entitlements.model import Change
from entitlements.store.notices import Notice, Notices
from entitlements.store.store import Store
from entitlements.store.streams import Head, Streams

MOST = 5_000
"""Followers of one process."""

ROOM = 1_000
"""Changes that wait for one follower. One that is slower is cut off, and comes back with its cursor."""

HEARTBEAT = 15.0
"""Seconds without a change after which a follower is sent the cursor alone: both ends know that the other is there."""

LOOK_EVERY = 1.0
"""Seconds between looks at every partition."""

Frame = Callable[[Change, Cursor], bytes]


class Follower:
    """One who follows the changes of an account: what waits for it."""

    def __init__(self, account: str | None) -> None:
        self.account = account
        self._waiting: list[bytes] = []
        self._something = asyncio.Event()
        self._over = False

    def put(self, frame: bytes) -> None:
        """Let a change wait; if too many do, it is over."""
        if len(self._waiting) >= ROOM:
            self.end()
        if not self._over:
            self._waiting.append(frame)
            self._something.set()

    def end(self) -> None:
        """Let nothing more come."""
        self._over = True
        self._waiting.clear()
        self._something.set()

    async def take(self, seconds: float) -> list[bytes] | None:
        """Return what waits, or nothing after so many seconds; null at the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._something.wait()
        if self._over:
            return None
        found, self._waiting = self._waiting, []
        self._something.clear()
        return found


class Feed:
    """Reads what is written for all who follow; `frame` makes of a change and its cursor what they are sent."""

    def __init__(self, store: Store, frame: Frame) -> None:
        self.notices = Notices(store)
        self.streams = Streams(store)
        self.cursor: Cursor = (START,) * store.partitions
        """After the last change that was handed on."""
        self.heartbeat, self.most = HEARTBEAT, MOST
        self._frame = frame
        self._joined = 0
        self._followers: set[Follower] = set()
        self._ended = False
        self._placed = False  # whether the cursor is one to go on from
        self._written = set[int]()
        self._look = False
        self._asked: list[asyncio.Future[list[Head]]] = []
        self._wake = asyncio.Event()
        self.notices.on_written(self._on_written)
        self.notices.on_alive(lambda _: self._look_soon())

    def join(self) -> None:
        """Count one more who follows; to be followed by `leave`. Raises FeedUnavailable."""
        if self._ended:
            raise FeedUnavailable("The service is stopping. Connect again, to another process.")
        if self._joined >= self.most:
            raise FeedUnavailable(
                f"{self.most} follow the changes from this process already. Try again, or start another."
            )
        self._joined += 1

    def leave(self, follower: Follower | None) -> None:
        """Count one less, who may not have begun to follow."""
        self._joined -= 1
        if follower:
            self._followers.discard(follower)

    async def fresh(self) -> list[Head]:
        """Hand on all that is there, and return what the streams then say of themselves. Raises StoreError."""
        asked: asyncio.Future[list[Head]] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._wake.set()
        return await asked

    def follow(self, account: str | None) -> tuple[Follower, Cursor]:
        """Return one who is handed every change of an account from now on, and the cursor that is now."""
        follower = Follower(account)
        self._followers.add(follower)
        if self._ended:
            follower.end()
        return follower, self.cursor

    @property
    def followers(self) -> int:
        """Return how many follow."""
        return self._joined

    def end(self) -> None:
        """Let all who follow go, and take no more."""
        self._ended = True
        self._cut()

    async def run(self) -> None:
        """Go on until cancelled. A store that is out of reach is tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.notices.listen())
            tasks.create_task(self._look_again())
            tasks.create_task(self._go_on())

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._look_soon()

    def _look_soon(self) -> None:
        self._look = True
        self._wake.set()

    def _on_written(self, notice: Notice) -> None:
        if self._joined:
            self._written.add(notice.partition)
            self._wake.set()

    async def _go_on(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._joined:
                self._placed = False
                continue
            asked, self._asked = self._asked, []
            look, self._look = self._look or bool(asked) or not self._placed, False
            try:
                heads = await self._looked() if look else await self._told()
            except StoreError as error:
                self._look = True  # at the next wake, a second from now at the latest
                _settle(asked, error)
            else:
                _settle(asked, heads)

    async def _looked(self) -> list[Head]:
        """Look at every partition, and hand on what is new there."""
        heads = await self.streams.heads()
        last = tuple(head.last for head in heads)
        if not self._placed:
            self.cursor, self._placed = last, True
        elif any(head.lost(at) for head, at in zip(heads, self.cursor, strict=True)):
            self._cut()  # each comes back with its own cursor, and is told what it missed
            self.cursor = last
        self._written.clear()
        await self._hand_on(p for p, at in enumerate(self.cursor) if at < last[p])
        return heads

    async def _told(self) -> list[Head]:
        """Hand on what is new where something was written."""
        written, self._written = self._written, set()
        await self._hand_on(written)
        return []

    async def _hand_on(self, partitions: Iterable[int]) -> None:
        behind, more = set(partitions), True
        while behind and more:
            entries, at, more = await self.streams.page_of(behind, self.cursor)
            for entry, cursor in entries:
                if entry.change is not None:
                    self._to_followers(entry.change, cursor)
            self.cursor = at

    def _to_followers(self, change: Change, cursor: Cursor) -> None:
        followers = [f for f in self._followers if f.account == change.account]
        frame = self._frame(change, cursor) if followers else b""
        for follower in followers:
            follower.put(frame)

    def _cut(self) -> None:
        for follower in self._followers:
            follower.end()


def _settle(asked: Iterable[asyncio.Future[list[Head]]], said: list[Head] | StoreError) -> None:
    for future in asked:
        if future.done():  # whoever asked has left
            continue
        if isinstance(said, StoreError):
            future.set_exception(said)
        else:
            future.set_result(said)
