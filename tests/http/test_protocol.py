"""Slow, large and malformed clients against a real server."""

import asyncio
import json
import logging
import queue
import select
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from entitlements.http.limits import Limits
from entitlements.http.server import HttpServer

LIMITS = Limits(head_seconds=0.2, body_seconds=0.2, idle_seconds=1, head_bytes=2048, pipelined=20)
LONGER = 1.3 * LIMITS.body_seconds
MIB = 1024 * 1024

told_of_disconnect = threading.Event()


async def echo(request: Request) -> Response:
    """Answer what came: the length of the body, and the headers as they are once it is read."""
    body = await request.body()
    headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.scope["headers"]]
    return JSONResponse({"length": len(body), "headers": dict(headers)})


async def slow(request: Request) -> Response:
    """Take longer than a client may, then read."""
    await asyncio.sleep(LONGER)
    return PlainTextResponse(str(len(await request.body())))


async def wait(request: Request) -> Response:
    """Wait for the client to leave."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    told_of_disconnect.set()
    return Response()


class Mirror:
    """Answers with the body while it comes."""

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Begin at once, end with the body."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        message = await receive()
        while message["type"] == "http.request":
            await send({**message, "type": "http.response.body"})
            if not message["more_body"]:
                return
            message = await receive()


async def refuse(_: Request) -> Response:
    """Answer without a look at the body."""
    return PlainTextResponse("no", 401)


APP = Starlette(
    routes=[
        Route("/echo", echo, methods=["GET", "POST"]),
        Route("/small", echo, methods=["POST"], max_body_size=MIB),
        Route("/slow", slow, methods=["GET", "POST"]),
        Route("/wait", wait),
        Route("/mirror", Mirror(), methods=["POST"]),
        Route("/refuse", refuse, methods=["POST"]),
    ]
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Run the server in a thread; give its port."""
    started: queue.SimpleQueue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = (
        queue.SimpleQueue()
    )

    async def main() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        server = HttpServer(
            host="127.0.0.1",
            port=0,
            limits=LIMITS,
            graceful_seconds=1,
            ready=lambda url: started.put((url, loop, stop)),
        )
        await server.serve(APP, stop)

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(run)
        url, loop, stop = started.get(timeout=10)
        yield int(url.rpartition(":")[2])
        loop.call_soon_threadsafe(stop.set)
        served.result(timeout=10)


@pytest.fixture
def client(port: int) -> Iterator[socket.socket]:
    """Give one connection."""
    with connect(port) as connection:
        yield connection


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Hold that nothing a client does is logged as an error."""
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


def connect(port: int) -> socket.socket:
    """Open a connection, whose every read is bounded."""
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def head(method: str, path: str, *headers: str) -> bytes:
    """Spell a request's head."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode("latin-1")


def rest(connection: socket.socket) -> bytes:
    """Read to the end; a reset fails."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def part(connection: socket.socket, size: int) -> bytes:
    """Read at most so much, and something."""
    received = connection.recv(size)
    assert received, "the connection has ended"
    return received


def until(connection: socket.socket, end: bytes) -> bytes:
    """Read up to a mark."""
    received = b""
    while not received.endswith(end):
        received += part(connection, 1)
    return received


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer of known length."""
    status, *lines = until(connection, b"\r\n\r\n").decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    length, body = int(headers["content-length"]), b""
    while len(body) < length:
        body += part(connection, length - len(body))
    return int(status.split()[1]), headers, body


def refused(connection: socket.socket) -> dict[str, Any]:
    """Read a refusal: a problem document, after which the connection ends."""
    status, headers, body = answer(connection)
    problem: dict[str, Any] = json.loads(body)
    assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
    assert problem["status"] == status
    assert problem["type"].startswith("urn:problem-type:entitlements:")
    assert rest(connection) == b""
    return problem


def drip(connection: socket.socket, byte: bytes) -> None:
    """Send a byte now and then until the server says something."""
    while not select.select([connection], [], [], 0.02)[0]:
        connection.sendall(byte)


def flood(connection: socket.socket, chunk: bytes, total: int) -> int:
    """Send until the server hangs up, or `total` bytes; return how many were sent."""
    sent = 0
    with suppress(ConnectionError):
        while sent < total:
            connection.sendall(chunk)
            sent += len(chunk)
    return sent


def test_a_head_sent_byte_by_byte_is_late(client: socket.socket) -> None:
    """A head that is not complete by its deadline is answered 408, however lively its client."""
    began = time.monotonic()
    client.sendall(b"GET /echo HTTP/1.1\r\nX: ")
    drip(client, b"x")
    assert refused(client)["status"] == 408
    assert LIMITS.head_seconds * 0.9 < time.monotonic() - began < LIMITS.head_seconds + 1


def test_a_body_sent_byte_by_byte_is_late(client: socket.socket) -> None:
    """A body that is not complete by its deadline is answered 408, and the application is told."""
    began = time.monotonic()
    client.sendall(head("POST", "/echo", "Content-Length: 1000"))
    drip(client, b"x")
    assert refused(client)["status"] == 408
    assert LIMITS.body_seconds * 0.9 < time.monotonic() - began < LIMITS.body_seconds + 1


def test_a_body_that_never_begins_is_late(client: socket.socket) -> None:
    """A body has a deadline even if none of it comes."""
    client.sendall(head("POST", "/echo", "Content-Length: 1000"))
    assert refused(client)["status"] == 408


def test_idle_connections_disturb_nobody(port: int) -> None:
    """Two hundred connections that say nothing are closed by the deadline; the next caller is served meanwhile."""
    idle = [connect(port) for _ in range(200)]
    with connect(port) as caller:
        caller.sendall(head("GET", "/echo"))
        assert answer(caller)[0] == 200
    assert {rest(connection) for connection in idle} == {b""}
    for connection in idle:
        connection.close()


def test_blank_lines_are_not_a_request(client: socket.socket) -> None:
    """Line ends between requests, which the parser skips, do not keep a connection open."""
    client.sendall(head("GET", "/echo"))
    assert answer(client)[0] == 200
    drip(client, b"\r\n")
    assert refused(client)["status"] == 408


def test_a_large_head_is_refused_and_not_kept(client: socket.socket) -> None:
    """A header of 50 MB is answered 431, and the memory it takes does not grow with it."""
    client.sendall(b"GET /echo HTTP/1.1\r\nX: ")
    tracemalloc.start()
    try:
        assert flood(client, b"x" * 65536, 50 * MIB) == 50 * MIB
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()
    assert refused(client)["status"] == 431


@pytest.mark.parametrize("size", [LIMITS.head_bytes, LIMITS.head_bytes + 1])
def test_the_largest_head(client: socket.socket, size: int) -> None:
    """A head may have head_bytes and not one more."""
    padding = size - len(head("GET", "/echo", "X: "))
    client.sendall(head("GET", "/echo", "X: " + "x" * padding))
    assert answer(client)[0] == (200 if size == LIMITS.head_bytes else 431)


def test_large_trailers_are_refused(client: socket.socket) -> None:
    """What follows a chunked body is bounded like a head."""
    client.sendall(head("POST", "/echo", "Transfer-Encoding: chunked") + b"0\r\n")
    flood(client, b"X: x\r\n" * 1000, MIB)
    assert refused(client)["status"] == 431


def test_trailers_are_not_headers(client: socket.socket) -> None:
    """A field after the body does not pass for one before it."""
    client.sendall(head("POST", "/echo", "Transfer-Encoding: chunked"))
    client.sendall(b"2\r\nab\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    seen = json.loads(answer(client)[2])
    assert seen["length"] == 2
    assert "authorization" not in seen["headers"]


@pytest.mark.parametrize("rest_of_body", [b"", b"zz\r\n", b"0\r\n" + b"X: x\r\n" * 1000])
def test_an_answer_that_has_begun_is_broken_off(port: int, rest_of_body: bytes) -> None:
    """Where the body goes wrong after the answer began, the connection ends, and nobody else is disturbed."""
    with connect(port) as connection:
        connection.sendall(head("POST", "/mirror", "Transfer-Encoding: chunked") + b"1\r\na\r\n")
        assert until(connection, b"1\r\na\r\n").startswith(b"HTTP/1.1 200")
        connection.sendall(rest_of_body)
        with suppress(ConnectionResetError):
            assert rest(connection) == b""
    with connect(port) as connection:
        connection.sendall(head("GET", "/echo"))
        assert answer(connection)[0] == 200


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_answer_to_a_large_body_can_be_read(
    client: socket.socket, connection: str, *, chunked: bool
) -> None:
    """A client that sends all of 40 MB before it reads finds the 413, not a reset."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {40 * MIB}"
    client.sendall(head("POST", "/small", f"Connection: {connection}", framing))
    block = b"x" * MIB
    for _ in range(40):
        client.sendall(b"100000\r\n" + block + b"\r\n" if chunked else block)
    status, headers, _ = answer(client)
    assert (status, headers["connection"]) == (413, "close")
    assert rest(client) == b""


def test_an_early_answer_to_a_whole_request_keeps_the_connection(client: socket.socket) -> None:
    """A handler that ignores a body which has come costs its client no connection."""
    for _ in range(2):
        client.sendall(head("POST", "/refuse", "Content-Length: 2") + b"ab")
        status, headers, _ = answer(client)
        assert (status, headers.get("connection")) == (401, None)


def test_a_body_in_parts_keeps_the_connection(client: socket.socket) -> None:
    """A request in several segments is like any other, one after the other on one connection."""
    for _ in range(2):
        for part in head("POST", "/echo", "Content-Length: 3"), b"a", b"bc":
            client.sendall(part)
        status, headers, body = answer(client)
        assert (status, headers.get("connection"), json.loads(body)["length"]) == (200, None, 3)


def test_a_large_body_arrives_whole(client: socket.socket) -> None:
    """A body far over head_bytes, in one piece or in many chunks, is no less welcome."""
    client.sendall(head("POST", "/echo", f"Content-Length: {MIB}") + b"x" * MIB)
    assert json.loads(answer(client)[2])["length"] == MIB
    chunks = b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"
    client.sendall(head("POST", "/echo", "Transfer-Encoding: chunked") + chunks)
    assert json.loads(answer(client)[2])["length"] == 5000


def test_a_slow_handler_is_nobodys_deadline(client: socket.socket) -> None:
    """A handler may take longer than a client may, on a fresh connection and on a used one."""
    for _ in range(2):
        client.sendall(head("GET", "/slow"))
        assert answer(client)[0] == 200


def test_a_body_that_we_do_not_read_is_not_late(client: socket.socket) -> None:
    """A client that waits for a slow handler to take its body is not to blame."""
    client.sendall(head("POST", "/slow", f"Content-Length: {MIB}") + b"x" * MIB)
    assert answer(client)[2] == str(MIB).encode()


def test_pipelined_requests_are_answered_in_order(client: socket.socket) -> None:
    """Requests sent together are answered in turn, bodies included, and the connection stays."""
    requests = [
        head("GET", "/slow"),
        head("POST", "/echo", "Content-Length: 3000") + b"x" * 3000,
        head("GET", "/echo"),
    ]
    client.sendall(b"".join(requests))
    answers = [answer(client) for _ in requests]
    assert [status for status, *_ in answers] == [200, 200, 200]
    assert json.loads(answers[1][2])["length"] == 3000
    client.sendall(head("GET", "/echo"))
    assert answer(client)[0] == 200


def test_a_queue_of_pipelined_requests_is_bounded(client: socket.socket) -> None:
    """Who pipelines more than may wait gets the answers to those that may, and then the end."""
    client.sendall(head("GET", "/slow") + head("GET", "/echo") * 1000)
    received = rest(client)
    assert received.count(b"HTTP/1.1 200") == LIMITS.pipelined + 1
    assert received.count(b"connection: close") == 1


def test_rubbish_after_a_request_does_not_cost_its_answer(client: socket.socket) -> None:
    """What is well-formed is answered before what is not ends the connection."""
    client.sendall(head("GET", "/slow") + b"\0rubbish")
    assert answer(client)[0] == 200
    assert rest(client) == b""


def test_a_client_that_left_is_noticed_behind_its_queue(port: int) -> None:
    """A handler learns that its client has gone, also if the client had sent another request."""
    told_of_disconnect.clear()
    with connect(port) as connection:
        connection.sendall(head("GET", "/wait") + head("GET", "/echo"))
    assert told_of_disconnect.wait(5)


def test_a_client_that_leaves_in_its_body_is_no_error(port: int) -> None:
    """A connection that ends within a body is not a failure of the application."""
    with connect(port) as connection:
        connection.sendall(head("POST", "/echo", "Content-Length: 1000") + b"x")
    with connect(port) as connection:
        connection.sendall(head("GET", "/slow"))
        assert answer(connection)[0] == 200


def test_an_idle_connection_is_closed(client: socket.socket) -> None:
    """A connection that is not used again ends, without a word."""
    client.sendall(head("GET", "/echo"))
    assert answer(client)[0] == 200
    assert rest(client) == b""


def test_header_values_may_be_any_bytes(client: socket.socket) -> None:
    """Bytes outside ASCII in a value reach the application."""
    client.sendall(head("GET", "/echo", "X: caf\xe9"))
    assert json.loads(answer(client)[2])["headers"]["x"] == "caf\xe9"


@pytest.mark.parametrize(
    "request_",
    [
        head("GET", "/echo", "caf\xe9: x"),
        b"\x16\x03\x01 hello, is this TLS?\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        head("CONNECT", "nowhere:80"),
        head("POST", "/echo", "Content-Length: 1", "Transfer-Encoding: chunked"),
        head("POST", "/echo", "Content-Length: -1"),
        head("POST", "/echo", "Transfer-Encoding: chunked") + b"zz\r\n",
    ],
)
def test_malformed_requests_are_refused(client: socket.socket, request_: bytes) -> None:
    """What is not HTTP is answered 400, and the connection ends."""
    client.sendall(request_)
    assert refused(client)["status"] == 400


def test_an_offer_to_upgrade_is_declined(client: socket.socket) -> None:
    """A request that would rather be a WebSocket is answered as what it is."""
    client.sendall(head("GET", "/echo", "Connection: upgrade", "Upgrade: websocket"))
    assert answer(client)[0] == 200
