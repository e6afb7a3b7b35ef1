"""What is said of many numbers: pure."""

from collections.abc import Sequence
from math import ceil
from statistics import median

from msgspec import Struct

from tests.bench.job import Latency


class Spread(Struct, frozen=True):
    """The median of several rounds, and how far they lie apart."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(median(values), min(values), max(values))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share (0 to 1) of ordered values does not exceed; 0 of none."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


def latency(nanoseconds: Sequence[int]) -> Latency:
    """Return how long answers took."""
    ordered = [each / 1e9 for each in sorted(nanoseconds)]
    return Latency(
        p50=percentile(ordered, 0.5),
        p90=percentile(ordered, 0.9),
        p99=percentile(ordered, 0.99),
        p999=percentile(ordered, 0.999),
        longest=percentile(ordered, 1),
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the second rises for each one of the first: the line through at least two points."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    apart = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / apart
