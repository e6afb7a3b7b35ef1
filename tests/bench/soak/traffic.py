"""What is delivered during a soak: lives with truth attached, out of order, again, and late; and when."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

from msgspec import Struct

from entitlements.sandbox.account import Account
from entitlements.sandbox.shapes import Body
from tests.simulation.life import DAY, History, Moment, lived, renamed
from tests.support.histories import START

END = START + 500 * DAY
"""When every life is as it is at Stripe: what Stripe does by itself up to then is part of it."""

LATE = 120.0
"""Seconds by which a delivery comes late, at most."""

AGAIN = 0.3
"""The share of deliveries that come twice."""


class Due(NamedTuple):
    """A delivery, and when it is due in seconds from the beginning."""

    at: float
    event: Body


class Traffic(Struct, frozen=True):
    """The deliveries in the order in which they are due, and the lives that they tell of, by customer."""

    deliveries: list[Due]
    lives: Mapping[str, History]


def traffic(count: int, seconds: float, seed: int) -> Traffic:
    """Return about so many deliveries within so many seconds."""
    rng = Random(seed)  # noqa: S311  a test's own
    deliveries, lives = list[Due](), dict[str, History]()
    while len(deliveries) < count:
        name = f"cus_{len(lives):06}"
        lives[name] = _to_the_end(lived(rng.randrange, most=12), len(lives))
        deliveries += _spread(lives[name], name, seconds, rng)
    return Traffic(sorted(deliveries, key=lambda due: due.at), lives)


def _to_the_end(history: History, seed: int) -> History:
    """Return a life with what Stripe does by itself after its last change: renewals, and the ends that were set."""
    told = list[Body]()
    account = Account(told.append, seed)
    last = history[-1].body
    account.held["subscription"][last["id"]] = last
    account.pass_time(END)
    return (*history, *(_afterwards(history[-1], n, one) for n, one in enumerate(told, 1)))


def _afterwards(last: Moment, n: int, event: Body) -> Moment:
    """Return the n-th change that Stripe makes by itself: after the last one that was made, however long it is due."""
    at = max(event["created"], last.at + n)
    return Moment(at, "by itself", event["data"]["object"], (event | {"created": at},))


def _spread(history: History, customer: str, seconds: float, rng: Random) -> Iterator[Due]:
    """Yield the deliveries of a life: it begins within the first part of the time, and goes on to the end."""
    at = rng.uniform(0, seconds * 0.4)
    events = [renamed(event, customer) for moment in history for event in moment.events]
    for event in events:
        at += rng.uniform(0, 2 * (seconds - at) / (len(events) + 1))
        yield Due(min(seconds, at + _delay(rng, seconds)), event)
        if rng.random() < AGAIN:
            yield Due(min(seconds, at + _delay(rng, seconds)), event)


def _delay(rng: Random, seconds: float) -> float:
    """Return by how much a delivery is late: most not at all, some a little, a few a lot."""
    most = rng.choice([0.0, 0.0, 0.0, 2.0, 2.0, 20.0, LATE])
    return rng.uniform(0, min(most, seconds / 4))
