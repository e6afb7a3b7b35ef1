"""Where replayed events come from. Each source has a window, which ends where it ended when the run began."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from itertools import islice
from typing import BinaryIO, Protocol

import msgspec
from msgspec import Raw

from entitlements import cursor
from entitlements.cursor import Cursor
from entitlements.decode import TYPES
from entitlements.errors import Conflict
from entitlements.paced import Paced
from entitlements.patience import PASSES, patiently
from entitlements.replay.offer import Load, Offer, of_body, of_entry, wanted
from entitlements.replay.spool import Spool
from entitlements.replay.stream import Piece, pieces
from entitlements.settings import Settings
from entitlements.store.log import Batch, Log, Search
from entitlements.store.reads import Reads
from entitlements.store.replays import Asked
from entitlements.store.store import Store
from entitlements.stripe_api import EventFilter, StripeApi, required

BATCH = 500
"""Events read at a time from Stripe or a file."""


class Source(Protocol):
    """Gives the events of a window, the same ones each time."""

    async def end(self) -> str:
        """Return where it ends now. Raises BadRequest, StoreError."""

    def loads(self, after: str, upto: str) -> AsyncGenerator[Load]:
        """Yield its events up to an end, from behind a cursor on (`""`: from the beginning).

        Raises Conflict where they are not the same any more, StoreError, StripeError.
        """

    def close(self) -> None:
        """Let go of what was kept of them."""


def of_service(
    settings: Settings, store: Store, asked: Asked, clock: Callable[[], float]
) -> Source:
    """Return a source that the service has: its log, or Stripe. Raises StripeKeyMissing."""
    if asked.source == "log":
        return FromLog(store, asked)
    key, base = settings.stripe_api_key, settings.stripe_api_base
    return FromStripe(required(key, base, Paced(Reads(store))), asked, clock)


class FromLog:
    """What the log of the store has, in the order of receipt."""

    def __init__(self, store: Store, asked: Asked) -> None:
        self._store = store
        self._search = Search(
            since=asked.since,
            until=asked.until,
            type=asked.type,
            customer=asked.customer,
            account=asked.account,
            subscription=asked.subscription,
            event=asked.event,
        )

    async def end(self) -> str:
        """Return the last position of every partition."""
        return cursor.encode(await Log(self._store).end())

    def close(self) -> None:
        """Do nothing: nothing is kept."""

    async def loads(self, after: str, upto: str) -> AsyncGenerator[Load]:
        """Yield what was logged up to there, whatever has been logged since."""
        at = cursor.decode(after, self._store.partitions) if after else None
        end = cursor.decode(upto, self._store.partitions)
        last = max(position.ms for position in end)
        first = None
        async with aclosing(self._batches(at, end)) as batches:
            async for batch in batches:
                now = max(position.ms for position in batch.cursor)
                first = now if first is None else first
                share = (now - first) / (last - first) if last > first else 1.0
                offers = [of_entry(entry) for entry in batch.entries]
                yield Load(offers, cursor.encode(batch.cursor), min(1.0, share))

    async def _batches(self, at: Cursor | None, end: Cursor) -> AsyncGenerator[Batch]:
        """Yield batches of the log; one that the store could not give is asked for again."""
        reading = Log(self._store).read(self._search, at, end)

        async def following() -> Batch | None:
            nonlocal reading
            try:
                return await anext(reading, None)
            except PASSES:
                await reading.aclose()
                reading = Log(self._store).read(self._search, at, end)
                raise

        while batch := await patiently(following):
            at = batch.cursor
            yield batch


class FromStripe:
    """What Stripe lists of the last thirty days, the oldest first: types that speak of access, or the one asked for.

    The list is read once, and spooled: what Stripe delivers meanwhile drops out of `undelivered`.
    """

    def __init__(self, api: StripeApi, asked: Asked, clock: Callable[[], float]) -> None:
        self._api = api
        self._asked = asked
        self._clock = clock
        self._spool = Spool()

    async def end(self) -> str:
        """Return the second that goes on now: it is not part of the window, and all before it is over."""
        now = int(self._clock())
        return str(now if self._asked.until is None else min(now, self._asked.until))

    def close(self) -> None:
        """Let go of what was spooled."""
        self._spool.close()

    async def loads(self, after: str, upto: str) -> AsyncGenerator[Load]:
        """Yield what was created before then. The cursor is an event's id."""
        if self._spool.whole:
            for load in self._spool.loads():
                yield load
            return
        batch, at = list[Offer](), after
        async for body, name in self._bodies(after, int(upto)):
            if wanted(self._asked, body):
                batch.append(of_body(body))
            at = name
            if len(batch) == BATCH:
                yield self._spool.kept(Load(batch, at, None))
                batch = []
        yield self._spool.kept(Load(batch, at, None))
        self._spool.whole = True

    async def _bodies(self, after: str, upto: int) -> AsyncIterator[tuple[bytes, str]]:
        asked = self._asked
        if asked.event:
            read = await self._api.event(asked.event, account=asked.account)
            yield self._body(read.body), read.id
            return
        listed = EventFilter(
            types=(asked.type,) if asked.type else tuple(sorted(TYPES)),
            since=asked.since,
            until=upto,
            delivery_success=False if asked.undelivered else None,
        )
        async for read in self._api.walk_events(listed, after or None, account=asked.account):
            yield self._body(read.body), read.id

    def _body(self, body: bytes) -> bytes:
        """Return an event as a platform is sent it: of a connected account, with its name."""
        if not self._asked.account:
            return body
        fields = msgspec.json.decode(body, type=dict[str, Raw])
        return msgspec.json.encode({"account": self._asked.account, **fields})


class FromFile:
    """What a file has in JSON, in its order. Whoever runs the replay vouches for it."""

    def __init__(self, file: BinaryIO, asked: Asked, *, size: int | None = None) -> None:
        """`size` is that of a file that can be read again; standard input has none, and is spooled."""
        self._file = file
        self._asked = asked
        self._size = size
        self._spool = None if size else Spool()

    async def end(self) -> str:
        """Return the digest of the file; nothing of what can be read only once."""
        if self._spool:
            return ""
        self._file.seek(0)
        digest = hashlib.sha256()
        while some := self._file.read(2**20):
            digest.update(some)
        return digest.hexdigest()

    def close(self) -> None:
        """Let go of what was spooled; the file is its opener's."""
        if self._spool:
            self._spool.close()

    async def loads(self, after: str, upto: str) -> AsyncGenerator[Load]:
        """Yield its events; the cursor says how many values were read. Raises Conflict where it is another file now."""
        if self._spool and self._spool.whole:
            for load in self._spool.loads():
                yield load
            return
        if upto != await self.end():
            raise Conflict("The file is not what it was when the replay began. Begin a new one.")
        if not self._spool:
            self._file.seek(0)
        n = int(after or 0)
        found = islice(pieces(self._file), n, None)
        while batch := await asyncio.to_thread(lambda: list(islice(found, BATCH))):
            n += len(batch)
            share = self._file.tell() / self._size if self._size else None
            load = self._load(batch, str(n), share)
            yield self._spool.kept(load) if self._spool else load
        if self._spool:
            self._spool.whole = True

    def _load(self, batch: list[Piece], at: str, share: float | None) -> Load:
        offers, bad = list[Offer](), list[str]()
        for piece in batch:
            if piece.body is None:
                bad.append(f"line {piece.line}: {piece.why}")
                continue
            if wanted(self._asked, piece.body):
                offers.append(of_body(piece.body))
        return Load(offers, at, share, bad)
