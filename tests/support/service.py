"""The whole service in this process: its real application over a real store, and a clock that a test turns."""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from httpx2 import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette
from starlette.routing import Route

from entitlements.http.app import create_app, open_state
from entitlements.http.state import State
from entitlements.http.watch import EVERY
from entitlements.sandbox.shapes import Body
from entitlements.settings import Settings, Token
from tests.support.bodies import SECRET, encoded, signed
from tests.support.histories import START

READ, OPERATE = "ent_read_of_the_tests", "ent_operate_of_the_tests"

App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class Clock:
    """Unix seconds, as a test sets them."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Service:
    """The running service: what Stripe posts to it, what callers ask of it."""

    def __init__(
        self, app: Starlette, hosted: App, http: AsyncClient, state: State, clock: Clock
    ) -> None:
        self.app = app
        self.state = state
        self.hosted = hosted
        self.http = http
        self.clock = clock

    async def deliver(self, event: Body, secret: str = SECRET) -> Response:
        """Post an event as Stripe does."""
        return await self.post(encoded(event), secret)

    async def post(self, body: bytes, secret: str = SECRET) -> Response:
        """Post a body with its signature, made now."""
        headers = signed(body, secret, int(self.clock.now))
        return await self.http.post("/webhooks/stripe", content=body, headers=headers)

    async def ask(self, path: str, token: str | None = READ, **headers: str) -> Response:
        """Ask as a product service does. `headers` as keywords, with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(path, headers=bearer(token) | named)

    async def check(self, *checks: object, **headers: str) -> Response:
        """Ask a batch of questions."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(
            "/v1/checks", json={"checks": checks}, headers=bearer(READ) | named
        )


async def counted(service: Service) -> dict[str, float]:
    """Return what /metrics says: names with their labels, and numbers."""
    lines = (await service.http.get("/metrics")).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def bearer(token: str | None) -> dict[str, str]:
    """Return the header that shows a token."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def settings(**given: Any) -> Settings:  # noqa: ANN401  any setting
    """Return settings with one signing secret and a token of each scope."""
    tokens = (
        Token("reader", "read", hashlib.sha256(READ.encode()).digest()),
        Token("operator", "operate", hashlib.sha256(OPERATE.encode()).digest()),
    )
    return Settings(**{"webhook_secrets": (SECRET,), "tokens": tokens} | given)


@asynccontextmanager
async def serving(
    url: str,
    *routes: Route,
    clock: Clock | None = None,
    watch_every: float = EVERY,
    **given: Any,  # noqa: ANN401  any setting
) -> AsyncGenerator[Service]:
    """Run the service on a store, with more routes if a test brings some. Its clock stands at START + 10."""
    clock = clock or Clock(START + 10)
    async with open_state(settings(**given), url, clock=clock, watch_every=watch_every) as state:
        app = create_app(state)
        app.router.routes += routes
        async with (
            _living(app) as hosted,
            AsyncClient(
                transport=ASGITransport(hosted, raise_app_exceptions=False),
                base_url="http://service.test",
            ) as http,
        ):
            yield Service(app, hosted, http, state, clock)


@asynccontextmanager
async def _living(app: Starlette) -> AsyncGenerator[App]:
    """Run an application's lifespan as a server does: what it yields is the state of every request."""
    async with app.router.lifespan_context(app) as shared:

        async def hosted(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI's
            await app({**scope, "state": dict(shared or {})}, receive, send)

        yield hosted
