"""Processors: who runs where, and how much of them each process uses (Linux; elsewhere nothing is pinned or told)."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

LINUX = sys.platform == "linux"


class Places(NamedTuple):
    """Processors of the server under load, and of the generator and the stores; all of them where there is one only."""

    server: frozenset[int]
    load: frozenset[int]


def _all() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0)) if LINUX else frozenset()


ANYWHERE = Places(_all(), _all())


def places() -> Places:
    """Return one processor for the server and one for the rest, where there are two."""
    if not LINUX:
        return ANYWHERE
    found = sorted(os.sched_getaffinity(0))
    return Places(frozenset(found[:1]), frozenset(found[-1:]))


@contextmanager
def pinned(processors: frozenset[int]) -> Iterator[None]:
    """Let what is started in the block run on these processors alone."""
    if not LINUX:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, processors: frozenset[int]) -> None:
    """Let every thread of a process that runs already go on on these processors."""
    for task in _threads(pid):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), processors)


def used(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the seconds of processor time of each process so far; nothing where the system does not say."""
    return {name: _used(pid) for name, pid in processes.items()} if LINUX else {}


def busy() -> float:
    """Return the seconds that all processors together have worked so far; 0 where the system does not say."""
    if not LINUX:
        return 0.0
    first, _, _ = Path("/proc/stat").read_text().partition("\n")
    user, nice, system, _, _, irq, softirq, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Return the bytes of a process that are in memory; 0 where the system does not say."""
    if not LINUX:
        return 0
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _used(pid: int) -> float:
    total = 0
    for task in _threads(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir()) if LINUX else []
