"""A name for each request, in the answer and in every line of the log."""

import re
import secrets
from collections.abc import Awaitable
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements import logs

HEADER = "X-Request-ID"
_HEADER = HEADER.lower().encode()
_FORM = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


ECHO = "echoed_request_id"
"""In a scope: what to send back as it came, where a specification wants that of any string."""


def request_id(scope: Scope) -> str | None:
    """Return the name that RequestID gave to a request."""
    found: str | None = scope.get("request_id")
    return found


class RequestID:
    """Takes the caller's X-Request-ID where it is a plain name, else makes one; echoes it in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._ours, self._count = secrets.token_hex(10), count()
        """Another process has other names; to ask for chance at each request costs a system call."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = _given(scope) or f"{self._ours}{next(self._count):012x}"
        scope["request_id"] = name

        def named(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                echoed = scope.get(ECHO, name).encode("latin-1")
                message["headers"] = [*message["headers"], (_HEADER, echoed)]
            return send(message)

        told = logs.about_request(request_id=name)
        await self._app(scope, receive, named)
        logs.over(told)  # after a crash it goes on: the server may have something to tell


def _given(scope: Scope) -> str | None:
    """Return the caller's name for a request, if it is a plain one."""
    for name, value in scope["headers"]:
        if name == _HEADER:
            return value.decode() if _FORM.fullmatch(value) else None
    return None
