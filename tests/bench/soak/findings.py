"""What a soak finds: counts, times, and whatever is wrong. Shared by its threads."""

import threading
from collections import Counter


class Findings:
    """Counts, and what is wrong: a sentence each."""

    def __init__(self) -> None:
        self.counted = Counter[str]()
        self.took: list[int] = []
        """Nanoseconds that each query took."""
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def count(self, what: str, times: int = 1) -> None:
        """Count something."""
        with self._lock:
            self.counted[what] += times

    def answered(self, nanoseconds: int) -> None:
        """Take note of a query that was answered."""
        with self._lock:
            self.counted["queries"] += 1
            self.took.append(nanoseconds)

    def is_wrong(self, what: str) -> None:
        """Take note of what is wrong."""
        with self._lock:
            self.wrong.append(what)
