"""A deadline that moves."""

import asyncio
import time
from collections.abc import Callable

import pytest

from entitlements.http.deadline import Deadline

SHORT, LONG, NEVER = 0.05, 0.15, 60.0


class Late:
    """Counts, and says when."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.times = 0
        self.now = asyncio.Event()
        self.deadline = Deadline(asyncio.get_running_loop(), self)

    def __call__(self) -> None:
        """Note that it is late."""
        self.times += 1
        self.now.set()

    async def after(self) -> float:
        """Wait for it; return the seconds since the beginning."""
        await asyncio.wait_for(self.now.wait(), 5)
        return time.monotonic() - self.began


@pytest.mark.asyncio
async def test_it_passes_once() -> None:
    """A deadline that passes says so, and is then no longer set."""
    late = Late()
    late.deadline.set(SHORT)
    assert late.deadline.is_set
    assert await late.after() > SHORT * 0.9
    assert (late.times, late.deadline.is_set) == (1, False)


@pytest.mark.asyncio
@pytest.mark.parametrize(("first", "then"), [(SHORT, LONG), (NEVER, LONG)])
async def test_it_moves_either_way(first: float, then: float) -> None:
    """The last setting holds, later or sooner than the one before."""
    late = Late()
    late.deadline.set(first)
    late.deadline.set(then)
    assert then * 0.9 < await late.after() < then + 1
    assert late.times == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("lifting", [Deadline.lift, Deadline.cancel])
async def test_a_lifted_one_does_not_pass(lifting: Callable[[Deadline], None]) -> None:
    """A lifted deadline says nothing, and can be set again."""
    late = Late()
    late.deadline.set(SHORT)
    lifting(late.deadline)
    other = Late()
    other.deadline.set(LONG)
    await other.after()
    assert (late.times, late.deadline.is_set) == (0, False)
    late.deadline.set(SHORT)
    await late.after()
