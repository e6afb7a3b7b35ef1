"""A primary dies under load, in a cluster and behind Sentinels.

What is promised under `replica`: an event that was acknowledged had reached a replica, so it outlives its primary where
that replica, or one that has as much, takes over; and a replica that is killed with it has it on disk. What is not:
replication is asynchronous, so a write that nobody acknowledged may vanish or stay (its event comes again either way),
and a replica that never had a write may be promoted where there are several. After the primary's death the new one has
no replica: nothing is acknowledged until one is back.
"""

import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest

from entitlements.absorb import Held
from entitlements.errors import StoreError
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from entitlements.store.client import PATIENCE, TIMEOUT
from entitlements.store.store import Store
from entitlements.store.write import Write
from tests.support.bodies import encoded
from tests.support.clusters import Group, cluster, sentinel
from tests.support.histories import START
from tests.support.lives import events_of
from tests.support.servers import client
from tests.support.stores import opened

NOW = START + 10
INSTANCES, SENDERS, CUSTOMERS = 3, 24, 60
AGAIN = 0.05
"""Seconds until a refused delivery is sent again; Stripe takes its time."""

LONG = 30
"""Seconds within which it is over, or never will be."""

BEAT = 0.02
"""Seconds from one beat to the next."""

LONGEST = int((PATIENCE + TIMEOUT) / BEAT)
"""Beats that one call may take: PATIENCE, and as long as redis-py waits for a connection that is given up to close."""

Found = TypeVar("Found")
Starter = Callable[[Path], AbstractContextManager[Group]]


class Pulse:
    """Counts beats of the loop. A machine that is late holds up the beats as it does all else that waits."""

    def __init__(self) -> None:
        self.beats = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(BEAT)
            self.beats += 1


class Timed(Store):
    """A store that measures, by beats, how long it takes over each call of a delivery."""

    pulse: Pulse
    longest = 0

    async def held(self, subject: Subject, subscription: str) -> Held:
        """Read."""
        return await self._timed(super().held(subject, subscription))

    async def confirmed(self, held: Held, subject: Subject, subscription: str) -> Held:
        """Read what a replica confirms."""
        return await self._timed(super().confirmed(held, subject, subscription))

    async def write(self, subject: Subject, write: Write) -> bool:
        """Write."""
        return await self._timed(super().write(subject, write))

    async def _timed(self, call: Awaitable[Found]) -> Found:
        began = self.pulse.beats
        try:
            return await call
        finally:
            self.longest = max(self.longest, self.pulse.beats - began)


class Load:
    """Deliveries to several instances, each sent until it is acknowledged, and what was seen of them."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._writers = [Ingest(store, BUILT_IN) for store in stores]
        self.refusals: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self.refused_at: list[float] = []

    async def drive(self, bodies: list[Body]) -> None:
        """Send many, so many at a time."""
        left = iter(bodies)

        async def sender() -> None:
            for body in left:
                await self._send(body)

        await asyncio.gather(*(sender() for _ in range(SENDERS)))

    async def _send(self, body: Body) -> None:
        by = len(self.acknowledged)  # to another instance each time, as a load balancer does
        while not await self._taken(body, self._writers[by % INSTANCES]):
            by += 1
            await asyncio.sleep(AGAIN)
        self.acknowledged.append(body["id"])

    async def _taken(self, body: Body, by: Ingest) -> bool:
        try:
            await by.deliver(encoded(body), NOW)
        except StoreError as error:
            self.refusals[f"{type(error).__name__} {type(error.__cause__).__name__}"] += 1
            self.refused_at.append(time.monotonic())
            return False
        return True


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Have the collector find within the test what was left open: its warning is an error."""
    yield
    gc.collect()


@pytest.mark.asyncio
@pytest.mark.parametrize("start", [cluster, sentinel])
async def test_no_acknowledged_event_is_lost_when_a_primary_dies(
    start: Starter, short_path: Path, store_url: str
) -> None:
    """Its replica takes over, it comes back as one, and the answers are those of an undisturbed run."""
    bodies = lives(Random(23))  # noqa: S311  any will do, the same each time
    with start(short_path) as group:
        async with AsyncExitStack() as stack:
            pulse = await stack.enter_async_context(beating())
            stores = [
                await stack.enter_async_context(timed(group.url, pulse)) for _ in range(INSTANCES)
            ]
            load = Load(stores)
            async with asyncio.timeout(LONG), asyncio.TaskGroup() as tasks:
                tasks.create_task(load.drive(bodies))
                dying = tasks.create_task(failover(group, load, len(bodies) // 4))
            killed, promoted = dying.result()
            sys.stdout.write(
                f"{len(bodies)} deliveries of {len({b['id'] for b in bodies})} events; "
                f"promoted after {promoted - killed:.1f} s, last refusal after "
                f"{max(load.refused_at) - killed:.1f} s; {dict(load.refusals)}; "
                f"longest call {BEAT * max(store.longest for store in stores):.2f} s\n"
            )
            for store in stores:
                assert await held(store, bodies) == await undisturbed(store_url, bodies)
        assert Counter(logged(group.url)) == Counter({body["id"] for body in bodies})
        assert max(store.longest for store in stores) <= LONGEST
    assert load.refusals


@asynccontextmanager
async def beating() -> AsyncGenerator[Pulse]:
    """Give a pulse, and end it."""
    pulse = Pulse()
    running = asyncio.create_task(pulse.run())
    yield pulse
    running.cancel()


@asynccontextmanager
async def timed(url: str, pulse: Pulse) -> AsyncGenerator[Timed]:
    """Give an open store that measures."""
    store = await Timed.open(url, name="test", durability="replica")
    store.pulse = pulse
    try:
        yield store
    finally:
        await store.close()


async def failover(group: Group, load: Load, after: int) -> tuple[float, float]:
    """Kill a primary under way, and start it again when its replica has taken over; return when both happened."""
    victim = group.primaries()[0]
    others = [node for node in group.nodes if node is not victim]
    before = sum(node.role() == "master" for node in others)
    await coming(lambda: len(load.acknowledged) > after)
    victim.kill()
    killed = time.monotonic()
    await coming(lambda: sum(node.role() == "master" for node in others) > before)
    promoted = time.monotonic()
    await asyncio.sleep(AGAIN)
    group.bring_back(victim)
    return killed, promoted


async def coming(condition: Callable[[], object], seconds: float = 20) -> None:
    """Poll a condition while others work; fail when it has not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


def lives(rng: Random) -> list[Body]:
    """Return deliveries about some customers, in any order, every third of them twice."""
    bodies = [body for n in range(CUSTOMERS) for body in events_of(rng, f"cus_{n}", steps=12)]
    found = [*bodies, *rng.sample(bodies, k=len(bodies) // 3)]
    rng.shuffle(found)
    return found


async def held(store: Store, bodies: list[Body]) -> dict[str, object]:
    """Return what a store decided of every customer, from which events, and at which version."""
    found: dict[str, object] = {}
    for body in bodies:
        about = body["data"]["object"]
        if about["id"] not in found:
            is_ = await store.held(Subject(about["customer"]), about["id"])
            events = [fact.event for fact in is_.subscription.facts]
            found[about["id"]] = (is_.customer, is_.subscription.state, events)
    return found


async def undisturbed(url: str, bodies: list[Body]) -> dict[str, object]:
    """Return the same of one server to which all is delivered in turn."""
    async with opened(url) as store:
        ingest = Ingest(store, BUILT_IN)
        for body in bodies:
            await ingest.deliver(encoded(body), NOW)
        return await held(store, bodies)


def logged(url: str) -> Iterator[str]:
    """Yield the id of every event in the log, as often as it is there."""
    with client(url) as plain:
        for p in range(keys.PARTITIONS):
            entries: Any = plain.xrange(keys.shared(p, "log"))
            yield from (fields[b"event"].decode() for _, fields in entries)
