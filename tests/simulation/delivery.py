"""How the events of a life come: in which order, how often, how late, and whether at all."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from entitlements.sandbox.shapes import Body
from tests.simulation.life import DAY, Choose, History


class Arrival(NamedTuple):
    """One delivery of an event, and when it comes."""

    event: Body
    at: int


Mode = Callable[[History, Choose], list[Arrival]]


def in_order(history: History, _: Choose) -> list[Arrival]:
    """Deliver each event when it happens."""
    return [Arrival(event, moment.at) for moment in history for event in moment.events]


def shuffled(history: History, choose: Choose) -> list[Arrival]:
    """Deliver everything at the end, in any order."""
    end = history[-1].at + 1
    return [Arrival(event, end) for event, _ in _mixed(in_order(history, choose), choose)]


def duplicated(history: History, choose: Choose) -> list[Arrival]:
    """Deliver everything at the end, in any order, some of it several times."""
    each = shuffled(history, choose)
    return _mixed([arrival for arrival in each for _ in range(1 + choose(3))], choose)


def late(history: History, choose: Choose) -> list[Arrival]:
    """Deliver each event up to 29 days after it happened: as late as Stripe still has it."""
    delays = (0, 1, 3_600, 3 * DAY, 29 * DAY)
    found = [a._replace(at=a.at + delays[choose(5)]) for a in in_order(history, choose)]
    return sorted(_mixed(found, choose), key=lambda arrival: arrival.at)


def lossy(history: History, choose: Choose) -> list[Arrival]:
    """Lose one event in five, and mix the rest."""
    return [arrival for arrival in shuffled(history, choose) if choose(5) != 4]


MODES: Mapping[str, Mode] = {
    "in order": in_order,
    "shuffled": shuffled,
    "duplicated": duplicated,
    "late": late,
    "lossy": lossy,
}


def _mixed(arrivals: list[Arrival], choose: Choose) -> list[Arrival]:
    """Put arrivals in any order; the plainest is the one in which they are."""
    rest, mixed = list(arrivals), list[Arrival]()
    while rest:
        mixed.append(rest.pop(choose(len(rest))))
    return mixed
