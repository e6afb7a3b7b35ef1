"""`python -m tests.bench.replayed`: how fast a long log, and a file, are replayed by a process, and in how much memory.

The store is filled with customers whose events are all held; then `entitlements replay` is run as people run it. Beside
the rate by the clock stands that by processor time, which other load hardly moves.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from entitlements.store.embedded import EmbeddedStore
from tests.support.command import COMMAND, environment
from tests.support.long_log import EVENTS, bodies, fill


class Found(NamedTuple):
    """What one replay took."""

    what: str
    events: int
    outcomes: dict[str, int]
    seconds: float
    processor: float
    """Seconds of processor time, the start of the process included."""
    peak: int
    """Bytes of memory, at most."""


def replayed(url: str, what: str, *arguments: str) -> Found:
    """Run the command to its end."""
    read, write = os.pipe()
    began = time.monotonic()
    command = [*COMMAND, "replay", *arguments, "--json"]
    child = os.posix_spawn(
        command[0],
        command,
        environment(ENTITLEMENTS_REDIS_URL=url),
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)],
    )
    os.close(write)
    with open(read) as out:  # noqa: PTH123  a descriptor
        run = json.loads(out.read().splitlines()[0])
    _, status, used = os.wait4(child, 0)
    assert status == 0, f"{command} ended with {status}"
    seconds = time.monotonic() - began
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    took = used.ru_utime + used.ru_stime
    return Found(what, run["events"], run["outcomes"], seconds, took, peak)


def measured(customers: int, rounds: int) -> Iterator[Found]:
    """Replay the log of so many customers, and a file of their events, a few times each."""
    with tempfile.TemporaryDirectory(prefix="ent-") as home:
        file = Path(home) / "events.jsonl"
        with EmbeddedStore.start(Path(home) / "store") as store:
            fill(store.url, customers)
            with file.open("wb") as out:
                for body in bodies(customers):
                    out.write(json.dumps(json.loads(body)).encode() + b"\n")
            for _ in range(rounds):
                yield replayed(store.url, "log", "--source", "log")
                yield replayed(store.url, "file", "--source", "file", str(file))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each replay. Returns 1 where it did not find all events held."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replayed", description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000, help=f"each has {EVENTS} events")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    right = True
    for one in measured(asked.customers, asked.rounds):
        right &= one.outcomes == {"duplicate": asked.customers * EVENTS}
        print(  # noqa: T201  a command
            f"{one.what:5} {one.events:,} events  {one.events / one.seconds:,.0f}/s  "
            f"{one.events / one.processor:,.0f}/s of processor time  {one.peak / 2**20:,.0f} MiB"
        )
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
