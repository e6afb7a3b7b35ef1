"""What product services ask all day, answered before the framework is asked.

`queries.py` is the whole of these calls. Answered here is what is plain: a question about the present, about customers
of the platform itself, by a caller who may ask, where the record is in memory or can be read. Everything else goes on
to the application, and whatever is refused. Both make an answer by the same functions (encoded.py), and a test
compares what they send.
"""

from collections.abc import Awaitable, Sequence

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements import logs, metrics
from entitlements.errors import Forbidden, Unauthenticated
from entitlements.http.auth import authenticate
from entitlements.http.encoded import JSON, checked, encode, listed
from entitlements.http.kept import Present, Question
from entitlements.http.problems import on_any
from entitlements.http.queries import MAX_CHECKS, UNREADABLE
from entitlements.http.state import State
from entitlements.settings import Token

ASKS_FOR_MORE = {b"stripe-account", b"cache-control", b"if-none-match"}
"""Headers by which a request is not plain."""

MOST = 256 * 1024
"""Bytes of a batch that is taken for plain."""


class Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """A batch whose questions are about the present, and say no more than they must."""

    checks: list[Question]


class Sent(Struct, frozen=True):
    """What is answered, with status 200."""

    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", JSON.encode()),)


_batch = msgspec.json.Decoder(Batch)


class Shortcut:
    """Answers what is plain, and passes on the rest."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._clock = state["clock"]
        self._tokens = state["settings"].tokens
        self._present = Present(state["answers"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        plain = scope["type"] == "http" and scope["path"].startswith("/v1/")
        caller = self._caller(scope) if plain else None
        if caller is None:
            return await self._app(scope, receive, send)
        logs.also(caller=caller.name)
        read: list[Message] = []
        try:
            found = await self._found(scope, receive, read)
        except Exception as error:  # noqa: BLE001  answered, and told
            metrics.request(caller.name)
            refusal = await on_any(Request(scope), error)
            return await refusal(scope, receive, send)
        if found is None:
            return await self._app(scope, _again(read, receive), send)
        metrics.request(caller.name)
        headers = [*found.headers, (b"content-length", b"%d" % len(found.body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        return await send({"type": "http.response.body", "body": found.body})

    def _caller(self, scope: Scope) -> Token | None:
        """Return who asks, if it is a plain request of somebody who may."""
        if scope["query_string"]:
            return None
        headers = dict(scope["headers"])
        if len(headers) < len(scope["headers"]) or not ASKS_FOR_MORE.isdisjoint(headers):
            return None
        header = headers.get(b"authorization", b"").decode("latin-1")
        try:
            return authenticate(header, self._tokens, "read")
        except (Unauthenticated, Forbidden):
            return None

    def _found(self, scope: Scope, receive: Receive, read: list[Message]) -> Awaitable[Sent | None]:
        """Return what is answered; null for what is not plain. What was read of the body is left in `read`."""
        path: str = scope["path"]
        match scope["method"], path.split("/"):
            case "GET", ["", "v1", "customers", customer, "entitlements", feature] if feature:
                return self._one(customer, feature)
            case "GET", ["", "v1", "customers", customer, "entitlements"]:
                return self._list(path, customer)
            case "POST", ["", "v1", "checks"]:
                return self._checks(receive, read)
            case _:
                return _nothing()

    async def _one(self, customer: str, feature: str) -> Sent | None:
        kept = await self._present.one(customer, feature, int(self._clock()))
        if kept is None:
            return None
        metrics.answered("one")
        return Sent(kept.answer.body, kept.headers)

    async def _list(self, path: str, customer: str) -> Sent | None:
        now = int(self._clock())
        kept = await self._present.features(customer, now)
        if kept is None:
            return None
        metrics.answered("list")
        return Sent(encode(listed(kept.record, kept.answer, customer, path, now)), kept.headers)

    async def _checks(self, receive: Receive, read: list[Message]) -> Sent | None:
        read += await _body(receive)
        asked = _asked(read)
        if asked is None:
            return None
        kept = await self._present.all(asked, int(self._clock()))
        bodies = [one.answer.body for one in kept if one is not None]
        if len(bodies) < len(asked):
            return None
        metrics.answered("checks", len(bodies))
        return Sent(checked(bodies))


async def _nothing() -> None:
    """Return that there is no answer here."""


async def _body(receive: Receive) -> list[Message]:
    """Return the messages that a body comes in; of a large one only the first."""
    found = [await receive()]
    size = len(found[0].get("body", b""))
    while found[-1].get("more_body") and size <= MOST:
        found.append(await receive())
        size += len(found[-1].get("body", b""))
    return found


def _again(read: Sequence[Message], receive: Receive) -> Receive:
    """Return what gives the messages that were read already, and then the rest."""
    left = iter(read)

    async def receiving() -> Message:
        for message in left:
            return message
        return await receive()

    return receiving if read else receive


def _asked(read: Sequence[Message]) -> list[Question] | None:
    """Return the questions of a batch; null where it is not whole, or one of them is not plain."""
    if read[-1].get("more_body"):
        return None
    try:
        asked = _batch.decode(b"".join(message.get("body", b"") for message in read)).checks
    except UNREADABLE:
        return None
    return asked if len(asked) <= MAX_CHECKS else None
