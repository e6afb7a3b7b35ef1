"""`python -m tests.bench.freshness`: from a webhook's 200 to the new answer, at each reader of two processes.

Two processes serve one store. An event is posted to one, and time is taken from its 200 on: until the change comes out
of the feed of either, and until a query to either, asked again and again, is answered with it. On loopback.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table

from entitlements.sandbox.event import encoded, signed
from entitlements.store.embedded import EmbeddedStore
from tests.bench import machine
from tests.bench.stage import Service, tokens
from tests.bench.subscriptions import SECRET
from tests.support.bodies import event, pausing, subscription, update

ADDRESS = "/v1/customers/cus_1/entitlements/pro"
PATIENCE = 10.0
PLAIN, PAUSED = subscription(), subscription(**pausing())


def main() -> int:
    """Measure so many changes, and print medians and the slowest; return 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.freshness", description=__doc__)
    parser.add_argument("--changes", type=int, default=200)
    count = parser.parse_args().changes
    with tempfile.TemporaryDirectory(prefix="ent-") as place:
        home = Path(place)
        with EmbeddedStore.start(home / "store") as store:
            served = [Service(home / name, machine.ANYWHERE, store) for name in ("one", "other")]
            for one in served:
                one.start()
            try:
                found = asyncio.run(measured([url(one) for one in served], count))
            finally:
                for one in served:
                    one.stop()
    show(found)
    return 0


def url(service: Service) -> str:
    """Return where a service is."""
    address = service.server.addresses[0]
    assert not isinstance(address, str)  # a service listens on a port
    return "http://{}:{}".format(*address)


async def measured(urls: Sequence[str], count: int) -> dict[str, list[float]]:
    """Return the seconds of each change, by who reads it."""
    names = ("the process that took it", "the other process")
    found: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        headers = {"Authorization": f"Bearer {tokens()[0]}"}
        asking = [
            await stack.enter_async_context(httpx2.AsyncClient(base_url=u, headers=headers))
            for u in urls
        ]
        feeds = [Feed(one) for one in asking]
        following = [asyncio.create_task(feed.follow()) for feed in feeds]
        stack.callback(lambda: [task.cancel() for task in following])
        await asyncio.gather(*(feed.begun.wait() for feed in feeds))
        for n in range(count):
            reason = await changed(asking[0], n)
            began = time.perf_counter()
            took = await asyncio.gather(
                *(answered(one, reason, began) for one in asking),
                *(feed.told(n, began) for feed in feeds),
            )
            for kind, pair in (("query", took[:2]), ("feed", took[2:])):
                for name, seconds in zip(names, pair, strict=True):
                    found.setdefault(f"{kind}, {name}", []).append(seconds)
    return found


async def changed(service: httpx2.AsyncClient, n: int) -> str:
    """Post the n-th event; return the reason that the answer has from then on."""
    now = int(time.time())
    created = now - 10_000 + n
    old, new = (PLAIN, PAUSED) if n % 2 else (PAUSED, PLAIN)
    body = encoded(
        update(old, new, id=f"evt_{n}", created=created)
        if n
        else event(PLAIN, id="evt_0", created=created)
    )
    answer = await service.post("/webhooks/stripe", content=body, headers=signed(body, SECRET, now))
    assert answer.json()["outcome"] == "applied", answer.text
    return "paused_void" if n % 2 else "active"


async def answered(service: httpx2.AsyncClient, reason: str, began: float) -> float:
    """Ask until the answer is the new one; return the seconds since it began."""
    async with asyncio.timeout(PATIENCE):
        while (await service.get(ADDRESS)).json()["reason"] != reason:
            pass
    return time.perf_counter() - began


class Feed:
    """One who follows the changes."""

    def __init__(self, service: httpx2.AsyncClient) -> None:
        self._service = service
        self._came: list[float] = []
        self._news = asyncio.Condition()
        self.begun = asyncio.Event()

    async def follow(self) -> None:
        """Note when each change comes, until cancelled."""
        async with self._service.stream("GET", "/v1/changes", timeout=None) as response:
            self.begun.set()
            async for line in response.aiter_lines():
                if line != "event: change":
                    continue
                async with self._news:
                    self._came.append(time.perf_counter())
                    self._news.notify_all()

    async def told(self, n: int, began: float) -> float:
        """Return how long after an instant the n-th change came; nothing if it came before."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self._came) > n)
        return max(0.0, self._came[n] - began)


def show(found: dict[str, list[float]]) -> None:
    """Print milliseconds."""
    table = Table("from the 200 to", "median ms", "99 of 100", "slowest")
    for name, took in found.items():
        ranked = (statistics.median(took), statistics.quantiles(took, n=100)[98], max(took))
        table.add_row(name, *(f"{1000 * seconds:.1f}" for seconds in ranked))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
