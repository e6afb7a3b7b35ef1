"""Who follows the change feed: the service on a real port, and readers of its events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from httpx2 import AsyncClient, Response

from entitlements.cli.event_stream import Event, events
from entitlements.http.app import create_app, open_state
from entitlements.http.limits import Limits
from entitlements.http.server import HttpServer
from entitlements.http.state import State
from entitlements.sandbox.shapes import Body
from tests.support.bodies import SECRET, encoded, event, signed, subscription
from tests.support.service import READ, Clock, bearer, settings

PATIENCE = 10.0


class Served(NamedTuple):
    """A service on a port of this machine."""

    state: State
    http: AsyncClient
    port: int
    stop: asyncio.Event
    clock: Clock

    async def deliver(self, body: Body) -> Body:
        """Post an event as Stripe does; return the receipt."""
        raw = encoded(body)
        headers = signed(raw, SECRET, int(self.clock.now))
        answer = await self.http.post("/webhooks/stripe", content=raw, headers=headers)
        assert answer.is_success, answer.text
        found: Body = answer.json()
        return found

    async def create(self, *numbers: int) -> None:
        """Subscribe the customers of these numbers, one after the other."""
        for n in numbers:
            await self.deliver(creation(n))


def creation(n: int) -> Body:
    """Return the event that subscribes the n-th customer."""
    return event(subscription(id=f"sub_{n}", customer=f"cus_{n}"), id=f"evt_{n}")


@asynccontextmanager
async def served(
    url: str, clock: Clock, limits: Limits | None = None, heartbeat: float = 15.0
) -> AsyncGenerator[Served]:
    """Serve a store on a free port for as long as the block runs."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with open_state(settings(), url, clock=clock) as state:
        state["feed"].heartbeat = heartbeat
        server = HttpServer(
            host="127.0.0.1",
            port=0,
            ready=ready.set_result,
            limits=limits or Limits(),
            on_drain=state["readiness"].drain,
        )
        task = asyncio.create_task(server.serve(create_app(state), stop))
        base = await ready
        async with AsyncClient(base_url=base, timeout=PATIENCE, trust_env=False) as http:
            try:
                yield Served(state, http, int(base.rpartition(":")[2]), stop, clock)
            finally:
                stop.set()
                await task


class Reader:
    """One connection to the feed. Its first event, a heartbeat, has come."""

    def __init__(self, response: Response, lines: AsyncIterator[str]) -> None:
        self.response = response
        self._lines = lines
        self.cursor: str | None = None

    async def next(self) -> Event | None:
        """Return the next event; null at the end."""
        whole: list[str] = []
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                whole.append(line)
                if not line and (found := list(events(whole))):
                    self.cursor = found[0].id
                    return found[0]
        return None

    async def changes(self, count: int) -> list[Body]:
        """Return the next so many changes."""
        found: list[Body] = []
        while len(found) < count:
            event = await self.next()
            assert event, f"it ended after {found}"
            if event.name == "change":
                found.append(event.data)
        return found


@asynccontextmanager
async def following(
    service: Served, cursor: str | None = None, **headers: str
) -> AsyncGenerator[Reader]:
    """Follow from a cursor, or from now on."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    shown = bearer(READ) | ({"Last-Event-ID": cursor} if cursor else {}) | named
    async with service.http.stream("GET", "/v1/changes", headers=shown) as response:
        reader = Reader(response, aiter(response.aiter_lines()))
        if cursor is None and response.is_success:
            first = await reader.next()
            assert first
            assert first.name == "heartbeat"
        yield reader


def customers(changes: Sequence[Body]) -> list[str]:
    """Return whose changes they are."""
    return [change["customer"] for change in changes]


def problem(response: Response) -> Body:
    """Return a problem document."""
    found: Body = msgspec.json.decode(response.content)
    return found
