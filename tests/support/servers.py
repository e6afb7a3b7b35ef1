"""Real servers to break: frozen, configured wrongly, replicated, or behind a line that loses replies."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import redis
from redis.cluster import ClusterNode
from redis.sentinel import Sentinel

from entitlements.store.address import address
from entitlements.store.embedded import EmbeddedStore

SOON = 1.5
"""Seconds: within one, and what a busy machine adds to it."""

SAFE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Poll a condition; fail when it has not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


async def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Poll a condition while the loop goes on; fail when it has not come true in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what happens elsewhere sets no event
            await asyncio.sleep(0.01)


@contextmanager
def client(url: str) -> Iterator[redis.Redis]:
    """Give a plain client of a store of any kind, for what a test itself asks of it."""
    with ExitStack() as closing:
        yield closing.enter_context(_client(url, closing))


def _client(url: str, closing: ExitStack) -> redis.Redis:
    scheme = url.partition("://")[0]
    if scheme == "redis+cluster":
        node: Any = ClusterNode  # its constructor has no types
        nodes = [node(host, port) for host, port in address(url).nodes]
        return cast("redis.Redis", redis.RedisCluster(startup_nodes=nodes))
    if scheme == "redis+sentinel":
        to = address(url)
        sentinels: Any = Sentinel  # its constructor has no types
        found = sentinels(to.nodes)
        for each in found.sentinels:
            closing.enter_context(each)
        return cast("redis.Redis", found.master_for(to.service, db=to.db))
    return redis.Redis.from_url(url, decode_responses=False)


@contextmanager
def server(binary: str, home: Path) -> Iterator[str]:
    """Run a Redis or a Valkey from its own executable, set up safely; give its URL."""
    path = home / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--dir", str(home), "--save", "", *SAFE]
    with (
        (home / "redis.log").open("wb") as log,
        subprocess.Popen([binary, *options], stdout=log, stderr=log) as process,
    ):
        try:
            until(lambda: _answers(f"unix://{path}"))
            yield f"unix://{path}"
        finally:
            process.terminate()


class Breakable:
    """A server of its own executable, to be killed and started again in its directory, with whatever options."""

    def __init__(self, binary: str, home: Path) -> None:
        self.home = home
        self.url = f"unix://{home / 'redis.sock'}"
        self._command = [binary, "--port", "0", "--unixsocket", str(home / "redis.sock")]
        self._command += ["--dir", str(home), "--save", "", *SAFE]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it, and return once it answers in whatever way: it may still be loading."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([*self._command, *options], stdout=quiet, stderr=quiet)
        until(lambda: _answers(self.url, whatever=True))

    def ended(self) -> bool:
        """Tell whether it does not run."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """Send SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def breakable(binary: str, home: Path) -> Iterator[Breakable]:
    """Give a server that runs, and end it after the block."""
    found = Breakable(binary, home)
    try:
        found.start()
        yield found
    finally:
        found.kill()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a child process where it stands, and let it go on after the block."""
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)  # the signal is sent, and takes effect a little later
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def replicate(primary: EmbeddedStore, replica: EmbeddedStore) -> None:
    """Attach a replica, and return once it is in step."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with client(primary.url) as up, client(replica.url) as down:
        up.config_set("repl-diskless-sync-delay", 0)
        up.config_set("bind", "127.0.0.1")
        up.config_set("port", port)
        down.replicaof("127.0.0.1", port)
        until(lambda: down.info("replication")["master_link_status"] == "up")
        until(lambda: up.info("replication").get("slave0", {}).get("state") == "online")


class Line:
    """A line to a server, which can lose one reply: the command has been done, and nobody hears of it.

    Replies take `delay` seconds on their way.
    """

    def __init__(self, url: str, upstream: Path) -> None:
        self.url = url
        self.lost = 0
        self.delay = 0.0
        self._upstream = upstream
        self._needle: bytes | None = None
        self._losing = False

    def lose_reply_to(self, needle: bytes) -> None:
        """Lose the reply to the next command that holds these bytes, and break that connection."""
        self._needle = needle

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        async with _closing(writer):
            up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
            async with _closing(up_writer):
                ways = [
                    asyncio.create_task(self._ask(reader, up_writer)),
                    asyncio.create_task(self._answer(up_reader, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await _read(reader):
            self._losing = self._needle is not None and self._needle in request
            writer.write(request)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while reply := await _read(reader):
            if self._losing:
                self._losing, self._needle, self.lost = False, None, self.lost + 1
                return
            await asyncio.sleep(self.delay)
            writer.write(reply)


@asynccontextmanager
async def line_to(url: str, home: Path) -> AsyncGenerator[Line]:
    """Give a line to the server of a unix:// URL."""
    path = home / "line.sock"
    line = Line(f"unix://{path}", Path(unquote(url.removeprefix("unix://"))))
    carried: list[asyncio.Task[None]] = []

    def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried.append(asyncio.create_task(line.carry(reader, writer)))

    async with await asyncio.start_unix_server(carry, path):
        yield line
        await asyncio.gather(*carried)  # the client has closed its ends by now


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read what has come; nothing where the other end is gone, in whatever way."""
    with suppress(ConnectionError):
        return await reader.read(2**20)
    return b""


def _answers(url: str, *, whatever: bool = False) -> bool:
    try:
        with client(url) as found:
            return bool(found.ping())
    except redis.BusyLoadingError:
        return whatever
    except redis.ConnectionError:
        return False
