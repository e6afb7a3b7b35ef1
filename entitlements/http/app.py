"""The one place where the service is put together."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import cache as once
from functools import partial
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from entitlements.answers import Answers
from entitlements.beside import beside
from entitlements.cache import Cache
from entitlements.errors import EntitlementsError, StoreError
from entitlements.http import (
    authzen,
    changes,
    customers,
    docs,
    health,
    ofrep,
    openapi,
    operations,
    queries,
    webhooks,
)
from entitlements.http.problems import on_crash, on_error, on_http_error
from entitlements.http.request_id import RequestID
from entitlements.http.shortcut import Shortcut
from entitlements.http.signing import Signing
from entitlements.http.state import Readiness, State
from entitlements.http.straight import Straight
from entitlements.http.watch import EVERY, Watch
from entitlements.ingest import Ingest
from entitlements.policy import Policy
from entitlements.policy_load import load
from entitlements.replay.background import Background
from entitlements.settings import Settings
from entitlements.store.feed import Feed
from entitlements.store.notices import Notices
from entitlements.store.store import Store
from entitlements.stripe_api import required

POLICY_EVERY = 1.0
"""Seconds between looks at which policy is in force. `preview.LAG` counts on it."""

_SURFACES = {
    "webhooks": webhooks.routes,
    "queries": [
        *queries.routes,
        *customers.routes,
        *authzen.routes,
        *ofrep.routes,
        *changes.routes,
    ],
    "operations": operations.routes,
}

log = structlog.get_logger()


@asynccontextmanager
async def open_state(
    settings: Settings,
    store_url: str,
    *,
    clock: Callable[[], float] = time.time,
    watch_every: float = EVERY,
) -> AsyncGenerator[State]:
    """Open all that the handlers need, and close it again.

    `clock` gives Unix seconds; the store is watched every `watch_every` seconds. Raises PolicyError, StoreUnavailable
    or StoreUnsafe.
    """
    configured = load(settings.policy_file)
    async with (
        _open(settings, store_url, "webhooks") as writes,
        _open(settings, store_url, "queries") as reads,
        _open(settings, store_url, "watch") as watched,
        _open(settings, store_url, "feed") as streams,
        _open(settings, store_url, "replays") as replayed,
    ):
        policy = await _in_force(writes, configured)
        feed = Feed(streams, changes.frame)
        feed.notices.on_alive(lambda alive: alive or log.warning("feed_interrupted"))
        cache = _informed(Cache(reads), feed.notices, (writes, reads))
        state = State(
            settings=settings,
            clock=clock,
            ingest=Ingest(writes, policy, livemode=settings.livemode),
            answers=Answers(reads, policy, cache),
            store=reads,
            stripe=once(partial(required, settings.stripe_api_key, settings.stripe_api_base)),
            feed=feed,
            signing=Signing(writes),
            watch=Watch(watched, settings.durability),
            readiness=Readiness(feed.end),
            replays=Background(settings, replayed, clock),
            configured=configured,
        )
        await state["watch"].look()
        works = _follow_policy(state), feed.run(), state["watch"].follow(watch_every)
        async with beside(*works), aclosing(state["replays"]):
            yield state


def create_app(state: State) -> Starlette:
    """Return the ASGI application for an opened state."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[State]:
        yield state

    app = _Service(
        state,
        routes=_routes(state["settings"]),
        exception_handlers={
            EntitlementsError: on_error,
            HTTPException: on_http_error,
            Exception: on_crash,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # Stripe takes a redirect for a failure: say 404 instead
    return app


class _Service(Starlette):
    """The framework's application, behind what takes the busiest requests of the surfaces that are served."""

    def __init__(self, state: State, **given: Any) -> None:  # noqa: ANN401  the framework's own
        super().__init__(**given)
        self._state = state

    def build_middleware_stack(self) -> ASGIApp:
        """Return what is called for each request: before all that the framework does for one."""
        app, surfaces = super().build_middleware_stack(), self._state["settings"].surfaces
        if "webhooks" in surfaces:
            app = Straight(app, webhooks.endpoint)
        if "queries" in surfaces:
            app = Shortcut(app, self._state)
        return RequestID(app)


def _routes(settings: Settings) -> list[BaseRoute]:
    chosen = (routes for surface, routes in _SURFACES.items() if surface in settings.surfaces)
    open_to_all = [*health.routes, *openapi.routes, *docs.routes]
    return [*(route for routes in chosen for route in routes), *open_to_all]  # the busiest first


@asynccontextmanager
async def _open(settings: Settings, url: str, name: str) -> AsyncGenerator[Store]:
    """Open a store of its own connections, so that one kind of caller cannot starve another."""
    store = await Store.open(url, name=f"entitlements-{name}", durability=settings.durability)
    try:
        yield store
    finally:
        await store.close()


async def _in_force(store: Store, configured: Policy) -> Policy:
    """Return the policy that decides, and warn where it is not the one that is configured."""
    policy = await store.policy(configured)
    if policy != configured:
        log.warning("policy_differs", in_force=policy.digest, configured=configured.digest)
    return policy


def _informed(cache: Cache, notices: Notices, stores: Iterable[Store]) -> Cache:
    """Let a cache hear of what this process writes before the writer is answered, and of what others write soon."""
    for store in stores:
        store.on_written(cache.written)
    notices.on_written(lambda notice: cache.written(notice.subject, notice.version))
    notices.on_alive(lambda alive: cache.hears(alive=alive))
    return cache


async def _follow_policy(state: State) -> None:
    """Decide by whatever policy is put in force, soon after it is."""
    while True:
        await asyncio.sleep(POLICY_EVERY)
        with suppress(StoreError):  # told by every request already
            policy = await state["store"].policy_in_force()
            state["ingest"].policy = state["answers"].policy = policy
