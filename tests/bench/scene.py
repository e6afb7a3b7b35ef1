"""Everything that runs during a benchmark, and how far its customers have been used up."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from entitlements.store.embedded import EmbeddedStore
from tests.bench import machine, preload
from tests.bench.floors import FLOORS, RESPONDER
from tests.bench.job import Job
from tests.bench.loads import UNCHANGED, Loads, Pace, all_of, names, one
from tests.bench.stage import Server, Service, floor, tokens
from tests.bench.subscriptions import Kind, created, renewed
from tests.bench.wire import get

HOT, BATCH, TEN = 100, 100, 10
"""Customers who are asked about again and again; those in one batch; the features of those who have many."""

ONCE, OFTEN, MANY = Kind(), Kind(family="h"), Kind(family="t", features=TEN)
NEW, RENEWING = Kind(family="n"), Kind(family="r")


class Scene:
    """The service, the floors, a store for these, and how far the customers have been used up."""

    def __init__(
        self, places: machine.Places, pace: Pace, service: Service, floors: Mapping[str, Server]
    ) -> None:
        self.places = places
        self._pace = pace
        self._service = service
        self._floors = floors
        self._asked = False
        self._new = 0
        self._renewals = 0

    @property
    def _loads(self) -> Loads:
        return Loads(self._service.server, self._pace)

    def hello(self, name: str) -> Job:
        """Return questions to a floor that answers nothing."""
        requests = [get("/hello", tokens()[0])]
        return Loads(self._floors[name], self._pace).ask(requests, b'"hello"')

    def received(self, name: str) -> Job:
        """Return deliveries to a floor: the same as for the service."""
        now = int(time.time())
        requests = created(now, NEW).deliveries(self._numbers(), now)
        return Loads(self._floors[name], self._pace).deliver(requests, b'"received":true')

    def script(self) -> Job:
        """Return the commits of new customers, straight to the store of the floors."""
        commits = preload.commits(created(int(time.time()), NEW), self._numbers(times=3))
        return Loads(self._floors["script"], self._pace).commits(commits)

    def hot(self, rate: float | None = None) -> Job:
        """Return questions about one feature of customers who are asked about all the time."""
        return self._loads.ask([one(name) for name in names(OFTEN, range(HOT))], rate=rate)

    def cold(self) -> Job:
        """Return questions about customers whom this process of the service has never seen."""
        if self._asked:
            self._service.stop()
            self._service.start()
        self._asked = True
        numbers = range(self._pace.of_queries())
        return self._loads.ask([one(name) for name in names(ONCE, numbers)], once=True)

    def list_of_ten(self) -> Job:
        """Return questions about all features of customers who have ten."""
        return self._loads.ask([all_of(name) for name in names(MANY, range(HOT))], times=TEN)

    def batch(self) -> Job:
        """Return a hundred questions in one request, about a hundred customers."""
        return self._loads.batch(names(OFTEN, range(BATCH)))

    def creations(self) -> Job:
        """Return deliveries about customers who are new."""
        return self._loads.creations(NEW, self._numbers())

    def renewals(self, rate: float | None = None) -> Job:
        """Return deliveries about customers who are held, each of another one: their next renewal."""
        now = int(time.time())
        shape = renewed(now, self._renewals, RENEWING)
        self._renewals += 1
        requests = shape.deliveries(range(self._pace.of_webhooks()), now)
        return self._loads.deliver(requests, UNCHANGED, rate)

    def _numbers(self, times: int = 1) -> range:
        numbers = range(self._new, self._new + times * self._pace.of_webhooks())
        self._new = numbers.stop
        return numbers


@contextmanager
def staged(home: Path, pace: Pace) -> Iterator[Scene]:
    """Start everything, and take in the customers; end it after the block."""
    places = machine.places() if pace.pins else machine.ANYWHERE
    with ExitStack() as running:
        with machine.pinned(places.load):
            store = running.enter_context(EmbeddedStore.start(home / "floors"))
        floors = {
            name: running.enter_context(floor(name, home, store, places))
            for name in (RESPONDER, *FLOORS)
        }
        floors["script"] = Server([preload.path(store.url)], {"store": store.pid})
        preload.fill(store.url)
        with EmbeddedStore.start(home / "data") as filled:
            preload.fill(filled.url, *_customers(pace))
        service = Service(home / "serve", places, home / "data")
        service.start()
        running.callback(service.stop)
        yield Scene(places, pace, service, floors)


def _customers(pace: Pace) -> list[preload.Customers]:
    now = int(time.time())
    return [
        (created(now, ONCE), range(pace.of_queries())),
        (created(now, OFTEN), range(HOT)),
        (created(now, MANY), range(HOT)),
        (created(now, RENEWING), range(pace.of_webhooks())),
    ]
