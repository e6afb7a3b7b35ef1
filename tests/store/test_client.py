"""A store that hangs, is gone or refuses: one kind of error, soon, and no scar left."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import redis.exceptions

from entitlements.errors import StoreUnavailable
from entitlements.store.client import CONNECTIONS, PATIENCE, connect, reaching
from entitlements.store.embedded import EmbeddedStore
from tests.support.servers import SOON, client, frozen, until


async def failing(url: str) -> float:
    """Return how long one command on a new client takes to fail."""
    async with connect(url, "test") as redis:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="Try again shortly"):
            async with reaching():
                await redis.get("k")
        return time.monotonic() - began


@pytest.mark.asyncio
async def test_a_client_is_known_by_its_name(store_url: str) -> None:
    """CLIENT LIST tells an operator which connections are whose."""
    async with connect(store_url, "entitlements-test") as redis:
        await redis.ping()
        with client(store_url) as plain:
            assert "entitlements-test" in {found["name"] for found in plain.client_list()}


@pytest.mark.asyncio
async def test_a_server_that_was_never_there_is_unavailable(short_path: Path) -> None:
    """Neither a missing socket nor a closed port keeps a caller waiting."""
    assert await failing(f"unix://{short_path}/none.sock") < SOON
    assert await failing("redis://127.0.0.1:1/0") < SOON


@pytest.mark.asyncio
async def test_a_frozen_server_is_unavailable_within_a_second(own_store: EmbeddedStore) -> None:
    """New connections, which the kernel still accepts, do not wait for ever."""
    with frozen(own_store.pid):
        assert await failing(own_store.url) < SOON


@pytest.mark.asyncio
async def test_a_server_that_freezes_is_known_within_a_second_and_comes_back(
    own_store: EmbeddedStore,
) -> None:
    """Connections that were in use fail as soon; when the server goes on, so does the client, by itself."""
    took = []
    async with connect(own_store.url, "test") as redis:
        await redis.set("k", "v")
        for _ in range(2):
            with frozen(own_store.pid):
                began = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    async with reaching():
                        await redis.get("k")
                took.append(time.monotonic() - began)
            assert await redis.get("k") == b"v"
    assert min(took) < PATIENCE + 0.1  # the better one: a busy machine may be late once
    assert PATIENCE < 1


@pytest.mark.asyncio
async def test_more_callers_than_connections_are_told_within_a_second(
    own_store: EmbeddedStore,
) -> None:
    """Those who wait for a connection wait no longer than those who have one."""
    async with connect(own_store.url, "test") as redis:

        async def call() -> None:
            async with reaching():
                await redis.get("k")

        await asyncio.gather(*(call() for _ in range(CONNECTIONS)))
        with frozen(own_store.pid):
            began = time.monotonic()
            calls = (call() for _ in range(CONNECTIONS + 16))
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert time.monotonic() - began < SOON
        assert {type(error) for error in found} == {StoreUnavailable}


@pytest.mark.asyncio
async def test_a_caller_who_gave_up_leaves_no_reply_behind(own_store: EmbeddedStore) -> None:
    """A connection whose caller went away in the middle is not used again: no one gets another one's answer."""
    async with connect(own_store.url, "test") as redis:
        await redis.mset({f"k{n}": f"v{n}" for n in range(10)})
        with frozen(own_store.pid):
            calls = [asyncio.ensure_future(redis.get("k0")) for _ in range(10)]
            await asyncio.sleep(0.05)
            for task in calls:
                task.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        found = await asyncio.gather(*(redis.get(f"k{n}") for n in range(10)))
        assert found == [f"v{n}".encode() for n in range(10)]


@pytest.mark.asyncio
async def test_a_server_that_is_restarted_is_found_again(short_path: Path) -> None:
    """While it is away callers are told within a second; afterwards nothing need be done."""
    home = short_path / "own"
    with EmbeddedStore.start(home) as store:
        url = store.url
    async with connect(url, "test") as redis:
        with EmbeddedStore.start(home) as store:
            await redis.set("k", "v")
            os.kill(store.pid, signal.SIGKILL)
            until(lambda: not store.alive())
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                async with reaching():
                    await redis.get("k")
            assert time.monotonic() - began < SOON
        with EmbeddedStore.start(home):
            assert await redis.get("k") == b"v"


@pytest.mark.asyncio
async def test_a_refusal_is_a_failure_that_passes(own_store: EmbeddedStore) -> None:
    """A server out of memory refuses writes and goes on answering reads."""
    async with connect(own_store.url, "test") as redis:
        await redis.set("k", "v")
        with client(own_store.url) as plain:
            plain.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable, match="OutOfMemoryError"):
            async with reaching():
                await redis.set("k", "w")
        assert await redis.get("k") == b"v"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (redis.exceptions.ReadOnlyError("READONLY"), r"\(ReadOnlyError: READONLY\)"),
        (ConnectionResetError(), r"\(ConnectionResetError\)"),
        (TimeoutError(), r"\(TimeoutError\)"),
    ],
)
async def test_whatever_the_client_raises_is_one_error(error: Exception, said: str) -> None:
    """Its message names the cause, also where that has no words of its own."""
    with pytest.raises(StoreUnavailable, match=said):
        async with reaching():
            raise error


@pytest.mark.asyncio
async def test_our_own_faults_stay_what_they_are() -> None:
    """A bug is not taken for a store that is out of reach."""
    with pytest.raises(ZeroDivisionError):
        async with reaching():
            _ = 1 / 0


@pytest.mark.asyncio
async def test_a_caller_who_is_stopped_stops() -> None:
    """Also where the client did not hear of it, as may happen in the moment in which it sends."""

    async def call() -> None:
        async with reaching():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(PATIENCE / 2)

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
