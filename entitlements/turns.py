"""Who does something to the same thing comes on in turn, in the order of coming; the rest go on side by side."""

import asyncio
from weakref import WeakValueDictionary


class Turns:
    """A lock for each name, for as long as somebody has it or waits for it."""

    def __init__(self) -> None:
        self._locks = WeakValueDictionary[str, asyncio.Lock]()

    def of(self, name: str) -> asyncio.Lock:
        """Return the lock of a name."""
        return self._locks.setdefault(name, asyncio.Lock())

    def __len__(self) -> int:
        """Count the names that are in use."""
        return len(self._locks)
