"""The floors: what the same server does with a handler that does little, or does it as most people would.

Each is an application of its own under uvicorn, with uvloop and httptools: `python -m tests.bench.floors NAME PORT URL`
but for one, `responder`, which is no server of HTTP at all: against it the generator shows its own limit.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import uvicorn
import uvloop
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from stripe import Webhook, WebhookSignature

from tests.bench.subscriptions import SECRET

HOST = "127.0.0.1"
RESPONDER = "responder"
TOLERANCE = 300
"""Seconds: that of Stripe's library."""

HELD = "bench:held"
"""The key that the naive read reads."""

Handler = Callable[[Request], Awaitable[JSONResponse]]


async def hello(_: Request) -> JSONResponse:
    """Do nothing."""
    return JSONResponse({"hello": "world"})


async def read(request: Request) -> JSONResponse:
    """Read one key, as redis-py's documentation does."""
    held = await request.state.redis.get(HELD)
    return JSONResponse({"hello": held.decode()})


async def verify_and_set(request: Request) -> JSONResponse:
    """Verify a delivery with Stripe's library, and note it durably by its signature."""
    signature = request.headers["stripe-signature"]
    body = await request.body()
    WebhookSignature.verify_header(body.decode(), signature, SECRET, TOLERANCE)
    await request.state.redis.set(f"bench:{signature}", b"1")
    return JSONResponse({"received": True})


async def by_hand(request: Request) -> JSONResponse:
    """Do what Stripe's documentation begins with: construct the event, and write what it says."""
    event = Webhook.construct_event(
        await request.body(), request.headers["stripe-signature"], SECRET
    )
    subscription = event.data.object
    await request.state.redis.set(f"bench:{subscription.customer}", subscription.status)
    return JSONResponse({"received": True})


FLOORS: Mapping[str, tuple[str, str, Handler]] = {
    "hello": ("GET", "/hello", hello),
    "read": ("GET", "/hello", read),
    "verify-set": ("POST", "/webhooks/stripe", verify_and_set),
    "by-hand": ("POST", "/webhooks/stripe", by_hand),
}


def application(name: str, url: str) -> Starlette:
    """Return the application of a floor, with a store at a URL."""
    method, path, handler = FLOORS[name]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, object]]:
        async with Redis.from_url(url) as redis:
            await redis.set(HELD, "world")
            yield {"redis": redis}

    return Starlette(routes=[Route(path, handler, methods=[method])], lifespan=lifespan)


class Responder(asyncio.Protocol):
    """Answers whatever comes with the same bytes."""

    ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{"hello":"world"}'

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._write = cast("asyncio.Transport", transport).write  # uvloop's own class

    def data_received(self, _: bytes) -> None:
        """Answer."""
        self._write(self.ANSWER)


async def respond(port: int) -> None:
    """Serve bytes until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Responder, HOST, port)
    await server.serve_forever()


def main(name: str, port: str, url: str) -> None:
    """Serve a floor."""
    if name == RESPONDER:
        uvloop.run(respond(int(port)))
        return
    uvicorn.run(
        application(name, url),
        host=HOST,
        port=int(port),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
