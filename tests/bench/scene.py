"""Everything that runs during a benchmark, and how far its customers have been used up."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from entitlements.store.embedded import EmbeddedStore, running_url
from tests.bench import machine, preload
from tests.bench.errand import Errand
from tests.bench.floors import FLOORS, RESPONDER
from tests.bench.job import Job
from tests.bench.loads import UNCHANGED, Loads, Pace, all_of, names, one
from tests.bench.stage import Server, Service, entries, floor, tokens
from tests.bench.subscriptions import Kind, Shape, created, renewed
from tests.bench.wire import get

HOT, BATCH, TEN = 100, 100, 10
"""Customers who are asked about again and again; those in one batch; the features of those who have many."""

NEWS = 4
"""The share of a load's deliveries, as a divisor, that a replay takes in: it takes its time for each."""

ONCE, OFTEN, MANY = Kind(), Kind(family="h"), Kind(family="t", features=TEN)
NEW, RENEWING = Kind(family="n"), Kind(family="r")


class Scene:
    """The service, the floors, a store for these, and how far the customers have been used up."""

    def __init__(
        self,
        *,
        home: Path,
        places: machine.Places,
        pace: Pace,
        service: Service,
        floors: Mapping[str, Server],
        since: int,
    ) -> None:
        """`since` is when the customers were created."""
        self.places = places
        self._home = home
        self._since = since
        self._pace = pace
        self._service = service
        self._floors = floors
        self._asked = False
        self._new = 0
        self._renewals = 0

    @property
    def _loads(self) -> Loads:
        return Loads(self._service.server, self._pace)

    def hello(self, name: str, rate: float | None = None) -> Job:
        """Return questions to a floor that answers nothing."""
        requests = [get("/hello", tokens()[0])]
        return Loads(self._floors[name], self._pace).ask(requests, b'"hello"', rate=rate)

    def received(self, name: str, rate: float | None = None) -> Job:
        """Return deliveries to a floor: the same as for the service."""
        now = int(time.time())
        requests = created(now, NEW).deliveries(self._numbers(), now)
        return Loads(self._floors[name], self._pace).deliver(requests, b'"received":true', rate)

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

    def replay_of_log(self, *, apply: bool = False) -> Errand:
        """Return a replay of all that the service was sent: it is held already, every event."""
        held = {"duplicate": entries(self._url, "log")}
        return self._replay(["--source", "log"], held, apply=apply)

    def replay_of_file(self) -> Errand:
        """Return a replay of a file of events that are held already."""
        numbers = range(self._pace.of_webhooks())
        file = self._file(created(self._since, RENEWING), numbers)
        return self._replay([str(file)], {"duplicate": len(numbers)}, apply=False)

    def replay_of_new(self) -> Errand:
        """Return a replay of a file of events about customers who are new."""
        numbers = self._numbers()[: self._pace.of_webhooks() // NEWS]
        file = self._file(created(int(time.time()), NEW), numbers)
        return self._replay([str(file)], {"applied": len(numbers)}, apply=True)

    def _file(self, shape: Shape, numbers: range) -> Path:
        file = self._home / "events.jsonl"
        with file.open("wb") as lines:
            for number in numbers:
                lines.write(msgspec.json.format(shape.body(number), indent=-1) + b"\n")
        return file

    def _replay(self, what: list[str], outcomes: dict[str, int], *, apply: bool) -> Errand:
        applied = ["--apply", "--reason", "a benchmark"] if apply else []
        return Errand(
            command=["replay", *what, *applied, "--json"],
            settings={"ENTITLEMENTS_REDIS_URL": self._url},
            outcomes=outcomes,
            store=self._service.server.watched["store"],
        )

    @property
    def _url(self) -> str:
        found = running_url(self._home / "data")
        assert found
        return found

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
        since = int(time.time())
        with EmbeddedStore.start(home / "data") as filled:
            preload.fill(filled.url, *_customers(pace, since))
        service = Service(home / "serve", places, home / "data")
        service.start()
        running.callback(service.stop)
        yield Scene(
            home=home, places=places, pace=pace, service=service, floors=floors, since=since
        )


def _customers(pace: Pace, now: int) -> list[preload.Customers]:
    return [
        (created(now, ONCE), range(pace.of_queries())),
        (created(now, OFTEN), range(HOT)),
        (created(now, MANY), range(HOT)),
        (created(now, RENEWING), range(pace.of_webhooks())),
    ]
