"""The HTTP server: uvicorn behind a guarded edge, which drains before it stops."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from entitlements.errors import SettingsError
from entitlements.http.hosting import Application, Server
from entitlements.http.limits import Limits
from entitlements.http.protocol import guarded

BACKLOG = 1024
"""Connections that may wait to be accepted; the kernel's own limit (net.core.somaxconn) may be lower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """Where and how to serve. Port 0 takes a free one. Times are in seconds.

    `ready` is told the address once requests are answered. At the end `on_drain` is called, requests are answered for
    another `drain_seconds`, in which load balancers look elsewhere, and those then in flight have `graceful_seconds`.
    """

    host: str
    port: int
    limits: Limits = field(default_factory=Limits)
    ready: Callable[[str], object] = lambda _: None
    on_drain: Callable[[], object] = lambda: None
    drain_seconds: float = 0.0
    graceful_seconds: int = 5

    async def serve(self, app: ASGIApp, stop: asyncio.Event | None = None) -> None:
        """Serve until SIGTERM or SIGINT (in the main thread), or until `stop` is set; a second signal ends it at once.

        Raises SettingsError if the address cannot be had, and what the application's lifespan raised.
        """
        application = Application(app)
        with closing(self._listen()) as listener:
            config, told = self._config(application), lambda: self.ready(_url(listener))
            server = Server(config, application, told)
            serving = asyncio.create_task(server.serve([listener]))
            await self._until_stopped(server, serving, stop or asyncio.Event())
        if application.failure is not None:
            raise application.failure

    def _listen(self) -> socket.socket:
        try:
            return _bind(self.host, self.port)
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on HOST {self.host} and PORT {self.port} ({error.strerror}): "
                "stop what listens there, or set them to an address of this machine and a free port."
            ) from error

    def _config(self, application: Application) -> uvicorn.Config:
        return uvicorn.Config(
            application,
            http=guarded(self.limits),
            ws="none",
            lifespan="on",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=self.limits.idle_seconds,
            timeout_graceful_shutdown=self.graceful_seconds,
        )

    async def _until_stopped(
        self, server: Server, serving: asyncio.Task[None], stop: asyncio.Event
    ) -> None:
        draining = asyncio.create_task(self._drain(server, stop))
        try:
            with _signals(lambda: serving.cancel() if stop.is_set() else stop.set()):
                await asyncio.wait({serving})
        finally:
            serving.cancel()
            draining.cancel()
            await asyncio.gather(serving, draining, return_exceptions=True)
            await server.abandon(cut_short=serving.cancelled() or serving.exception() is not None)
        for task in (serving, draining):
            if not task.cancelled():
                task.result()

    async def _drain(self, server: Server, stop: asyncio.Event) -> None:
        await stop.wait()
        try:
            self.on_drain()
            await asyncio.sleep(self.drain_seconds)
        finally:
            server.should_exit = True


@contextmanager
def _signals(handle: Callable[[], object]) -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _bind(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # HOST=:: means IPv4 as well
    listener = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    # Inherited by each connection. asyncio sets it only where the socket names its protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
