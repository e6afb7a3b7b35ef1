"""A store after a busy time: many customers whose events are all held, and all in the log, written at once.

Each customer is a copy of one of a few lives under names of its own, so that a million events take a minute to write.
"""

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import NamedTuple

import msgspec

from entitlements.absorb import Held, absorb
from entitlements.decode import decode
from entitlements.model import CustomerRecord, Subject, SubscriptionEvent, SubscriptionRecord
from entitlements.policy import BUILT_IN
from entitlements.sandbox.event import encoded
from entitlements.sandbox.shapes import Body
from entitlements.store import cold, keys
from entitlements.store.entry import Entry, Value
from tests.simulation.life import renamed
from tests.support.histories import START
from tests.support.lives import events_of
from tests.support.servers import client

LIVES, EVENTS = 50, 10
"""Different lives, and events of each."""

CUSTOMER, SUBSCRIPTION, EVENT = b"cus_00000000", b"sub_00000000", b"evt_00000000"
"""What stands in a life for the names of its copies, of the same length."""

_encode = msgspec.json.Encoder().encode


class Life(NamedTuple):
    """A customer of one subscription: its events, and the records that they leave."""

    events: list[tuple[str, int, bytes]]
    """Type, creation and body."""
    record: bytes
    cold: bytes
    due: int | None


def _life(rng: Random) -> Life:
    told = islice(events_of(rng, CUSTOMER.decode(), 4 * EVENTS), EVENTS)
    bodies = [_named(n, body) for n, body in enumerate(told)]
    held = Held(CustomerRecord(version=0), SubscriptionRecord())
    events = []
    for body in map(encoded, bodies):
        event = decode(body)
        assert isinstance(event, SubscriptionEvent)
        found = absorb(held, event, BUILT_IN, START)
        held = Held(found.customer, found.subscription, found.lists.due)
        events.append((event.fact.type, event.fact.created, body))
    return Life(events, _encode(held.customer), cold.encode(held.subscription), held.due)


def _named(n: int, body: Body) -> Body:
    named = renamed(body, CUSTOMER.decode(), SUBSCRIPTION.decode())
    return named | {"id": f"{EVENT.decode()}_{n}"}


def _as(raw: bytes, n: int) -> bytes:
    """Return what is said of a life as it is said of its n-th copy."""
    return (
        raw.replace(CUSTOMER, b"cus_%08d" % n)
        .replace(SUBSCRIPTION, b"sub_%08d" % n)
        .replace(EVENT, b"evt_%08d" % n)
    )


def bodies(customers: int, *, first: int = 1, seed: int = 1) -> Iterator[bytes]:
    """Yield the events of so many customers, each customer's in a row: what a backfill from a file brings."""
    lives = _lives(seed)
    for n in range(first, first + customers):
        for _, _, body in lives[n % LIVES].events:
            yield _as(body, n)


def fill(url: str, customers: int, *, held: bool = True, seed: int = 1) -> int:
    """Write so many customers and the log of their events, the oldest first; return how many events there are.

    Without `held` there is the log alone: as if everything else had been lost.
    """
    lives = _lives(seed)
    with client(url) as plain:
        plain.hset(keys.META, "policy", BUILT_IN.digest)
        plain.set(keys.policy(BUILT_IN.digest), _encode(BUILT_IN))
        plain.hset(keys.META, "livemode", "false")
        for some in _chunks(customers, 200):
            with plain.pipeline(transaction=False) as pipe:
                for n in some:
                    for name, value in _records(n, lives[n % LIVES]) if held else ():
                        pipe.set(name, value)
                pipe.execute()
        for k in range(EVENTS):
            for some in _chunks(customers, 200):
                with plain.pipeline(transaction=False) as pipe:
                    for n in some:
                        p = _partition(n)
                        said = _entry(n, k, lives[n % LIVES])
                        pipe.xadd(
                            keys.shared(p, "log"), dict(zip(said[::2], said[1::2], strict=True))
                        )
                    pipe.execute()
    return customers * EVENTS


def _lives(seed: int) -> list[Life]:
    rng = Random(seed)  # noqa: S311  a test's own
    return [_life(rng) for _ in range(LIVES)]


def _chunks(customers: int, size: int) -> Iterator[range]:
    return (range(n, min(n + size, customers + 1)) for n in range(1, customers + 1, size))


def _partition(n: int) -> int:
    return keys.partition(f"cus_{n:08d}", keys.PARTITIONS)


def _records(n: int, life: Life) -> Iterator[tuple[str, bytes]]:
    subject, p = Subject(f"cus_{n:08d}"), _partition(n)
    yield keys.customer(p, subject), _as(life.record, n)
    yield keys.subscription(p, subject, f"sub_{n:08d}"), _as(life.cold, n)


def _entry(n: int, k: int, life: Life) -> list[Value]:
    kind, created, body = life.events[k]
    return Entry(
        event=f"evt_{n:08d}_{k}",
        type=kind,
        outcome="applied",
        delivery=f"d{n}_{k}",
        received_ms=START * 1000,
        body=_as(body, n),
        created=created,
        subject=f"cus_{n:08d}",
        subscription=f"sub_{n:08d}",
    ).fields()
