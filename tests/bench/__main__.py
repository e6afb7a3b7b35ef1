"""`python -m tests.bench`: the service's speed beside that of its floors, measured in the same rounds.

Whether a target is met is said, and decides nothing: a ratio is one of this machine in this hour. What is wrong is an
answer that is not what it should be: then the run is void, and the exit code 1.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.bench.cases import CASES, closure
from tests.bench.loads import QUICK, Pace
from tests.bench.report import document, rows, show
from tests.bench.rounds import Void, run
from tests.bench.scene import staged

WIDTH = 120
"""Columns of the tables where they go to no terminal."""


def main() -> int:
    """Measure; print the table; return 1 where the run is void."""
    asked = _asked()
    console, talk = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = WIDTH
    pace = QUICK if asked.quick else Pace(seconds=asked.seconds)
    rounds, again = (1, 0) if asked.quick else (asked.rounds, asked.again)
    cases = closure(set(asked.only))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="ent-") as home,
            talk.status("starting") as status,
            staged(Path(home), pace) as scene,
        ):
            results = run(scene, cases, rounds, again, status.update)
    except Void as void:
        talk.print(f"[bold]{void}[/bold]")
        return 1
    found = rows(cases, results)
    show(found, console)
    if asked.json:
        asked.json.write_bytes(document(found, results))
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work at all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument(
        "--again", type=int, default=2, help="times that a disturbed one is repeated"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="CASE", choices=[case.name for case in CASES]
    )
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
