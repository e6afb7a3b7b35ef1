"""The load generator: a process of its own, which reads a job from its input and writes its result to its output.

It has to be faster than what it measures, so it does little: requests are bytes that were made before, an answer is
looked through for its length and for what it must hold, and nothing is collected or logged meanwhile. It tells how much
of its processor it used itself, so that it can be seen when it was the limit.
"""

import asyncio
import gc
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from tests.bench import machine
from tests.bench.figures import latency, percentile
from tests.bench.job import Address, Job, Result
from tests.bench.wire import REFUSED, WIRES, Wrong

TICK = 0.000_25
"""Seconds between looks at what is due under a rate: finer than the timers of an event loop, so that signals tell."""

PATIENCE = 10.0
"""Seconds for what is under way at the end to be answered."""

SAID = 5
"""How many of the wrong answers are told."""

now = time.perf_counter_ns


def measure(job: Job, processors: frozenset[int]) -> Result:
    """Run a job in a generator of its own, on these processors, to its end."""
    with machine.pinned(processors):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.bench.generator"],
            input=msgspec.msgpack.encode(job),
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            timeout=job.warm + job.seconds + 6 * PATIENCE,
            check=True,
        )
    return msgspec.msgpack.decode(ended.stdout, type=Result)


class Load:
    """All connections together: what is sent next, and what came back. Times are in nanoseconds."""

    def __init__(self, job: Job) -> None:
        self.end = WIRES[job.wire].end
        self.refused = 0
        self.took: list[int] = []
        self.wrong: list[str] = []
        self.over = asyncio.Event()
        self.open = 0
        """Requests that are under way."""
        self._expects = job.expects
        self._times = job.times
        self._forgives = job.forgives
        self._counts_from = sys.maxsize
        self._requests = iter(job.requests) if job.once else itertools.cycle(job.requests)

    def free(self, connection: "Connection") -> None:
        """Send the next request on a connection that can take one."""
        if (request := self.next()) is not None:
            connection.send(request, now())

    def next(self) -> bytes | None:
        """Return the next request; null where it is over."""
        if self.over.is_set():
            return None
        request = next(self._requests, None)
        if request is None:
            self.over.set()
        return request

    def answered(self, answer: bytes, since: int) -> None:
        """Take note of an answer. Raises Wrong where it is not the one expected."""
        self.open -= 1
        if self._forgives and answer.startswith(REFUSED):
            self.refused += 1
            return
        if answer.count(self._expects) != self._times:
            raise Wrong(answer[:1000].decode(errors="replace"))
        if since >= self._counts_from:
            self.took.append(now() - since)

    def is_wrong(self, what: str) -> None:
        """Take note of what is not right, and end."""
        self.wrong.append(what)
        self.over.set()

    def begin(self) -> None:
        """Count what is answered from now on."""
        self._counts_from = 0

    def finish(self) -> None:
        """Send no more, and count no more: what is under way belongs to the time after."""
        self.over.set()
        self._counts_from = sys.maxsize

    def late(self) -> float:
        """Return by how many seconds it sent too late itself, at the 99th percentile: nothing is ever due here."""
        return 0.0


class OnTime(Load):
    """Requests that are due at a rate, whatever has become of earlier ones: each is timed from when it was due."""

    def __init__(self, job: Job, rate: float) -> None:
        super().__init__(job)
        self._every = 1e9 / rate
        self._began = now()
        self._sent = 0
        self._idle: list[Connection] = []
        self._waiting = deque[tuple[bytes, int]]()
        self._late: list[int] = []

    def free(self, connection: "Connection") -> None:
        """Send what waits longest on a connection that can take it."""
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def start(self) -> None:
        """Let requests become due from now on: connections are there to take them."""
        self._began = now()

    def begin(self) -> None:
        """Count what becomes due from now on."""
        self._counts_from = now()
        self._late.clear()

    def tick(self) -> None:
        """Send what has become due, or let it wait for a connection."""
        at = now()
        while (due := self._began + int(self._sent * self._every)) <= at:
            if (request := self.next()) is None:
                return
            self._sent += 1
            self._late.append(at - due)
            if self._idle:
                self._idle.pop().send(request, due)
            else:
                self._waiting.append((request, due))

    def finish(self) -> None:
        """Let nothing more become due. What is due already is still sent, and counts however late it is answered."""
        self.over.set()

    def late(self) -> float:
        """Return by how many seconds it sent too late itself, at the 99th percentile."""
        return percentile(sorted(self._late), 0.99) / 1e9


class Connection(asyncio.Protocol):
    """One connection: requests go out, answers come back in their order."""

    def __init__(self, load: Load, depth: int) -> None:
        self._load = load
        self._depth = depth
        self._rest = b""
        self._since = deque[int]()
        self._write: Callable[[bytes], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._write = cast("asyncio.Transport", transport).write  # uvloop's own class
        for _ in range(self._depth):
            self._load.free(self)

    def send(self, request: bytes, since: int) -> None:
        """Send a request, timed from `since`."""
        self._load.open += 1
        self._since.append(since)
        self._write(request)

    def data_received(self, data: bytes) -> None:
        """Look through what came for whole answers."""
        load, rest = self._load, self._rest + data if self._rest else data
        try:
            while rest and (end := load.end(rest)):
                load.answered(rest[:end], self._since.popleft())
                rest = rest[end:]
                load.free(self)
        except Wrong as wrong:
            load.is_wrong(str(wrong))
        self._rest = rest

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of a server that left."""
        if self._load.open:
            self._load.is_wrong(f"a connection was closed under way: {exc}")


async def run(job: Job) -> Result:
    """Do a job."""
    load = Load(job) if job.rate is None else OnTime(job, job.rate)
    transports = [await _connect(job, load, at) async for at in _one_by_one(job)]
    if isinstance(load, OnTime):
        _tick(load)
    await _until(load, job.warm / 2)
    if load.over.is_set() and not load.wrong:
        load.is_wrong("there were too few requests to become warm")
    watched = job.watched | {"generator": os.getpid()}
    load.begin()
    before, busy, began = machine.used(watched), machine.busy(), now()
    await _until(load, job.seconds)
    load.finish()
    seconds = (now() - began) / 1e9
    used = {name: end - before[name] for name, end in machine.used(watched).items()}
    others = machine.busy() - busy - sum(used.values())
    await _drained(load)
    signal.setitimer(signal.ITIMER_REAL, 0)
    load.open = 0
    for transport in transports:
        transport.abort()
    return Result(
        answers=len(load.took),
        seconds=seconds,
        latency=latency(load.took),
        late=load.late(),
        refused=load.refused,
        wrong=load.wrong[:SAID],
        used=used,
        others=max(0.0, others / seconds),
    )


async def _one_by_one(job: Job) -> AsyncIterator[Address]:
    """Let the load rise in the first half of the time before it counts."""
    for n in range(job.connections):
        yield job.addresses[n % len(job.addresses)]
        await asyncio.sleep(job.warm / 2 / job.connections)


async def _connect(job: Job, load: Load, address: Address) -> asyncio.Transport:
    loop, made = asyncio.get_running_loop(), lambda: Connection(load, job.depth)
    if isinstance(address, str):
        transport, _ = await loop.create_unix_connection(made, address)
        return transport
    reached, _ = await loop.create_connection(made, *address)
    return reached


def _tick(load: OnTime) -> None:
    """Look at what is due every so often, from now on."""
    load.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGALRM, load.tick)
    signal.setitimer(signal.ITIMER_REAL, TICK, TICK)


async def _until(load: Load, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await load.over.wait()
    except TimeoutError:
        return


async def _drained(load: Load) -> None:
    deadline = now() + int(PATIENCE * 1e9)
    while load.open and not load.wrong:
        if now() > deadline:
            load.is_wrong(f"{load.open} requests were not answered within {PATIENCE:g} s")
        await asyncio.sleep(TICK)


def main() -> None:
    """Read a job, do it, and write its result."""
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    gc.disable()
    result = uvloop.run(run(job))
    sys.stdout.buffer.write(msgspec.msgpack.encode(result))


if __name__ == "__main__":
    main()
