"""The Stripe that a soak is reconciled with: a sandbox in a thread of its own, which holds how each life has ended."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager

from entitlements.sandbox.shapes import ENDIVE, Body
from tests.bench.soak.traffic import END
from tests.simulation.life import History, renamed
from tests.support.service import Clock
from tests.support.stripes import Stripe, stripe


class There:
    """A sandbox that serves in another thread."""

    def __init__(self, found: Stripe, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = found.settings
        self._found = found
        self._loop = loop

    def holds(self, *bodies: Body) -> None:
        """Let it hold subscriptions, in its own time."""
        self._loop.call_soon_threadsafe(self._found.holds, *bodies)


@contextmanager
def serving() -> Iterator[There]:
    """Serve a sandbox for as long as the block runs. Its clock stands at the end of all lives, and changes none."""
    ready, stop, loop = Future[Stripe](), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with stripe(Clock(END)) as found:
            ready.set_result(found)
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield There(ready.result(), loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def untold(lives: Mapping[str, History]) -> int:
    """Count the lives that end paused, told by events of an API version that does not say why."""
    ended = [history[-1] for history in lives.values()]
    return sum(
        last.body["status"] == "paused" and last.events[-1]["api_version"] < ENDIVE
        for last in ended
    )


def ends(lives: Mapping[str, History]) -> Iterator[Body]:
    """Yield the subscription of each life as it is at the end."""
    for customer, history in lives.items():
        last = history[-1]
        event = renamed({**last.events[-1], "data": {"object": last.body}}, customer)
        body: Body = event["data"]["object"]
        yield body
