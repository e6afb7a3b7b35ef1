"""A command of the service that works through many events: timed as a process, its start included."""

import resource
import subprocess
import time

import msgspec
from msgspec import Struct

from tests.bench import machine
from tests.bench.job import Latency, Result
from tests.support.command import COMMAND, environment

NO_LATENCY = Latency(p50=0, p90=0, p99=0, p999=0, longest=0)


class Errand(Struct, frozen=True, kw_only=True):
    """A command that prints what it did as JSON, and what that must be."""

    command: list[str]
    settings: dict[str, str]
    outcomes: dict[str, int]
    """How many events became what."""
    store: int
    """The process of the store that it works on."""


def timed(errand: Errand, processors: frozenset[int]) -> Result:
    """Run a command on these processors, to its end."""
    watched = {"store": errand.store}
    used, busy, before = machine.used(watched), machine.busy(), _children()
    began = time.monotonic()
    with machine.pinned(processors):
        ended = subprocess.run(
            [*COMMAND, *errand.command],
            env=environment(**errand.settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    seconds = time.monotonic() - began
    spent = {name: end - used[name] for name, end in machine.used(watched).items()}
    spent["server"] = _children() - before
    return Result(
        answers=sum(errand.outcomes.values()),
        seconds=seconds,
        latency=NO_LATENCY,
        late=0.0,
        refused=0,
        wrong=_wrong(errand, ended),
        used=spent,
        others=max(0.0, machine.busy() - busy - sum(spent.values())) / seconds,
    )


def _wrong(errand: Errand, ended: "subprocess.CompletedProcess[bytes]") -> list[str]:
    if ended.returncode:
        return [
            f"{errand.command[0]} ended with {ended.returncode}: {ended.stderr.decode()[-500:]}"
        ]
    outcomes = msgspec.json.decode(ended.stdout)["outcomes"]
    if outcomes != errand.outcomes:
        return [f"{errand.command[0]} made {outcomes} of {errand.outcomes}"]
    return []


def _children() -> float:
    """Return the processor time of processes that were started and have ended, in seconds."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
