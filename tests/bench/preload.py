"""Customers in bulk: exactly what deliveries would have written, by the service's own rules and its own script.

One process for each processor makes the commits, and they are sent to the store many at a time.
"""

import asyncio
import hashlib
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from msgspec.structs import replace

from entitlements.absorb import Held, absorb
from entitlements.decode import decode
from entitlements.model import Outcome, Subject, SubscriptionEvent
from entitlements.policy import BUILT_IN
from entitlements.store import keys
from entitlements.store.cold import NOTHING
from entitlements.store.entry import Entry
from entitlements.store.replies import script
from entitlements.store.store import NOBODY, Store
from entitlements.store.write import Write, of_event
from tests.bench.subscriptions import Shape
from tests.bench.wire import command

COMMIT = script("commit")
_SHA = hashlib.sha1(COMMIT.encode(), usedforsecurity=False).hexdigest()
_LOAD = command(["SCRIPT", "LOAD", COMMIT])
_WRITTEN = b":1\r\n"

TOGETHER = 500
"""Commits that are sent together; all of a customer's are made together."""

FEW = 10 * TOGETHER
"""Subscriptions that one process makes as quickly as several that have to start."""

_NEW = Held(NOBODY, NOTHING)


Customers = tuple[Shape, range]
"""An event, and the customers who each have it."""


def fill(url: str, *customers: Customers) -> None:
    """Take in one event of each of many customers, of whom nothing is held yet. `url` is `unix://…`."""
    asyncio.run(_prepare(url))
    with socket.socket(socket.AF_UNIX) as store, _mapping(customers) as each:
        store.connect(path(url))
        _ask(store, _LOAD, len(b"$40\r\n\r\n") + 40)
        for commands in each(_made, _chunks(customers)):
            replies = _ask(store, b"".join(commands), len(_WRITTEN) * len(commands))
            assert replies == _WRITTEN * len(commands), replies


@contextmanager
def _mapping(customers: Iterable[Customers]) -> Iterator[Callable[..., Iterable[list[bytes]]]]:
    """Give what makes commits of chunks: several processes, where there is enough for them to do."""
    if sum(len(numbers) for _, numbers in customers) <= FEW:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        yield pool.imap


def _chunks(customers: Iterable[Customers]) -> Iterator[Customers]:
    for shape, numbers in customers:
        assert TOGETHER % shape.each == 0
        for n in range(0, len(numbers), TOGETHER):
            yield shape, numbers[n : n + TOGETHER]


def _made(some: Customers) -> list[bytes]:
    return commits(*some)


def path(url: str) -> str:
    """Return the path of the socket that a store listens at."""
    return unquote(url.removeprefix("unix://"))


def commits(shape: Shape, numbers: range) -> list[bytes]:
    """Return the commands that write an event of subscriptions that are new, to the end of each customer's."""
    return list(_commits(shape, numbers))


async def _prepare(url: str) -> None:
    """Leave what the first start and the first event leave: a policy in force, and a mode."""
    store = await Store.open(url, name="bench")
    try:
        await store.policy(BUILT_IN)
        await store.pin_livemode(livemode=False)
    finally:
        await store.close()


def _commits(shape: Shape, numbers: range) -> Iterator[bytes]:
    held = _NEW
    for number in numbers:
        if number % shape.each == 0:
            held = _NEW
        body = shape.body(number)
        told = _told(body)
        absorbed = absorb(held, told, BUILT_IN, told.fact.created)
        entry = _entry(told, body, absorbed.outcome)
        yield _commit(told.subject, of_event(held, absorbed, told.subject, entry))
        held = Held(absorbed.customer, NOTHING, absorbed.lists.due)


def _told(body: bytes) -> SubscriptionEvent:
    """Return what an event says that comes in the second in which it happened."""
    told = decode(body)
    assert isinstance(told, SubscriptionEvent)
    fact = replace(told.fact, received_ms=told.fact.created * 1000, delivery="bench")
    return replace(told, fact=fact)


def _entry(told: SubscriptionEvent, body: bytes, outcome: Outcome) -> Entry:
    return Entry(
        event=told.fact.event,
        type=told.fact.type,
        outcome=outcome,
        delivery=told.fact.delivery,
        received_ms=told.fact.received_ms,
        body=body,
        created=told.fact.created,
        subject=str(told.subject),
        subscription=told.subscription,
    )


def _commit(subject: Subject, write: Write) -> bytes:
    p = keys.partition(str(subject), keys.PARTITIONS)
    names, values = write.keys(p, subject), write.values(p, subject)
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
