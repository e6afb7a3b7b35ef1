"""What many ask for within two turns of the event loop, asked for as one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence


class Together:
    """Asks for names: those of two turns at once, however often one is named."""

    def __init__(self, ask: Callable[[Sequence[str]], Awaitable[object]]) -> None:
        self._ask = ask
        self._asked: list[tuple[str, asyncio.Future[None]]] = []
        """For what, and who waits for it."""
        self._turns = set[asyncio.Task[None]]()
        """Held, or the collector might take one that is under way."""

    def one(self, name: str) -> "asyncio.Future[None]":
        """Ask for a name. What is returned is done once that is, or raises what it raised."""
        if not self._asked:
            turn = asyncio.create_task(self._turn())
            self._turns.add(turn)
            turn.add_done_callback(self._turns.discard)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append((name, waiting))
        return waiting

    async def _turn(self) -> None:
        await asyncio.sleep(0)  # once more round the loop: what has come in meanwhile goes along
        asked, self._asked = self._asked, []
        error = None
        try:
            await self._ask(list(dict.fromkeys(name for name, _ in asked)))
        except Exception as raised:  # noqa: BLE001  told to everybody who waits
            error = raised
        for _, waiting in asked:
            if waiting.done():  # whoever asked has gone
                continue
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)
