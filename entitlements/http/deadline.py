"""A deadline that costs next to nothing to set, move and lift."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `on_late` once, unless it is moved or lifted in time. Times are in seconds.

    There is at most one timer, and a deadline that moves on leaves it alone: it looks again when it fires.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_late: Callable[[], None]) -> None:
        self._loop = loop
        self._on_late = on_late
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Tell whether there is one now."""
        return self._at is not None

    def set(self, seconds: float) -> None:
        """Set it to so far from now, sooner or later than it may have been."""
        self._at = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._at:
            self._timer.cancel()
            self._timer = None
        self._start()

    def lift(self) -> None:
        """Wait for nothing."""
        self._at = None

    def cancel(self) -> None:
        """Lift it for good: no timer stays behind."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        if self._timer is None and self._at is not None:
            self._timer = self._loop.call_at(self._at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._at is not None and self._loop.time() >= self._at:
            self._at = None
            self._on_late()
        else:
            self._start()
