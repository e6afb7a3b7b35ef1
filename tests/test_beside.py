"""What goes on beside a block ends with it, however it ends."""

import asyncio

import pytest

from entitlements.beside import beside
from entitlements.errors import StoreBusy


class Work:
    """Goes on until it is ended."""

    def __init__(self) -> None:
        self.going = False

    async def __call__(self) -> None:
        """Go on."""
        self.going = True
        try:
            await asyncio.Event().wait()
        finally:
            self.going = False


@pytest.mark.asyncio
async def test_work_goes_on_as_long_as_the_block() -> None:
    """And all of it is over once the block is."""
    one, other = Work(), Work()

    async with beside(one(), other()):
        await asyncio.sleep(0)
        assert one.going
        assert other.going

    assert not one.going
    assert not other.going


async def fail() -> None:
    """Go wrong at once."""
    raise StoreBusy("others came first")


@pytest.mark.asyncio
async def test_a_block_that_fails_ends_it_too() -> None:
    """Its error is raised as it is."""
    work = Work()

    async def block() -> None:
        async with beside(work()):
            await asyncio.sleep(0)
            assert work.going
            await fail()

    with pytest.raises(StoreBusy, match="others came first"):
        await block()
    assert not work.going


@pytest.mark.asyncio
async def test_work_that_failed_is_told_of_at_the_end() -> None:
    """An error in it is not lost; it ends nothing by itself."""
    done = False

    async def block() -> None:
        nonlocal done
        async with beside(fail()):
            await asyncio.sleep(0)
            done = True

    with pytest.raises(StoreBusy, match="others came first"):
        await block()
    assert done
