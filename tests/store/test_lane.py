"""Many callers, one connection: each gets its own answer, soon, and once more where the connection is lost."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from entitlements.errors import StoreUnavailable
from entitlements.store.address import address
from entitlements.store.client import TIMEOUT, connect
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.lane import Asking, Lane, Piped, lane
from tests.support.servers import SOON, client, eventually, frozen, line_to, until

SCRIPT = "redis.call('INCR', KEYS[1]) return {ARGV[1], redis.call('GET', KEYS[1])}"


@asynccontextmanager
async def asking(url: str, kind: type[Lane | Piped] = Lane) -> AsyncGenerator[Asking]:
    """Give one of the two ways to ask a server."""
    async with connect(url, "test") as redis:
        found: Asking = Lane(url, "test") if kind is Lane else Piped(redis)
        try:
            yield found
        finally:
            await found.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [Lane, Piped])
async def test_everybody_gets_their_own_answers(store_url: str, kind: type[Lane | Piped]) -> None:
    """In the order of their questions, however many ask at once."""
    async with asking(store_url, kind) as ask:

        async def own(n: int) -> list[object]:
            return await ask.ask(("SET", f"k{n}", n), ("GET", f"k{n}"), ("GET", f"none{n}"))

        found = await asyncio.gather(*(own(n) for n in range(50)))
        assert [replies[1:] for replies in found] == [[str(n).encode(), None] for n in range(50)]
        assert await ask.ask() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [Lane, Piped])
async def test_a_script_runs_where_it_is_not_known_yet(
    store_url: str, kind: type[Lane | Piped]
) -> None:
    """The first time, and after a server has forgotten all scripts."""
    async with connect(store_url, "script") as redis, asking(store_url, kind) as ask:
        script = redis.register_script(SCRIPT)
        assert await ask.run(script, ["n"], ["a"]) == [b"a", b"1"]
        await redis.script_flush()
        assert await ask.run(script, ["n"], ["b"]) == [b"b", b"2"]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [Lane, Piped])
async def test_a_refusal_is_whose_it_is(store_url: str, kind: type[Lane | Piped]) -> None:
    """One caller's error says what the server says; the others have their answers."""
    async with asking(store_url, kind) as ask:
        right = asyncio.ensure_future(ask.ask(("ECHO", "mine")))
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await ask.ask(("SET", "k", "v"), ("LPUSH", "k", "x"))
        assert await right == [b"mine"]


@pytest.mark.asyncio
async def test_one_connection_serves_all(store_url: str) -> None:
    """It is known by its name, is made when it is first needed, and closed at the end."""

    def named() -> int:
        with client(store_url) as plain:
            return sum(found["name"] == "lane" for found in plain.client_list())

    one = Lane(store_url, "lane")
    assert named() == 0
    await asyncio.gather(*(one.ask(("PING",)) for _ in range(50)))
    assert named() == 1
    await one.close()
    await eventually(lambda: named() == 0)


@pytest.mark.asyncio
async def test_a_lost_reply_is_asked_for_again(store_url: str, short_path: Path) -> None:
    """Once, on another connection; whatever waited behind it likewise."""
    async with line_to(store_url, short_path) as line, asking(line.url) as ask:
        for _ in range(2):  # on a new connection, and on one that was in use
            line.lose_reply_to(b"INCR")
            found = await asyncio.gather(*(ask.ask(("INCR", f"n{n}")) for n in range(3)))
            assert line.lost
            line.lost = 0
        assert found == [[4], [4], [4]]


@pytest.mark.asyncio
async def test_a_frozen_server_is_told_soon_and_comes_back(own_store: EmbeddedStore) -> None:
    """To everybody who asks; and nobody is given a reply that was meant for somebody before."""
    async with asking(own_store.url) as ask:
        await ask.ask(("SET", "k", "v"))
        for _ in range(2):
            with frozen(own_store.pid):
                began = time.monotonic()
                asked = (ask.ask(("ECHO", f"old{n}")) for n in range(20))
                found = await asyncio.gather(*asked, return_exceptions=True)
                assert time.monotonic() - began < SOON
            assert {type(error) for error in found} == {StoreUnavailable}
            assert await ask.ask(("GET", "k")) == [b"v"]


@pytest.mark.asyncio
async def test_who_gives_up_leaves_no_reply_behind(own_store: EmbeddedStore) -> None:
    """The next caller gets its own answer."""
    async with asking(own_store.url) as ask:
        await ask.ask(("PING",))
        with frozen(own_store.pid):
            left = asyncio.ensure_future(ask.ask(("ECHO", "old")))
            await asyncio.sleep(0)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
        assert await ask.ask(("ECHO", "new")) == [b"new"]


@pytest.mark.asyncio
async def test_a_process_that_was_late_itself_reads_what_has_come(store_url: str) -> None:
    """The server is not to blame: its reply is taken, and the connection kept."""
    async with asking(store_url) as ask:
        (before,) = await ask.ask(("CLIENT", "ID"))
        asked = asyncio.ensure_future(ask.ask(("CLIENT", "ID")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(2 * TIMEOUT)  # noqa: ASYNC251  that is what it is about
        assert await asked == [before]
        await asyncio.sleep(2 * TIMEOUT)  # beyond the look at what was late
        assert await ask.ask(("CLIENT", "ID")) == [before]


@pytest.mark.asyncio
async def test_a_server_that_was_started_anew_is_found(short_path: Path) -> None:
    """Callers are told soon while it is away, and need do nothing afterwards."""
    home = short_path / "own"
    with EmbeddedStore.start(home) as store:
        url = store.url
    async with asking(url) as ask:
        with EmbeddedStore.start(home) as store:
            await ask.ask(("SET", "k", "v"))
            os.kill(store.pid, signal.SIGKILL)
            until(lambda: not store.alive())
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await ask.ask(("GET", "k"))
            assert time.monotonic() - began < SOON
        with EmbeddedStore.start(home):
            assert await ask.ask(("GET", "k")) == [b"v"]


@pytest.mark.asyncio
async def test_it_logs_in_and_takes_its_database(own_store: EmbeddedStore) -> None:
    """By what the address says; a wrong password is refused in the server's own words."""
    with client(own_store.url) as plain:
        plain.config_set("requirepass", "s3cret")
    at = own_store.url.removeprefix("unix://")
    async with asking(f"unix://:s3cret@{at}?db=3") as ask:
        await ask.ask(("SET", "k", "v"))
    async with asking(f"unix://default:s3cret@{at}?db=3") as ask:
        assert await ask.ask(("GET", "k")) == [b"v"]
    async with asking(f"unix://default:s3cret@{at}") as ask:
        assert await ask.ask(("GET", "k")) == [None]
    async with asking(f"unix://:wrong@{at}") as ask:
        with pytest.raises(StoreUnavailable, match="WRONGPASS"):
            await ask.ask(("GET", "k"))


@pytest.mark.asyncio
async def test_a_port_does_as_well_as_a_socket(servers: Callable[[str], str]) -> None:
    """A node of a cluster listens on one."""
    host, port = address(servers("cluster")).nodes[0]
    async with asking(f"redis://{host}:{port}") as ask:
        assert await ask.ask(("ECHO", "here")) == [b"here"]


@pytest.mark.asyncio
async def test_what_cannot_be_reached_is_told(short_path: Path) -> None:
    """A socket that is missing, a port that is closed."""
    for url in (f"unix://{short_path}/none.sock", "redis://127.0.0.1:1/0"):
        async with asking(url) as ask:
            with pytest.raises(StoreUnavailable, match="Try again shortly"):
                await ask.ask(("PING",))


@pytest.mark.asyncio
async def test_what_waits_when_it_is_closed_is_told(own_store: EmbeddedStore) -> None:
    """Nobody waits for ever."""
    one = Lane(own_store.url, "test")
    await one.ask(("PING",))
    with frozen(own_store.pid):
        asked = asyncio.ensure_future(one.ask(("PING",)))
        await asyncio.sleep(0)
        await one.close()
        with pytest.raises(StoreUnavailable):
            await asked
    await one.close()


@pytest.mark.asyncio
async def test_who_needs_more_than_one_server_is_piped(store_url: str) -> None:
    """TLS, a cluster, Sentinels and replicas go by redis-py; one server goes by a lane, also over TCP."""
    async with connect(store_url, "test") as redis:
        addresses = ("redis+cluster://h:1", "redis+sentinel://h:1/s/0", "rediss://h:1")
        kinds = [type(lane(url, "test", redis, replicated=False)) for url in addresses]
        assert kinds == [Piped, Piped, Piped]
        assert type(lane(store_url, "test", redis, replicated=True)) is Piped
        for url in ("redis://h:1", store_url):
            assert type(lane(url, "test", redis, replicated=False)) is Lane
