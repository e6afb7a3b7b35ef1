"""The worker: old entries go, new ones stay, an outage passes, and a signal ends it."""

import asyncio
import io
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from entitlements.policy import BUILT_IN
from entitlements.store import keys
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.store import Store
from entitlements.worker import work
from tests.support import stores
from tests.support.bodies import event
from tests.support.command import environment, refusal, run, running
from tests.support.quarantined import leave
from tests.support.servers import client, eventually, frozen

LOGS = [keys.shared(0, "log"), keys.shared(63, "log"), keys.shared(7, "changes")]
OLD, NEW = 300, 5


def fill(url: str, now: int) -> None:
    """Write old and new entries: the new ones as old as is still retained."""
    kept_ms = (now - BUILT_IN.log_retention) * 1000
    with client(url) as redis, redis.pipeline() as pipeline:
        for name in LOGS:
            for n in range(OLD):
                pipeline.xadd(name, {"n": n}, id=f"{kept_ms - OLD + n}-0")
            for n in range(NEW):
                pipeline.xadd(name, {"n": n}, id=f"{kept_ms + n}-0")
        pipeline.execute()


def held(url: str) -> list[int]:
    """Return how many entries each stream holds."""
    with client(url) as redis:
        return [int(redis.xlen(name)) for name in LOGS]


@asynccontextmanager
async def working(url: str, now: int) -> AsyncGenerator[None]:
    """Let the worker go round on a store for as long as the block runs; its clock stands still."""
    store = await Store.open(url, name="test")
    await store.policy(BUILT_IN)
    task = asyncio.create_task(work(store, clock=lambda: now, every=0.01))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await store.close()


@pytest.mark.asyncio
async def test_what_waits_in_the_quarantine_is_told(store_url: str, log_lines: io.StringIO) -> None:
    """In every round, until somebody settles it."""
    async with stores.opened(store_url) as store:
        await leave(store, event({}))
    async with working(store_url, int(time.time())):
        await eventually(lambda: '"quarantine"' in log_lines.getvalue())
    assert '"waiting":1' in log_lines.getvalue().replace(" ", "")


@pytest.mark.asyncio
async def test_what_is_no_longer_retained_goes(store_url: str, log_lines: io.StringIO) -> None:
    """Old entries of every partition's log and changes are dropped, but for less than a node of them."""
    fill(store_url, now := int(time.time()))
    async with working(store_url, now):
        await eventually(lambda: max(held(store_url)) < OLD)
        await eventually(lambda: '"retention"' in log_lines.getvalue())

    assert all(NEW <= left < NEW + 150 for left in held(store_url))


@pytest.mark.asyncio
async def test_what_is_retained_stays(store_url: str, log_lines: io.StringIO) -> None:
    """The newest entries are all there after the trimming, the very oldest that is retained included."""
    fill(store_url, now := int(time.time()))
    async with working(store_url, now):
        await eventually(lambda: '"retention"' in log_lines.getvalue())

    with client(store_url) as redis:
        kept = f"{(now - BUILT_IN.log_retention) * 1000}-0"
        assert [len(redis.xrange(name, min=kept) or ()) for name in LOGS] == [NEW] * len(LOGS)


@pytest.mark.asyncio
async def test_an_outage_passes(own_store: EmbeddedStore, log_lines: io.StringIO) -> None:
    """A store that does not answer is said in the log and tried again; the work is done once it is back."""
    fill(own_store.url, now := int(time.time()))
    async with working(own_store.url, now - 2 * BUILT_IN.log_retention):  # nothing is old yet
        with frozen(own_store.pid):
            await eventually(lambda: '"worker_round_failed"' in log_lines.getvalue())
    async with working(own_store.url, now):
        await eventually(lambda: max(held(own_store.url)) < OLD)


@pytest.mark.asyncio
async def test_it_can_be_cancelled_at_any_moment(store_url: str) -> None:
    """Whatever it is doing just then, a cancellation ends it soon."""
    store = await Store.open(store_url, name="test")
    for ms in range(20):
        task = asyncio.create_task(work(store, every=0))
        await asyncio.sleep(ms / 1000)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait({task})
        assert task.cancelled()
    await store.close()


def test_without_a_store_it_does_not_start(tmp_path: Path) -> None:
    """Neither an address nor a running service: one sentence says which of them to set or start."""
    said = refusal(run("worker", ENTITLEMENTS_DATA_DIR=str(tmp_path / "none")))

    assert said.startswith(
        f"No store runs in {tmp_path}/none, and ENTITLEMENTS_REDIS_URL is not set."
    )


def test_a_store_that_would_lose_events_is_refused(own_store: EmbeddedStore) -> None:
    """The worker is no less careful than the server, and ends where it cannot do its work."""
    with client(own_store.url) as redis:
        redis.config_set("appendonly", "no")

    assert "appendonly is no and must be yes" in refusal(
        run("worker", ENTITLEMENTS_REDIS_URL=own_store.url)
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process(
    tmp_path: Path, short_path: Path, own_store: EmbeddedStore, number: signal.Signals
) -> None:
    """It works on the store that runs in its directory, until a signal; then it ends with exit code 0."""
    env = environment(ENTITLEMENTS_DATA_DIR=str(short_path / "own"))
    fill(own_store.url, int(time.time()))
    with running("worker", home=tmp_path, env=env) as process:
        process.until('"retention"')
        assert process.stop(number) == 0

    assert "Traceback" not in process.err
    assert max(held(own_store.url)) < OLD
