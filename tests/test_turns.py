"""One at a time for each name."""

import asyncio
import gc

import pytest

from entitlements.turns import Turns


@pytest.mark.asyncio
async def test_who_shares_a_name_comes_on_in_turn_and_others_beside() -> None:
    """In the order of coming, also where one is stopped or fails; and nothing is kept of it."""
    turns, done = Turns(), list[str]()
    go = asyncio.Event()

    async def work(name: str, what: str) -> None:
        async with turns.of(name):
            if what == "first":
                await go.wait()
            done.append(what)
            assert what != "failing"

    names = ("first", "stopped", "failing", "last")
    tasks = [asyncio.create_task(work("a", what)) for what in names]
    await asyncio.sleep(0)  # each is at its lock now
    await work("b", "beside")
    assert (done, len(turns)) == (["beside"], 1)
    tasks[1].cancel()
    go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [
        type(None),
        asyncio.CancelledError,
        AssertionError,
        type(None),
    ]
    assert done == ["beside", "first", "failing", "last"]
    del found, tasks
    await asyncio.sleep(0)  # the loop lets go of what it ran last
    gc.collect()
    assert len(turns) == 0
