"""More readers of the change feed: what they cost the others, and what each change costs that all of them are told."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median

from msgspec.structs import replace

from entitlements.store.embedded import EmbeddedStore
from tests.bench import machine
from tests.bench.comparing import Part, Run, Series, compare, cost, series
from tests.bench.job import Job
from tests.bench.loads import Loads, Pace, names, one
from tests.bench.readers import Readers, reading
from tests.bench.rounds import Void, cleanest
from tests.bench.sharing import AGO, HOT, NEW, OFTEN, Numbers, filled, serving
from tests.bench.stage import Server, entries
from tests.bench.subscriptions import Kind, created

READERS = (0, 100, 1_000)
RENEWING = Kind(family="r")
RENEWED = 1_000
"""Customers who renew in one load."""

RATE = 5.0
"""Changes a second, each of which all readers are told."""

SETTLING = 2.0
"""Seconds for the last changes to reach the readers."""


class Feed:
    """A service on a store of its own, with so many readers."""

    def __init__(self, server: Server, store: EmbeddedStore, readers: Readers, pace: Pace) -> None:
        self.memory = machine.memory(server.watched["server"])
        self._server = server
        self._store = store
        self._readers = readers
        self._loads = Loads(server, pace)
        self._numbers = Numbers(replace(pace, webhooks=int(2 * RATE)))
        self._turn = count()
        self._before = entries(store.url, "changes")

    def hot(self) -> Job:
        """Return questions."""
        return self._loads.ask([one(name) for name in names(OFTEN, range(HOT))])

    def renewals(self) -> Job:
        """Return deliveries that change no answer."""
        first = next(self._turn) * RENEWED
        return self._loads.renewals(RENEWING, list(range(first, first + RENEWED)))

    def telling(self) -> Job:
        """Return a few deliveries that each change an answer."""
        return self._loads.creations(NEW, self._numbers(), RATE)

    def end(self) -> None:
        """Let the readers leave. Raises Void where one of them was not told everything, once."""
        made = entries(self._store.url, "changes") - self._before
        time.sleep(SETTLING)
        told = self._readers.end()
        if told.lost or not set(told.changes) <= {made}:
            raise Void(f"of {made} changes readers were told {told}")


def following(home: Path, run: Run, pace: Pace) -> Part:
    """Measure as readers grow."""
    with ExitStack() as open_:
        feeds = {n: open_.enter_context(_feed(home / str(n), n, run, pace)) for n in READERS}
        loads = {
            n: {"queries, hot": f.hot, "webhooks, renewals": f.renewals} for n, f in feeds.items()
        }
        found = [*compare(loads, run), *_telling(feeds, run), _memory(feeds)]
        for feed in feeds.values():
            feed.end()
    return Part("readers", "as readers of the feed grow", "readers", found)


@contextmanager
def _feed(home: Path, readers: int, run: Run, pace: Pace) -> Iterator[Feed]:
    renewing = range(RENEWED * run.rounds * (1 + run.again))
    had = created(int(time.time()) - AGO, RENEWING), renewing
    with (
        filled(home, run, had) as store,
        serving(home / "serve", run, store) as server,
        reading(readers, server, run.places.load) as process,
    ):
        yield Feed(server, store, process, pace)


def _telling(feeds: Mapping[int, Feed], run: Run) -> list[Series]:
    """Return what it costs to tell a change: to each reader, beyond what the delivery itself costs."""
    costs: dict[int, list[float]] = {n: [] for n in feeds}
    for n in range(run.rounds):
        for readers, feed in feeds.items():
            run.say(f"round {n + 1} of {run.rounds}: changes, to {readers:,}")
            costs[readers].append(cost(cleanest(feed.telling, run.places.load, run.again)))
    alone = median(costs[0])
    each = {n: [(all_ - alone) / n for all_ in found] for n, found in costs.items() if n}
    return [series("a change: CPU of the service for each reader", "µs", each)]


def _memory(feeds: Mapping[int, Feed]) -> Series:
    each = {n: [(feed.memory - feeds[0].memory) / n] for n, feed in feeds.items() if n}
    return series("memory of the service for each reader", "bytes", each)
