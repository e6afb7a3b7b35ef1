"""What is delivered during a soak: lives with truth attached, out of order, again, and late; and when."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

from msgspec import Struct

from entitlements.sandbox.shapes import Body
from tests.simulation.life import History, lived, renamed

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
        lives[name] = lived(rng.randrange, most=24)
        deliveries += _spread(lives[name], name, seconds, rng)
    return Traffic(sorted(deliveries, key=lambda due: due.at), lives)


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
