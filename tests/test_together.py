"""What many ask for in one turn of the loop is asked for once, and everybody hears what came of it."""

import asyncio
from collections.abc import Sequence

import pytest

from entitlements.errors import StoreUnavailable
from entitlements.together import Together


class Asked:
    """Whoever is asked: notes for what, and answers when told to; with an error, if there is one."""

    def __init__(self) -> None:
        self.names = asyncio.Queue[list[str]]()
        self.answers = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, names: Sequence[str]) -> None:
        """Take note."""
        await self.names.put(list(names))
        await self.answers.wait()
        if self.error:
            raise self.error


async def asking(together: Together, name: str) -> str:
    """Ask as a caller does."""
    await together.one(name)
    return name


@pytest.mark.asyncio
async def test_a_turn_is_asked_for_at_once() -> None:
    """Each name once, in the order of asking; who comes later is in another turn, though the first is under way."""
    asked = Asked()
    together = Together(asked)
    first = [asyncio.create_task(asking(together, name)) for name in ("b", "a", "b")]
    assert await asked.names.get() == ["b", "a"]
    later = asyncio.create_task(asking(together, "c"))
    assert await asked.names.get() == ["c"]
    assert not any(task.done() for task in (*first, later))
    asked.answers.set()
    assert await asyncio.gather(*first, later) == ["b", "a", "b", "c"]


@pytest.mark.asyncio
async def test_everybody_hears_of_an_error() -> None:
    """And the next turn is asked for all the same."""
    asked = Asked()
    asked.answers.set()
    asked.error = StoreUnavailable("not now")
    together = Together(asked)
    for found in await asyncio.gather(
        *(asking(together, name) for name in "ab"), return_exceptions=True
    ):
        assert found is asked.error
    asked.error = None
    assert await asking(together, "a") == "a"


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [None, StoreUnavailable("not now")])
async def test_who_leaves_takes_nobody_along(error: Exception | None) -> None:
    """The others of the turn are told what came of it."""
    asked = Asked()
    asked.error = error
    together = Together(asked)
    leaving, staying = (asyncio.create_task(asking(together, name)) for name in "ab")
    await asked.names.get()
    leaving.cancel()
    asked.answers.set()
    found = await asyncio.gather(leaving, staying, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1] == (error or "b")
