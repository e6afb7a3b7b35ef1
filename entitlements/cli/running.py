"""What `serve`, `worker` and `dev` share: settings, logs, a store to use, and a loop to run in."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import structlog

from entitlements import logs
from entitlements.beside import beside
from entitlements.errors import SettingsError, StoreError, StoreUnavailable
from entitlements.settings import Settings

if TYPE_CHECKING:
    from entitlements.heal import Healer
    from entitlements.ingest import Ingest
    from entitlements.scheduled import Scheduled
    from entitlements.store.store import Store
    from entitlements.stripe_api import StripeApi

WATCH_EVERY = 0.5
"""Seconds between looks at whether the embedded store still runs."""

log = structlog.get_logger()


def settings_from_environment() -> Settings:
    """Read the settings, once, and send logs where they say."""
    settings = Settings.from_environ(os.environ, stdout_is_terminal=sys.stdout.isatty())
    logs.configure(settings.log_format)
    return settings


class OwnStore(NamedTuple):
    """A store to use: where it is, and whether it still runs as far as this process can tell."""

    url: str
    alive: Callable[[], bool] = lambda: True


@contextmanager
def own_store(settings: Settings) -> Iterator[OwnStore]:
    """Give the store to use; an embedded one runs as long as the block."""
    if settings.redis_url:
        yield OwnStore(settings.redis_url)
        return
    from entitlements.store.embedded import EmbeddedStore

    signal.signal(signal.SIGTERM, _leave)  # until the server listens to it: no store is left behind
    with EmbeddedStore.start(settings.data_dir) as embedded:
        yield OwnStore(embedded.url, embedded.alive)


@contextmanager
def any_store_url(settings: Settings) -> Iterator[str]:
    """Give the address of the store of a service that runs, or run an embedded one for as long as the block."""
    from entitlements.store.embedded import running_url

    found = None if settings.redis_url else running_url(settings.data_dir)
    if found:
        yield found
        return
    with own_store(settings) as store:
        yield store.url


def running_store_url(settings: Settings) -> str:
    """Return the address of a store that already runs: the configured one, or the embedded one of `serve` or `dev`."""
    from entitlements.store.embedded import running_url

    if found := settings.redis_url or running_url(settings.data_dir):
        return found
    raise SettingsError(
        f"No store runs in {settings.data_dir}, and ENTITLEMENTS_REDIS_URL is not set. "
        "Set it, or start `entitlements serve` first."
    )


def paced_stripe(settings: Settings, store: "Store") -> "StripeApi":
    """Return Stripe for a long walk, within the rate that all processes share. Raises StripeKeyMissing."""
    from entitlements.paced import Paced
    from entitlements.store.reads import Reads
    from entitlements.stripe_api import required

    return required(settings.stripe_api_key, settings.stripe_api_base, Paced(Reads(store)))


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def run(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a coroutine to its end in uvloop."""
    import uvloop

    uvloop.run(main())


async def serve(settings: Settings, store: OwnStore, ready: Callable[[str], None]) -> None:
    """Serve HTTP until a signal says stop; beside an embedded store, do the worker's part as well.

    Raises StoreUnavailable if the embedded store ends by itself: whoever supervises the process starts both again.
    """
    from entitlements.http.app import create_app, open_state
    from entitlements.http.server import HttpServer

    async with open_state(settings, store.url) as state:
        server = HttpServer(
            host=settings.host,
            port=settings.port,
            ready=ready,
            on_drain=state["readiness"].drain,
        )
        stop = asyncio.Event()
        _collect_seldom()
        async with beside(_watch(store, stop), *_working(settings, store)):
            await server.serve(create_app(state), stop)
    if not store.alive():
        raise StoreUnavailable(
            f"The embedded store ended by itself; {settings.data_dir}/valkey.log may say why. "
            "What was acknowledged is on disk: start again."
        )


def _collect_seldom() -> None:
    """Leave what the start has made to itself, and look for garbage less often.

    Python's collector stops the loop for as long as it looks through all that is held: with its own thresholds that
    was most of what the slowest of a hundred answers took. Little here makes cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)


def _working(settings: Settings, store: OwnStore) -> list[Coroutine[object, object, None]]:
    return [] if settings.redis_url else [_work_on(settings, store.url)]


async def _work_on(settings: Settings, url: str) -> None:
    """Do the worker's part for as long as this process serves, whatever the store does at its beginning."""
    while True:
        try:
            await work(settings, url)
        except StoreError as error:
            log.warning("worker_did_not_start", detail=str(error))
            await asyncio.sleep(WATCH_EVERY)


async def _watch(store: OwnStore, stop: asyncio.Event) -> None:
    """Stop serving when the store is gone for good."""
    while store.alive():  # noqa: ASYNC110  a process that is gone sets no event
        await asyncio.sleep(WATCH_EVERY)
    stop.set()


async def work(settings: Settings, url: str) -> None:
    """Do the worker's part until cancelled."""
    from entitlements import worker
    from entitlements.ingest import Ingest
    from entitlements.policy_load import load
    from entitlements.store.store import Store

    store = await Store.open(url, name="entitlements-worker", durability=settings.durability)
    try:
        policy = await store.policy(load(settings.policy_file))
        ingest = Ingest(store, policy, livemode=settings.livemode)
        await worker.work(
            store,
            healer=_healer(settings, store, ingest),
            scheduled=_scheduled(settings, store, ingest),
        )
    finally:
        await store.close()


def _healer(settings: Settings, store: "Store", ingest: "Ingest") -> "Healer | None":
    if not settings.stripe_api_key:
        return None
    from entitlements.heal import Healer
    from entitlements.store.reads import Reads
    from entitlements.stripe_api import StripeApi

    api = StripeApi(settings.stripe_api_key, settings.stripe_api_base)
    return Healer(api, Reads(store), ingest)


def _scheduled(settings: Settings, store: "Store", ingest: "Ingest") -> "Scheduled | None":
    """Return the walk of Stripe's subscriptions, if one is to be made. Raises StripeKeyMissing."""
    if settings.reconcile_every is None:
        return None
    from entitlements.scheduled import Scheduled

    api = paced_stripe(settings, store)
    return Scheduled(api, ingest, settings.reconcile_every)
