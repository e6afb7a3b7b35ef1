"""Readers of the change feed, in a process of their own: `python -m tests.bench.readers COUNT HOST PORT TOKEN`.

It says `joined` once all of them have heard the feed, and when its input ends, how many changes each was told.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import msgspec
import uvloop
from msgspec import Struct

from tests.bench import machine
from tests.bench.stage import TOP, Server, tokens
from tests.bench.wire import get

BEGINS, HEARD, CHANGE = b"HTTP/1.1 200 ", b"event: heartbeat\n", b"event: change\n"
EVERY = 0.002
"""Seconds between two who join."""


class Told(Struct, frozen=True):
    """How many changes readers were told (one number, if all were told as many), and how many were cut off."""

    changes: list[int]
    lost: int


class Reader(asyncio.Protocol):
    """One connection to the feed."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.joined = asyncio.Event()
        self.told = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the feed."""
        cast("asyncio.Transport", transport).write(self._request)  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        """Count the changes; the end of what came may be the beginning of a word."""
        came = self._rest + data
        if not self.joined.is_set():
            self.lost = not came.startswith(BEGINS[: len(came)])
            if HEARD not in came and not self.lost:
                self._rest = came
                return
            self.joined.set()
        self.told += came.count(CHANGE)
        self._rest = came[1 - len(CHANGE) :]  # shorter than the word, so that none counts twice

    def connection_lost(self, _: Exception | None) -> None:
        """Take note of a feed that ended."""
        self.lost = True
        self.joined.set()


@contextmanager
def reading(count: int, server: Server, processors: frozenset[int]) -> Iterator["Readers"]:
    """Have so many readers of a service for as long as the block runs."""
    ((host, port),) = [address for address in server.addresses if isinstance(address, tuple)]
    command = [sys.executable, "-m", "tests.bench.readers", str(count), host, str(port)]
    with (
        machine.pinned(processors),
        subprocess.Popen(
            [*command, tokens()[0]], cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
    ):
        readers = Readers(process)
        try:
            yield readers
        finally:
            process.kill()


class Readers:
    """The process of the readers, all of whom have joined."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        assert process.stdout
        assert process.stdout.readline() == b"joined\n"

    def end(self) -> Told:
        """Let them leave; return what they were told."""
        said, _ = self._process.communicate()
        return msgspec.json.decode(said, type=Told)


async def read(count: int, host: str, port: int, token: str) -> Told:
    """Read the feed until the input ends."""
    loop, request = asyncio.get_running_loop(), get("/v1/changes", token)
    readers = list[Reader]()
    for _ in range(count):
        _, reader = await loop.create_connection(lambda: Reader(request), host, port)
        readers.append(reader)
        await asyncio.sleep(EVERY)
    for reader in readers:
        await reader.joined.wait()
    sys.stdout.write("joined\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    told = {reader.told for reader in readers}
    return Told(sorted(told), sum(reader.lost for reader in readers))


def main(count: str, host: str, port: str, token: str) -> None:
    """Read, and tell."""
    told = uvloop.run(read(int(count), host, int(port), token))
    sys.stdout.buffer.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
