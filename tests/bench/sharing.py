"""More of what shares a service or a store: workers, callers, subscriptions of one customer."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from entitlements.store.embedded import EmbeddedStore
from tests.bench import machine, preload
from tests.bench.comparing import Part, Run, compare
from tests.bench.job import Job
from tests.bench.loads import Loads, Pace, names, one
from tests.bench.stage import Server, Service, tokens
from tests.bench.subscriptions import Kind, created

HOT = 100
OFTEN, NEW = Kind(family="h"), Kind(family="n")

CALLERS = (1, 16)
WORKERS = (1, 2)
EACH = (1, 10, 100)
"""Subscriptions of one customer."""

HAVING = 200
"""Customers who renew in one load."""

AGO = 3_600
"""Seconds since customers subscribed."""


class Numbers:
    """Customers who are new each time."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._next = 0

    def __call__(self) -> range:
        """Return the next ones: enough for one load."""
        self._next += self._pace.of_webhooks()
        return range(self._next - self._pace.of_webhooks(), self._next)


@contextmanager
def filled(home: Path, run: Run, *customers: preload.Customers) -> Iterator[EmbeddedStore]:
    """Run a store of some customers for as long as the block runs."""
    run.say("taking in customers")
    with ExitStack() as open_:
        with machine.pinned(run.places.load):
            store = open_.enter_context(EmbeddedStore.start(home / "data"))
        often = (created(int(time.time()) - AGO, OFTEN), range(HOT))
        preload.fill(store.url, often, *customers)
        yield store


@contextmanager
def serving(home: Path, run: Run, store: EmbeddedStore, callers: int = 1) -> Iterator[Server]:
    """Run a service on a store for as long as the block runs."""
    service = Service(home, run.places, store, callers)
    service.start()
    try:
        yield service.server
    finally:
        service.stop()


def workers(home: Path, run: Run, pace: Pace) -> Part:
    """Measure one process, and two that share a store. Nothing is bound to a processor: all are needed."""
    run, numbers = run._replace(places=machine.ANYWHERE), Numbers(pace)
    with (
        filled(home, run) as store,
        serving(home / "a", run, store) as first,
        serving(home / "b", run, store) as second,
    ):
        servers = {1: first, 2: first.beside(second)}
        found = compare({n: _both(server, pace, numbers) for n, server in servers.items()}, run)
    return Part("workers", "with two processes on one store", "workers", found)


def callers(home: Path, run: Run, pace: Pace) -> Part:
    """Measure with one token, and with sixteen, of which the last asks."""
    with ExitStack() as open_:
        store = open_.enter_context(filled(home, run))
        servers = {
            n: open_.enter_context(serving(home / f"callers-{n}", run, store, n)) for n in CALLERS
        }
        found = compare({n: _asked(server, pace, n) for n, server in servers.items()}, run)
    return Part("tokens", "as tokens grow", "tokens", found)


def subscriptions(home: Path, run: Run, pace: Pace) -> Part:
    """Measure as the subscriptions of each customer grow; each renewal is another customer's."""
    now, loads = int(time.time()) - AGO, run.rounds * (1 + run.again)
    kinds = {n: Kind(family=f"s{n}x", each=n) for n in EACH}
    had = [(created(now, kind), range(n * HAVING * loads)) for n, kind in kinds.items()]
    with filled(home, run, *had) as store, serving(home / "serve", run, store) as server:
        found = compare({n: _many(server, pace, kind) for n, kind in kinds.items()}, run)
    return Part("subscriptions", "as subscriptions of one customer grow", "subscriptions", found)


def _both(server: Server, pace: Pace, numbers: Numbers) -> dict[str, Callable[[], Job]]:
    loads = Loads(server, pace)
    return {
        "queries, hot": lambda: loads.ask([one(name) for name in names(OFTEN, range(HOT))]),
        "webhooks, creations": lambda: loads.creations(NEW, numbers()),
    }


def _asked(server: Server, pace: Pace, callers: int) -> dict[str, Callable[[], Job]]:
    last = tokens(callers)[-1]
    asked = [one(name, token=last) for name in names(OFTEN, range(HOT))]
    return {"queries, hot": lambda: Loads(server, pace).ask(asked)}


def _many(server: Server, pace: Pace, kind: Kind) -> dict[str, Callable[[], Job]]:
    loads, turn = Loads(server, pace), count()

    def renewals() -> Job:
        first = next(turn) * HAVING
        return loads.renewals(kind, [n * kind.each for n in range(first, first + HAVING)])

    return {
        "queries, hot": lambda: loads.ask([one(name) for name in names(kind, range(HOT))]),
        "webhooks, renewals": renewals,
    }
