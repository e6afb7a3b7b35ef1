"""The same loads on things that differ in one number, in turn: what the machine does besides falls on all alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from tests.bench import machine
from tests.bench.figures import Spread
from tests.bench.job import Job, Result
from tests.bench.rounds import DIRTY, cleanest


class Point(Struct, frozen=True):
    """What was measured at one number."""

    at: int
    value: Spread
    dirty: int = 0
    """Rounds in which other processes used more than a tenth of a processor."""


class Series(Struct, frozen=True):
    """One measure at all of them."""

    name: str
    unit: str
    points: list[Point]


class Part(Struct, frozen=True):
    """What became of the service as one number grew."""

    name: str
    title: str
    along: str
    """What the number counts."""
    series: list[Series]


class Run(NamedTuple):
    """How often to measure, where, and whom to tell."""

    places: machine.Places
    rounds: int
    again: int
    say: Callable[[str], object]


Subjects = Mapping[int, Mapping[str, Callable[[], Job]]]
"""By number: the loads, by name; the same names for each."""


def compare(subjects: Subjects, run: Run) -> list[Series]:
    """Return rates, and the service's processor time for each answer."""
    found: dict[str, dict[int, list[Result]]] = {}
    for n in range(run.rounds):
        for at, loads in subjects.items():
            for name, job in loads.items():
                run.say(f"round {n + 1} of {run.rounds}: {name}, at {at:,}")
                result = cleanest(job, run.places.load, run.again)
                found.setdefault(name, {}).setdefault(at, []).append(result)
    return [series for name, by in found.items() for series in _series(name, by)]


def _series(name: str, by: Mapping[int, Sequence[Result]]) -> list[Series]:
    rates = {at: [result.rate for result in results] for at, results in by.items()}
    costs = {at: [cost(result) for result in results] for at, results in by.items()}
    dirty = {at: sum(r.others > DIRTY for r in results) for at, results in by.items()}
    return [
        series(name, "a second", rates, dirty),
        series(f"{name}: CPU of the service", "µs", costs, dirty),
    ]


def cost(result: Result) -> float:
    """Return the microseconds of processor time that the service used for each answer."""
    used = sum(seconds for name, seconds in result.used.items() if name.startswith("server"))
    return used / result.answers * 1e6


def series(
    name: str,
    unit: str,
    values: Mapping[int, Sequence[float]],
    dirty: Mapping[int, int] | None = None,
) -> Series:
    """Return a measure of which there are several values at each number."""
    dirty = dirty or {}
    points = [Point(at, Spread.of(found), dirty.get(at, 0)) for at, found in values.items()]
    return Series(name, unit, points)
