"""`python -m tests.bench.scale`: the same loads as one number grows, drawn into tests/bench/results.

Parts: customers, subscriptions of one customer, tokens, workers, readers of the change feed. Each can be run alone.
"""

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from rich.console import Console

from tests.bench import machine, plots
from tests.bench.comparing import Part, Run
from tests.bench.following import following
from tests.bench.growth import growth
from tests.bench.loads import QUICK, Pace
from tests.bench.report import surroundings
from tests.bench.rounds import Void
from tests.bench.sharing import callers, subscriptions, workers

SIZES = [1_000, 100_000, 1_000_000]
RESULTS = Path(__file__).parent / "results"

Measure = Callable[[Path, Run, Pace], Part]


def main() -> int:
    """Measure the parts that are asked for; return 1 where one of them is void."""
    asked = _asked()
    parts: Mapping[str, Measure] = {
        "customers": lambda home, run, pace: growth(home, asked.customers, run, pace),
        "subscriptions": subscriptions,
        "tokens": callers,
        "workers": workers,
        "readers": following,
    }
    talk, pace = Console(stderr=True), QUICK if asked.quick else Pace(seconds=asked.seconds)
    rounds, again = (1, 0) if asked.quick else (asked.rounds, asked.again)
    places = machine.places() if pace.pins else machine.ANYWHERE
    for name in asked.only or parts:
        with (
            tempfile.TemporaryDirectory(prefix="ent-") as home,
            talk.status(name) as status,
        ):
            run = Run(places, rounds, again, status.update)
            try:
                found = parts[name](Path(home), run, pace)
            except Void as void:
                talk.print(f"[bold]{name} is void: {void}[/bold]")
                return 1
        _keep(found, asked.results)
    return 0


def _keep(found: Part, results: Path) -> None:
    """Print a part, and write it down as text, as JSON and as a picture."""
    command = shlex.join(["python", "-m", "tests.bench.scale", *sys.argv[1:]])
    said = f"$ {command}\n\n{plots.text(found)}\n"
    sys.stdout.write(said)
    results.mkdir(exist_ok=True)
    place = results / f"scale-{found.name}"
    place.with_suffix(".txt").write_text(said)
    about = {"command": command, "at": int(time.time()), "machine": surroundings(), "part": found}
    place.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(about)))
    plots.draw(found, place.with_suffix(".png"))


def _asked() -> argparse.Namespace:
    names = ("customers", "subscriptions", "tokens", "workers", "readers")
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="PART", choices=names)
    parser.add_argument("--customers", type=_sizes, default=SIZES, help="1000,100000,1000000")
    parser.add_argument("--quick", action="store_true", help="one short round: does it work at all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument(
        "--again", type=int, default=1, help="times that a disturbed one is repeated"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory to write to")
    return parser.parse_args()


def _sizes(said: str) -> list[int]:
    return sorted(int(each) for each in said.split(","))


if __name__ == "__main__":
    sys.exit(main())
