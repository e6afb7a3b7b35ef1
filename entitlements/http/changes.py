"""The change feed over HTTP: server-sent events, one for each answer that becomes another one.

The id of every event is a cursor; who connects again with it (`Last-Event-ID`, as browsers do by themselves) misses
nothing, in whichever process. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from entitlements import cursor, metrics
from entitlements.cursor import Cursor
from entitlements.errors import FeedUnavailable, StoreError, StoreUnavailable
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.parameters import ACCOUNT, Parameter, Parameters, account_of
from entitlements.http.state import State
from entitlements.model import Change
from entitlements.store.feed import Feed, Follower
from entitlements.store.streams import Head

RETRY_MS = 1_000
"""What browsers are told to wait before they connect again."""

TRUNCATED = (
    "Changes after this cursor are not there any more: they are older than what is retained (the policy's "
    "log_retention), or were lost with a failed store. Ask for the entitlements anew; the feed goes on from here."
)

CURSOR = Parameter(
    "cursor", str, "The id of the last event that was read: the feed goes on after it."
)
LAST_EVENT_ID = Parameter(
    "Last-Event-ID",
    str,
    "The same, as browsers send it by themselves; it goes before cursor.",
    "header",
)

_encode = msgspec.json.Encoder().encode


class Frame(Struct, frozen=True):
    """An event of the feed: its name is change, heartbeat or truncated, its id a cursor, its data JSON."""

    event: str
    id: str
    data: str


class Told(Struct, frozen=True, tag_field="object", tag="change"):
    """A change as it is sent; `event` null where none caused it, `replayed` true where a replay brought it."""

    customer: str
    account: str | msgspec.UnsetType
    feature: str
    granted: bool
    reason: str
    quantity: int
    version: int
    at: int
    event: str | None
    replayed: bool | msgspec.UnsetType


def frame(change: Change, at: Cursor) -> bytes:
    """Return the event of a change, with the cursor after it."""
    said = Told(
        customer=change.customer,
        account=change.account or msgspec.UNSET,
        feature=change.feature,
        granted=change.granted,
        reason=change.reason,
        quantity=change.quantity,
        version=change.version,
        at=change.at,
        event=change.event,
        replayed=change.replayed or msgspec.UNSET,
    )
    return _event("change", at, _encode(said))


def _event(name: str, at: Cursor, data: bytes) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), cursor.encode(at).encode(), data)


async def changes(request: Request[State]) -> Response:
    """Follow the changes of an account's customers: from now on, or from a cursor."""
    asked = Parameters.of(request, CURSOR)
    feed, account = request.state["feed"], account_of(request)
    word = request.headers.get("last-event-id") or asked.text(CURSOR.name)
    since = cursor.decode(word, feed.streams.partitions) if word else None
    feed.join()
    metrics.followers(feed.followers)
    try:
        heads = await feed.fresh()
    except BaseException:
        feed.leave(None)
        raise
    return EventStream(Reader(feed, account), since, heads)


class Reader:
    """One who reads the feed: first what the streams hold, then what the process hands on."""

    def __init__(self, feed: Feed, account: str | None) -> None:
        self._feed = feed
        self._account = account
        self._follower: Follower | None = None

    def leave(self) -> None:
        """Read no more."""
        self._feed.leave(self._follower)
        metrics.followers(self._feed.followers)

    async def read(self, since: Cursor | None, heads: Sequence[Head]) -> AsyncGenerator[bytes]:
        """Yield events, joined where several wait, until the process ends the feed or the reader is too slow."""
        yield b"retry: %d\n\n" % RETRY_MS
        if since is not None:
            lost = [head.lost(at) for head, at in zip(heads, since, strict=True)]
            if any(lost):
                since = tuple(
                    head.retained() if gone else at
                    for head, at, gone in zip(heads, since, lost, strict=True)
                )
                yield _event("truncated", since, _encode({"detail": TRUNCATED}))
            async for page in self._caught_up(since, tuple(head.last for head in heads)):
                yield page
            since = tuple(map(max, since, (head.last for head in heads)))
        self._follower, now = self._feed.follow(self._account)
        async for page in self._caught_up(since or now, now):
            yield page
        yield _event("heartbeat", now, b"{}")
        while (frames := await self._follower.take(self._feed.heartbeat)) is not None:
            metrics.sent(len(frames))
            yield b"".join(frames) or _event("heartbeat", self._feed.cursor, b"{}")

    async def _caught_up(self, since: Cursor, upto: Cursor) -> AsyncGenerator[bytes]:
        more = True
        while more:
            entries, since, more = await self._feed.streams.page(since, upto)
            of_account = [
                (entry.change, at)
                for entry, at in entries
                if entry.change and entry.change.account == self._account
            ]
            metrics.sent(len(of_account))
            if frames := [frame(change, at) for change, at in of_account]:
                yield b"".join(frames)


class EventStream(Response):
    """An answer that goes on until the reader leaves, or is told to."""

    media_type = "text/event-stream"

    def __init__(self, reader: Reader, since: Cursor | None, heads: Sequence[Head]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._reader = reader
        self._events = reader.read(since, heads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what there is to read; the server bounds how long a send may take (Limits.send_seconds)."""
        if scope["method"] == "HEAD":
            await self._events.aclose()
        try:
            sending = asyncio.create_task(self._send(send))
            leaving = asyncio.create_task(_left(receive))
            await _first_of(sending, leaving)
        finally:
            self._reader.leave()

    async def _send(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        async with aclosing(self._events) as events:
            try:
                async for body in events:
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            except StoreError:
                pass  # what was sent stands; who comes back is told whether the store can be reached
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_of(*tasks: "asyncio.Task[None]") -> None:
    """Wait until one task ends, end the others, and raise what the first raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


routes = routed(
    "queries",
    Endpoint(
        method="GET",
        path="/v1/changes",
        handler=changes,
        scope="read",
        parameters=(CURSOR, LAST_EVENT_ID, ACCOUNT),
        answers={200: {"text/event-stream": Frame}},
        refusals=(FeedUnavailable, StoreUnavailable),
    ),
)
