"""`python -m tests.crash --rounds 300 --seed 1`: kill service and store so often under load, and check what is left.

It shows that the service's own steps survive (no event lost, doubled or half-written), with the real processes. It
cannot show that a write is on disk: the page cache survives a killed process. tests/store/test_trace.py shows that.
"""

import argparse
import sys

from tests.crash.rounds import Figures, run
from tests.crash.world import KINDS


def main() -> int:
    """Run each kind of world; print the figures; return 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="kills, for each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=sorted(KINDS), action="append", help="only this one")
    given = parser.parse_args()
    wrong = 0
    for kind in given.kind or sorted(KINDS):
        found = run(kind, given.rounds, given.seed)
        print(report(kind, given.seed, found), flush=True)  # noqa: T201  a command's own output
        wrong += len(found.wrong)
    return 1 if wrong else 0


def report(kind: str, seed: int, found: Figures) -> str:
    """Return the figures as text, a line each."""
    lines = [f"{kind}: seed {seed}, {found.seconds:.0f} s, {len(found.wrong)} wrong"]
    lines += [f"  {count:7} {name}" for name, count in sorted(found.counted.items())]
    return "\n".join(lines + [f"  ! {what}" for what in found.wrong[:20]])


if __name__ == "__main__":
    sys.exit(main())
