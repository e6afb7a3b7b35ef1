"""uvicorn and the application, each kept from what it would do by itself when something fails."""

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import structlog
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements.errors import EntitlementsError

_LAST_SECONDS = 1.0  # for the lifespan of an application that is told to stop at once

log = structlog.get_logger()


class Application:
    """The application as uvicorn hosts it: `failure` keeps what its lifespan raised."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; take what only says that a client or the server has left for what it is."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:  # uvicorn would log it as an error of ours
            log.debug("client_left", path=scope["path"])
        except asyncio.CancelledError:  # the end of the grace: uvicorn would log a traceback
            log.warning("request_cut_off", path=scope["path"])
        except Exception:  # noqa: BLE001  answered with a 500 and logged already: problems.on_crash
            log.debug("request_crashed", path=scope["path"])

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def bare(message: Message) -> None:
            await send({"type": message["type"]})  # without the traceback: the caller gets it

        try:
            await self._app(scope, receive, bare)
        except Exception as failure:
            self.failure = failure
            raise


class Server(uvicorn.Server):
    """uvicorn's server, which leaves signals and failures to its caller."""

    def __init__(
        self, config: uvicorn.Config, application: Application, on_start: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._application = application
        self._on_start = on_start

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, or raise what kept the application from starting, where uvicorn would exit."""
        try:
            await super().startup(sockets)
        except SystemExit:
            raise self._application.failure or EntitlementsError(
                "The application did not start: its log says why."
            ) from None
        self._on_start()

    async def abandon(self, *, cut_short: bool) -> None:
        """Drop whatever is left of connections and requests; if cut short, end the lifespan as well."""
        for server in getattr(self, "servers", ()):
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if cut_short and self.started:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lifespan.shutdown(), _LAST_SECONDS)
