"""`python -m tests.bench.soak --minutes 30`: mixed load on real processes, and nothing may be wrong at its end.

Two services and a worker on one store. Deliveries out of order, twice and late; answers that the clock changes;
questions; readers of the change feed; and the commands of people on call. Memory has to stay flat, nothing may be
refused, every answer must be the true one, every reader must have been told every change. Exit code 1 otherwise.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.bench.soak.report import text
from tests.bench.soak.run import Soak
from tests.bench.soak.world import started


def main() -> int:
    """Soak; print what came of it; return 1 where anything is wrong."""
    asked = _asked()
    with tempfile.TemporaryDirectory(prefix="ent-") as home, started(Path(home)) as world:
        found = Soak(world, asked.minutes * 60, asked.rate, asked.seed).run()
    sys.stdout.write(text(found))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    return 1 if found.wrong else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument(
        "--rate", type=float, default=30.0, help="deliveries a second, and questions"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the report there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
