"""What many ask for within two turns of the event loop, asked for as one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence


class Together:
    """Asks for names: those of two turns at once, however often one is named."""

    def __init__(self, ask: Callable[[Sequence[str]], Awaitable[object]]) -> None:
        self._ask = ask
        self._names: list[str] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._turns = set[asyncio.Task[None]]()
        """Held, or the collector might take one that is under way."""

    def one(self, name: str) -> "asyncio.Future[None]":
        """Ask for a name. What is returned is done once that is, or raises what it raised."""
        if not self._names:
            turn = asyncio.create_task(self._turn())
            self._turns.add(turn)
            turn.add_done_callback(self._turns.discard)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._names.append(name)
        self._waiting.append(waiting)
        return waiting

    async def _turn(self) -> None:
        await asyncio.sleep(0)  # once more round the loop: what has come in meanwhile goes along
        names, self._names = self._names, []
        waiting, self._waiting = self._waiting, []
        try:
            await self._ask(list(dict.fromkeys(names)))
        except Exception as error:  # noqa: BLE001  told to everybody who waits
            for each in _left(waiting):
                each.set_exception(error)
        else:
            for each in _left(waiting):
                each.set_result(None)


def _left(waiting: "list[asyncio.Future[None]]") -> "list[asyncio.Future[None]]":
    """Return those whom somebody still waits for: a caller may have gone."""
    return [each for each in waiting if not each.done()]
