"""All of the work is done, so much at a time; an error ends it."""

import asyncio

import pytest

from entitlements.errors import StoreBusy
from entitlements.side_by_side import side_by_side


@pytest.mark.asyncio
async def test_no_more_goes_on_at_once_than_is_said() -> None:
    """And nothing is left out."""
    going, most, done = 0, 0, 0

    async def work() -> None:
        nonlocal going, most, done
        going += 1
        most = max(most, going)
        await asyncio.sleep(0)
        going, done = going - 1, done + 1

    await side_by_side((work() for _ in range(20)), 3)

    assert (most, done) == (3, 20)


@pytest.mark.asyncio
async def test_the_first_error_is_raised_as_it_is() -> None:
    """What goes on beside it is ended, what waits is never begun."""
    begun = []

    async def fail() -> None:
        raise StoreBusy("others came first")

    async def wait() -> None:
        begun.append(1)
        await asyncio.Event().wait()

    with pytest.raises(StoreBusy, match="others came first"):
        await side_by_side([wait(), fail(), wait()], 2)
    assert begun == [1]
