"""`python -m tests.simulation`: many lives in every way of delivery, each answer compared with what is true."""

import argparse
import sys
import time
from random import Random
from typing import NamedTuple

from tests.simulation.check import Run, run, story
from tests.simulation.delivery import MODES
from tests.simulation.life import lived


class Sum(NamedTuple):
    """What came of many lives in one way of delivery."""

    lives: int = 0
    events: int = 0
    asked: int = 0
    undecided: int = 0
    wrong_lives: int = 0
    wrong: int = 0
    example: Run | None = None

    def figures(self) -> tuple[int, ...]:
        """Return the figures of the table."""
        return self.lives, self.events, self.asked, self.undecided, self.wrong_lives, self.wrong

    def add(self, found: Run) -> "Sum":
        """Return the sum with one more."""
        shorter = self.example is None or len(found.history) < len(self.example.history)
        return Sum(
            self.lives + 1,
            self.events + len(found.arrivals),
            self.asked + found.asked,
            self.undecided + found.undecided,
            self.wrong_lives + bool(found.wrong),
            self.wrong + len(found.wrong),
            found if found.wrong and shorter else self.example,
        )


def simulate(mode: str, subscriptions: int, seed: int) -> Sum:
    """Live so many lives, each from a seed of its own, and deliver them in one way."""
    total, began = Sum(), time.monotonic()
    for n in range(subscriptions):
        rng = Random(f"{seed}-{n}")  # noqa: S311  a simulation's own
        total = total.add(run(lived(rng.randrange), mode, rng.randrange))
        if n % 500 == 499:
            rate = total.lives / (time.monotonic() - began)
            sys.stderr.write(f"\r{mode}: {n + 1}/{subscriptions}, {rate:,.0f} a second ")
    return total


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Print a table; return 1 where an answer was wrong although every event had come."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=main.__doc__)
    parser.add_argument("--subscriptions", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=["all", *MODES], default="all")
    asked = parser.parse_args()
    _say(f"seed {asked.seed}")
    _say("| delivery | lives | events | answers | lives in doubt | wrong lives | wrong answers |")
    _say("| --- | --- | --- | --- | --- | --- | --- |")
    failed = False
    for mode in MODES if asked.mode == "all" else [asked.mode]:
        found = simulate(mode, asked.subscriptions, asked.seed)
        row = (mode, *(f"{n:,}" for n in found.figures()))
        _say(f"| {' | '.join(row)} |")
        if found.example and mode != "lossy":
            failed = True
            _say(story(found.example))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
