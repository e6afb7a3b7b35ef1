"""Handlers of busy addresses, called before the framework looks for them.

For an endpoint at a fixed path, which needs no token. Its other methods are the framework's to refuse.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from entitlements.http.endpoint import Endpoint
from entitlements.http.problems import on_any


class Straight:
    """Calls the handler of an endpoint, and passes on every other request."""

    def __init__(self, app: ASGIApp, endpoint: Endpoint) -> None:
        self._app = app
        self._method, self._path = endpoint.method, endpoint.path
        self._handler = endpoint.guarded()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if (
            scope["type"] != "http"
            or scope["path"] != self._path
            or scope["method"] != self._method
        ):
            return await self._app(scope, receive, send)
        try:
            response = await self._handler(Request(scope, receive))
        except Exception as error:  # noqa: BLE001  answered, and told
            response = await on_any(Request(scope), error)
        return await response(scope, receive, send)
