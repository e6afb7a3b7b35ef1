"""Customers in bulk: exactly what deliveries would have written, by the service's own rules and its own script.

One process for each processor makes the commits, and they are sent to the store many at a time.
"""

import asyncio
import hashlib
import multiprocessing
import os
import socket
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from msgspec.structs import replace

from entitlements.absorb import Held, absorb
from entitlements.decode import decode
from entitlements.model import SubscriptionEvent
from entitlements.policy import BUILT_IN
from entitlements.store import keys
from entitlements.store.cold import NOTHING
from entitlements.store.entry import Entry
from entitlements.store.replies import script
from entitlements.store.store import NOBODY, Store
from entitlements.store.write import of_event
from tests.bench.subscriptions import Shape
from tests.bench.wire import command

COMMIT = script("commit")
_SHA = hashlib.sha1(COMMIT.encode(), usedforsecurity=False).hexdigest()
_LOAD = command(["SCRIPT", "LOAD", COMMIT])
_WRITTEN = b":1\r\n"

TOGETHER = 500
"""Commits that are sent together."""


Customers = tuple[Shape, range]
"""An event, and the customers who each have it."""


def fill(url: str, *customers: Customers) -> None:
    """Take in one event of each of many customers, of whom nothing is held yet. `url` is `unix://…`."""
    asyncio.run(_prepare(url))
    with (
        socket.socket(socket.AF_UNIX) as store,
        multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool,
    ):
        store.connect(path(url))
        _ask(store, _LOAD, len(b"$40\r\n\r\n") + 40)
        for commands in pool.imap(_commits, _chunks(customers)):
            replies = _ask(store, b"".join(commands), len(_WRITTEN) * len(commands))
            assert replies == _WRITTEN * len(commands), replies


def _chunks(customers: Iterable[Customers]) -> Iterator[Customers]:
    for shape, numbers in customers:
        for n in range(0, len(numbers), TOGETHER):
            yield shape, numbers[n : n + TOGETHER]


def _commits(some: Customers) -> list[bytes]:
    return commits(*some)


def path(url: str) -> str:
    """Return the path of the socket that a store listens at."""
    return unquote(url.removeprefix("unix://"))


def commits(shape: Shape, numbers: range) -> list[bytes]:
    """Return the commands that write an event of customers who are new."""
    return [_commit(shape.body(number)) for number in numbers]


async def _prepare(url: str) -> None:
    """Leave what the first start and the first event leave: a policy in force, and a mode."""
    store = await Store.open(url, name="bench")
    try:
        await store.policy(BUILT_IN)
        await store.pin_livemode(livemode=False)
    finally:
        await store.close()


def _commit(body: bytes) -> bytes:
    """Return what writes an event that comes in the second in which it happened."""
    told = decode(body)
    assert isinstance(told, SubscriptionEvent)
    fact = replace(told.fact, received_ms=told.fact.created * 1000, delivery="bench")
    absorbed = absorb(Held(NOBODY, NOTHING), replace(told, fact=fact), BUILT_IN, fact.created)
    entry = Entry(
        event=fact.event,
        type=fact.type,
        outcome=absorbed.outcome,
        delivery=fact.delivery,
        received_ms=fact.received_ms,
        body=body,
        created=fact.created,
        subject=str(told.subject),
        subscription=told.subscription,
    )
    write = of_event(Held(NOBODY, NOTHING), absorbed, told.subject, entry)
    p = keys.partition(str(told.subject), keys.PARTITIONS)
    names, values = write.keys(p, told.subject), write.values(p, told.subject)
    return command(["EVALSHA", _SHA, len(names), *names, *values])


def _ask(store: socket.socket, request: bytes, size: int) -> bytes:
    store.sendall(request)
    return b"".join(_received(store, size))


def _received(store: socket.socket, size: int) -> Iterator[bytes]:
    while size > 0:
        found = store.recv(size)
        assert found, "the store closed the connection"
        size -= len(found)
        yield found
