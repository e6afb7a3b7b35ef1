"""Whether the store still keeps what is acknowledged: asked anew every few seconds, and after every failure.

The start refuses a store that would not. Afterwards somebody may change a parameter, a replica may leave, another
server may take over: from then on nothing is acknowledged, until the store is safe again. Queries go on.
"""

import asyncio
import time
from contextlib import suppress

import structlog

from entitlements import metrics
from entitlements.errors import StoreUnavailable, StoreUnsafe
from entitlements.store.safety import UNKNOWN, Durability, Server, not_yet, remarks, unsafe
from entitlements.store.store import Store

EVERY = 2.0
"""Seconds between looks: for so long an acknowledgement may rest on a setting that was just changed."""

GOOD_FOR = 10.0
"""Seconds after which what was seen is not relied on any more, should looks have ceased."""

log = structlog.get_logger()


class Watch:
    """What is known of a store: as safe as configured, or not, or unknown since it could not be asked."""

    def __init__(self, store: Store, durability: Durability, *, good_for: float = GOOD_FOR) -> None:
        self._store = store
        self._durability = durability
        self._good_for = good_for
        self._server: Server | None = None
        self._seen = 0.0
        self._turn = asyncio.Lock()
        self._reached, self._unsafe, self._remarks = True, list[str](), list[str]()
        """What the log was last told."""

    async def follow(self, every: float = EVERY) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(every)
            with suppress(StoreUnavailable):  # told
                await self.look()

    async def look(self) -> None:
        """Ask the store now, and tell what is different. Raises StoreUnavailable: then nothing is known of it."""
        async with self._turn:
            await self._look()

    async def require_safe(self) -> None:
        """Ask about what is not known, and raise StoreUnsafe, or StoreUnavailable."""
        if self._known() is None:
            async with self._turn:
                if self._known() is None:  # else somebody else asked meanwhile
                    await self._look()
        self.refuse_unsafe()

    def refuse_unsafe(self) -> None:
        """Raise StoreUnsafe where that is known."""
        if self._unsafe:
            raise StoreUnsafe(
                f"The store is not safe to use: {'; '.join(self._unsafe)}. "
                "Nothing is acknowledged until that is put right; what is sent again after it will be."
            )

    def forget(self) -> None:
        """Know nothing any more: after a failure whatever comes back may be set up otherwise."""
        self._server = None

    def safe(self) -> "Safe":
        """Return what to run a block in that acknowledges what it writes."""
        return Safe(self)

    def told(self) -> dict[str, object]:
        """Return what is known as a document. `durable` is null where the server could not or would not tell."""
        server = self._known()
        return {
            "durability": self._durability,
            "durable": self._durable(server),
            "lag": server and server.replica_lag,
            "unsafe": self._unsafe,
            "remarks": self._remarks,
        }

    def _durable(self, server: Server | None) -> bool | None:
        if server is None:
            return None
        if self._durability == "memory":
            return False
        silent = UNKNOWN in {
            server.appendonly,
            server.appendfsync,
            server.no_appendfsync_on_rewrite,
            server.maxmemory_policy,
        }
        return None if silent else not self._unsafe

    def _known(self) -> Server | None:
        return self._server if time.monotonic() - self._seen < self._good_for else None

    async def _look(self) -> None:
        try:
            server = await self._store.server()
        except StoreUnavailable as error:
            self._server = None
            self._tell_unreachable(str(error))
            raise
        self._tell(server)
        self._server, self._seen = server, time.monotonic()

    def _tell_unreachable(self, detail: str) -> None:
        metrics.store_unreachable()
        if self._reached:
            log.error("store_unreachable", detail=detail)
        self._reached = False

    def _tell(self, server: Server) -> None:
        found, noted = unsafe(server, self._durability), remarks(server)
        if self._unsafe:
            found = found or not_yet(server, self._durability)
        metrics.store(safe=not found, lag=server.replica_lag)
        if not self._reached:
            log.info("store_reachable")
        if found and found != self._unsafe:
            log.error("store_unsafe", durability=self._durability, because=found)
        elif self._unsafe and not found:
            log.info("store_safe", durability=self._durability)
        if noted != self._remarks:
            log.warning("store_remarks", remarks=noted)
        self._reached, self._unsafe, self._remarks = True, found, noted


class Safe:
    """A block that acknowledges what it writes.

    Raises StoreUnavailable, or StoreUnsafe, also where that turned out during the block.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def __aenter__(self) -> None:
        """Begin where the store is known to be safe."""
        await self._watch.require_safe()

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Refuse what was written to a store that is not safe any more."""
        if error is None:
            self._watch.refuse_unsafe()
        elif isinstance(error, StoreUnavailable | asyncio.CancelledError):
            self._watch.forget()
