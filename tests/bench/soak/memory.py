"""Whether memory stays flat: of each process, sampled all along."""

import threading
import time
from collections.abc import Mapping

from msgspec import Struct

from tests.bench import machine
from tests.bench.figures import slope

EVERY = 2.0
"""Seconds between two looks."""

ROOM = 4 * 2**20
"""Bytes by which a process may grow in the second half: the allocator's own, and what caches still take."""

STORE = "store"
"""It grows by what it keeps of each event, and is not expected to be flat."""


class Growth(Struct, frozen=True, kw_only=True):
    """What a process took, in bytes; it `grew` in the second half, by the line through the samples of that half."""

    first: int
    last: int
    most: int
    grew: int


class Watch:
    """The samples of all processes."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = processes
        self.samples: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}

    def look(self) -> None:
        """Take a sample of each."""
        at = time.monotonic()
        for name, pid in self._processes.items():
            self.samples[name].append((at, machine.memory(pid)))

    def until(self, stop: threading.Event) -> None:
        """Take samples until told to stop."""
        while not stop.wait(EVERY):
            self.look()

    def growth(self) -> dict[str, Growth]:
        """Return what each process took."""
        return {name: _growth(samples) for name, samples in self.samples.items()}

    def wrong(self) -> list[str]:
        """Say which processes did not stay flat."""
        return [
            f"{name} grew by {size.grew:,} bytes in the second half"
            for name, size in self.growth().items()
            if size.grew > ROOM and name != STORE
        ]


def _growth(samples: list[tuple[float, float]]) -> Growth:
    half = samples[len(samples) // 2 :]
    grew = slope(half) * (half[-1][0] - half[0][0])
    sizes = [int(size) for _, size in samples]
    return Growth(first=sizes[0], last=sizes[-1], most=max(sizes), grew=int(grew))
