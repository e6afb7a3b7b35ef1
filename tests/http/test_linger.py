"""The bounds of a connection's end, over a pair of sockets, on asyncio's loop and on uvloop's."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest
import uvloop

from entitlements.http.linger import TOGETHER, Lingering

SECONDS = 0.3
SPARE = 1_000_000

Scene = Callable[[], Coroutine[None, None, None]]
Timing = Callable[[Scene], float]


class Server(asyncio.Protocol):
    """A server's end, which gives what comes to nobody. `ended` says when the connection has."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.unread = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wrap the transport."""
        wire = cast("asyncio.Transport", transport)
        loop = asyncio.get_running_loop()
        self.edge = Lingering(wire, loop, lambda: self.unread, SECONDS, SPARE)

    def data_received(self, data: bytes) -> None:
        """Discard."""
        self.edge.discard(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, as a protocol that may close once more."""
        del exc
        self.edge.lost()
        self.edge.close()
        self.edge.write(b"too late")
        self.ended.set()


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Server, socket.socket]]:
    """Give the server's end and the client's socket; hold that the connection ended."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    _, server = await asyncio.get_running_loop().connect_accepted_socket(Server, ours)
    with theirs:
        yield server, theirs
        await asyncio.wait_for(server.ended.wait(), SECONDS + 5)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def seconds(request: pytest.FixtureRequest) -> Timing:
    """Run a scene and tell how long it took."""

    def run(scene: Scene) -> float:
        began = time.monotonic()
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scene())
        return time.monotonic() - began

    return run


async def received(client: socket.socket) -> bytes:
    """Read to the end."""
    loop, parts = asyncio.get_running_loop(), [b"-"]
    while parts[-1]:
        parts.append(await loop.sock_recv(client, 65536))
    return b"".join(parts[1:])


def test_the_answer_is_read_and_the_client_ends_it(seconds: Timing) -> None:
    """A client gets the answer and its end while it still sends, and may then hang up."""

    async def scene() -> None:
        async with connected() as (server, client):
            server.edge.write(b"bye")
            server.edge.close()
            assert await received(client) == b"bye"
            assert server.edge.is_closing()
            await asyncio.get_running_loop().sock_sendall(client, b"x" * 1000)
            client.shutdown(socket.SHUT_WR)

    assert seconds(scene) < SECONDS


def test_a_client_that_goes_on_is_cut_off_in_time(seconds: Timing) -> None:
    """A client that neither stops nor hangs up is bounded in time."""

    async def scene() -> None:
        async with connected() as (server, _):
            server.edge.close()

    assert seconds(scene) > SECONDS * 0.9


def test_a_client_that_sends_too_much_is_cut_off(seconds: Timing) -> None:
    """A client that sends a lot is bounded in bytes."""

    async def scene() -> None:
        async with connected() as (server, client):
            server.edge.close()
            with suppress(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(client, b"x" * 4 * SPARE)

    assert seconds(scene) < SECONDS


def test_a_second_close_does_not_linger(seconds: Timing) -> None:
    """A server that stops does not wait for those who are on their way out."""

    async def scene() -> None:
        async with connected() as (server, _):
            server.edge.close()
            server.edge.close()

    assert seconds(scene) < SECONDS


def test_a_client_that_does_not_read_is_cut_off_in_time(seconds: Timing) -> None:
    """A client that owes nothing and does not read its answer is bounded in time as well."""

    async def scene() -> None:
        async with connected() as (server, _):
            server.unread = False
            server.edge.write(b"x" * 8_000_000)
            server.edge.close()

    assert seconds(scene) > SECONDS * 0.9


def test_what_is_written_in_one_turn_is_sent_as_one(seconds: Timing) -> None:
    """A head and a body; more than may wait goes at once, so that nobody's answer fills memory."""

    async def scene() -> None:
        async with connected() as (server, client):
            server.unread = False
            server.edge.write(b"head ")
            server.edge.write(b"body")
            with pytest.raises(BlockingIOError):
                client.recv(100)
            assert await asyncio.get_running_loop().sock_recv(client, 100) == b"head body"
            server.edge.write(b"x" * (TOGETHER + 1))
            assert client.recv(2 * TOGETHER)
            client.close()

    seconds(scene)
