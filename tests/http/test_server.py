"""The life of the server: start, drain, stop; within a loop and as a process that gets signals."""

import asyncio
import http.client
import logging
import select
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from entitlements.errors import EntitlementsError, SettingsError, StoreUnavailable
from entitlements.http.server import HttpServer

HALF_A_REQUEST = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"

PROCESS = """
import asyncio, structlog, sys, uvloop
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from entitlements.http.server import HttpServer

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
state = ["ready"]

async def readyz(request):
    return PlainTextResponse(state[0])

async def hang(request):
    print("hanging", flush=True)
    await asyncio.sleep(60)

def drain():
    state[0] = "draining"
    print("draining", flush=True)

app = Starlette(routes=[Route("/readyz", readyz), Route("/hang", hang)])
server = HttpServer(
    host="127.0.0.1", port=0, ready=lambda url: print(url, flush=True), on_drain=drain,
    drain_seconds=float(sys.argv[1]), graceful_seconds=int(sys.argv[2]),
)
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(server.serve(app))
print("returned", flush=True)
"""


class Application:
    """A small application and the order of what happened to it."""

    def __init__(self, *, failing_at: str = "", error: Exception | None = None) -> None:
        self.happened: list[str] = []
        self.seen: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._failing_at = failing_at
        self._error = error or StoreUnavailable("No store. Start it.")
        routes = [
            Route("/echo", self.echo, methods=["GET", "POST"]),
            Route("/hang", self.hang),
            Route("/stream", self.stream),
        ]
        self.asgi = Starlette(routes=routes, lifespan=self.lifespan)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        """Note the start and the end."""
        self.note("starting")
        yield
        self.note("ending")

    def note(self, what: str) -> None:
        """Note it, and fail if it is time to."""
        self.happened.append(what)
        self.seen[what].set()
        if what == self._failing_at:
            raise self._error

    async def echo(self, request: Request) -> Response:
        """Answer with the body."""
        self.seen["request"].set()
        return Response(await request.body())

    async def stream(self, _: Request) -> Response:
        """Send one byte, and never the rest."""

        async def endless() -> AsyncGenerator[bytes]:
            yield b"x"
            self.seen["request"].set()
            await asyncio.Event().wait()

        return StreamingResponse(endless())

    async def hang(self, _: Request) -> Response:
        """Never answer."""
        self.seen["request"].set()
        await asyncio.Event().wait()
        return Response()


async def respond_to_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse to start, without a word of why."""
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed"})


@contextmanager
def taken_port() -> Iterator[int]:
    """Give a port on which something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as an error."""
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


@asynccontextmanager
async def served(
    app: Application, **options: float
) -> AsyncGenerator[tuple[int, asyncio.Event, "asyncio.Task[None]"]]:
    """Serve in this loop: give the port, what stops it, and the task."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = HttpServer(
        host="127.0.0.1",
        port=0,
        ready=ready.set_result,
        on_drain=lambda: app.note("draining"),
        drain_seconds=options.get("drain_seconds", 0),
        graceful_seconds=int(options.get("graceful_seconds", 1)),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(server.serve(app.asgi, stop))
    try:
        yield int((await ready).rpartition(":")[2]), stop, task
    finally:
        stop.set()
        await asyncio.wait({task})


async def get(port: int, path: str = "/echo") -> bytes:
    """Return the whole answer to a request on a connection of its own."""
    return await send(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())


async def send(port: int, request: bytes) -> bytes:
    """Send, and return what comes until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_it_serves_between_the_ends_of_the_lifespan() -> None:
    """The address is told once requests are answered; a stop drains, and then ends the lifespan."""
    app = Application()
    async with served(app) as (port, stop, task):
        answer = await get(port)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
        assert b"server:" not in answer
        stop.set()
        await task
    assert app.happened == ["starting", "draining", "ending"]


@pytest.mark.asyncio
async def test_it_answers_while_it_drains() -> None:
    """Between the announcement of the end and the end, callers are served; after it there is no listener."""
    app = Application()
    async with served(app, drain_seconds=0.2) as (port, stop, task):
        stop.set()
        await app.seen["draining"].wait()
        assert (await get(port)).startswith(b"HTTP/1.1 200")
        await task
        with pytest.raises(ConnectionRefusedError):
            await get(port)


@pytest.mark.asyncio
async def test_signal_handlers_are_given_back() -> None:
    """What handled the signals before handles them afterwards."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with served(Application()):
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] != before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.asyncio
async def test_a_port_in_use_is_a_setting_to_change() -> None:
    """Where something else listens already, the error names the settings, and nothing has been started."""
    app = Application()
    with (
        taken_port() as port,
        pytest.raises(SettingsError, match=rf"HOST 127.0.0.1 .* PORT {port}"),
    ):
        await HttpServer(host="127.0.0.1", port=port).serve(app.asgi)
    assert app.happened == []


@pytest.mark.asyncio
async def test_a_host_of_another_machine_is_a_setting_to_change() -> None:
    """An address that is not ours is the same kind of error (RFC 5737: the address is nobody's)."""
    with pytest.raises(SettingsError, match=r"HOST 192\.0\.2\.1"):
        await HttpServer(host="192.0.2.1", port=0).serve(Application().asgi)


@pytest.mark.asyncio
@pytest.mark.parametrize("moment", ["starting", "ending"])
async def test_what_the_lifespan_raises_reaches_the_caller(
    moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure to start or to end is raised as it is, and no traceback of it is logged."""
    error, stop = StoreUnavailable("No store. Start it."), asyncio.Event()
    stop.set()
    app = Application(failing_at=moment, error=error)
    with pytest.raises(StoreUnavailable) as raised:
        await HttpServer(host="127.0.0.1", port=0).serve(app.asgi, stop)
    assert raised.value is error
    assert len(errors(caplog)) == 1
    assert "Traceback" not in caplog.text


@pytest.mark.asyncio
async def test_an_application_that_refuses_to_start_is_an_error() -> None:
    """A lifespan that says no without a reason does not pass for a server that was stopped."""
    with pytest.raises(EntitlementsError, match="did not start"):
        await HttpServer(host="127.0.0.1", port=0).serve(respond_to_nothing)


@pytest.mark.asyncio
async def test_a_failing_drain_still_stops_the_server() -> None:
    """An error in on_drain ends the server and is raised."""
    app = Application(failing_at="draining")
    async with served(app) as (_, stop, task):
        stop.set()
        with pytest.raises(StoreUnavailable):
            await task
    assert app.happened == ["starting", "draining", "ending"]


@pytest.mark.asyncio
async def test_a_failing_ready_ends_the_lifespan() -> None:
    """An error in ready is raised, and what was started is ended."""

    def fail(_: str) -> None:
        raise error

    app, error = Application(), StoreUnavailable("No store. Start it.")
    with pytest.raises(StoreUnavailable) as raised:
        await HttpServer(host="127.0.0.1", port=0, ready=fail).serve(app.asgi)
    assert raised.value is error
    assert app.happened == ["starting", "ending"]


@pytest.mark.asyncio
async def test_half_a_request_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A client that holds back a body is told 408 within the grace, and nothing is logged as an error."""
    app = Application()
    async with served(app) as (port, stop, task):
        client = asyncio.create_task(send(port, HALF_A_REQUEST))
        await app.seen["request"].wait()
        began = time.monotonic()
        stop.set()
        await task
        assert time.monotonic() - began < 1.5
        assert (await client).startswith(b"HTTP/1.1 408")
    assert errors(caplog) == []


@pytest.mark.asyncio
async def test_a_handler_that_hangs_does_not_hold_up_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A request without an answer is told to come again before the grace is over, and the lifespan still ends."""
    app = Application()
    async with served(app) as (port, stop, task):
        client = asyncio.create_task(get(port, "/hang"))
        await app.seen["request"].wait()
        stop.set()
        await task
        answer = await client
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in answer
    assert app.happened[-1] == "ending"
    assert "Traceback" not in caplog.text


@pytest.mark.asyncio
async def test_a_stream_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A stream that goes on for ever is broken off before the grace is over, which is no error."""
    app = Application()
    async with served(app) as (port, stop, task):
        client = asyncio.create_task(get(port, "/stream"))
        await app.seen["request"].wait()
        stop.set()
        await task
        assert (await client).endswith(b"1\r\nx\r\n")
    assert errors(caplog) == []


@pytest.mark.asyncio
async def test_a_cancelled_server_ends_its_lifespan() -> None:
    """A caller that cancels leaves neither a listener nor an open lifespan behind."""
    app = Application()
    async with served(app) as (port, _, task):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionRefusedError):
            await get(port)
    assert app.happened == ["starting", "ending"]


class Process:
    """The server as a process: its address, and what it prints."""

    def __init__(self, drain_seconds: float, graceful_seconds: int) -> None:
        arguments = [sys.executable, "-c", PROCESS, str(drain_seconds), str(graceful_seconds)]
        self.popen = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.port = int(self.line().rpartition(":")[2])

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.popen.stdout is not None
        assert select.select([self.popen.stdout], [], [], 20)[0], "it printed nothing"
        return self.popen.stdout.readline().strip()

    def get(self, path: str) -> bytes:
        """Ask it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        try:
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def process(drain_seconds: float, graceful_seconds: int = 5) -> Iterator[Process]:
    """Run one, and leave none behind."""
    running = Process(drain_seconds, graceful_seconds)
    with running.popen:
        try:
            yield running
        finally:
            running.popen.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_returns(number: signal.Signals) -> None:
    """A first signal flips readiness, requests are answered for a while, and the caller gets control back."""
    with process(drain_seconds=0.5) as server:
        assert server.get("/readyz") == b"ready"
        server.popen.send_signal(number)
        assert server.line() == "draining"
        assert server.get("/readyz") == b"draining"
        assert server.line() == "returned"
        assert server.popen.wait(10) == 0


def test_a_second_signal_ends_it_at_once() -> None:
    """Neither the drain nor a request in flight is waited for after a second signal."""
    with process(drain_seconds=60, graceful_seconds=60) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            assert server.line() == "hanging"
            server.popen.terminate()
            assert server.line() == "draining"
            server.popen.terminate()
            assert server.line() == "returned"
        assert server.popen.wait(10) == 0
