"""What was measured, to look at: as bars of text, and as a PNG."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.comparing import Part, Series

BAR = 30
"""Characters of the longest bar."""

BAND = 0.1
"""By how much rates may differ from that at the smallest number."""

COLUMNS = 3
mpl.use("agg")


def text(part: Part) -> str:
    """Return a part as lines of text, a bar for each value, with its ratio to that at the smallest number."""
    return "\n".join([part.title, *(line for each in part.series for line in _bars(part, each))])


def _bars(part: Part, series: Series) -> Iterator[str]:
    yield f"\n{series.name} ({series.unit})"
    most = max(point.value.median for point in series.points) or 1
    first = series.points[0].value.median or 1
    for point in series.points:
        value = point.value
        bar = "█" * max(1, round(BAR * value.median / most))
        spread = f"{_short(value.least)} to {_short(value.most)}"
        dirty = f", {point.dirty} dirty" if point.dirty else ""
        yield (
            f"  {point.at:>9,} {part.along:<13} {bar:<{BAR}} {_short(value.median):>9}"
            f"  {value.median / first:.2f} times  ({spread}{dirty})"
        )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def draw(part: Part, path: Path) -> None:
    """Write a part as a PNG: a picture for each series, with the band of ten per cent for rates."""
    rows = -(-len(part.series) // COLUMNS)
    figure = Figure(figsize=(4.6 * COLUMNS, 3.2 * rows), layout="constrained")
    figure.suptitle(part.title)
    grid: list[Axes] = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes, series in zip(grid, part.series, strict=False):
        _picture(axes, part, series)
    for axes in grid[len(part.series) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=110)


def _picture(axes: Axes, part: Part, series: Series) -> None:
    at = [str(f"{point.at:,}") for point in series.points]
    middle = [point.value.median for point in series.points]
    below = [point.value.median - point.value.least for point in series.points]
    above = [point.value.most - point.value.median for point in series.points]
    axes.errorbar(at, middle, yerr=[below, above], marker="o", capsize=4)
    if series.unit == "a second":
        axes.axhspan(middle[0] * (1 - BAND), middle[0] * (1 + BAND), alpha=0.15)
    axes.set_ylim(0, 1.2 * max(point.value.most for point in series.points))
    axes.set_title(series.name, fontsize=9)
    axes.set_xlabel(part.along)
    axes.set_ylabel(series.unit)
    axes.margins(x=0.2)
