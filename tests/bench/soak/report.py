"""What a soak came to."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from tests.bench.job import Latency
from tests.bench.soak.memory import Growth

SAID = 20
"""Sentences on what is wrong that are printed."""


class Report(Struct, frozen=True, kw_only=True):
    """What was done, how long queries took, what the processes took of memory, and what was wrong."""

    minutes: float
    seed: int
    counted: Mapping[str, int]
    query: Latency
    memory: Mapping[str, Growth]
    wrong: list[str]


def text(found: Report) -> str:
    """Return a report for people."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Report) -> Iterator[str]:
    yield f"{found.minutes:.1f} minutes, seed {found.seed}: {len(found.wrong)} wrong"
    for name, count in sorted(found.counted.items()):
        yield f"  {count:9,} {name}"
    took = found.query
    yield f"a query took {took.p50 * 1e3:.1f} ms, p99 {took.p99 * 1e3:.1f}, at most {took.longest * 1e3:.1f}"
    yield "memory in MiB at first, at last, at most; grown in the second half"
    for name, size in found.memory.items():
        sizes = (size.first, size.last, size.most, size.grew)
        yield f"  {name:<10}" + "".join(f"{each / 2**20:9.1f}" for each in sizes)
    for what in found.wrong[:SAID]:
        yield f"  ! {what}"
