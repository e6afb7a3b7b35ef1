"""Everything that runs during a benchmark, and the loads for it: whom they ask about, and what must be answered."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from entitlements.store.embedded import EmbeddedStore
from tests.bench import machine, preload
from tests.bench.floors import FLOORS, RESPONDER
from tests.bench.job import Job
from tests.bench.stage import Server, Service, floor, tokens
from tests.bench.subscriptions import created, customer, feature, renewed
from tests.bench.wire import get, post

ON_TIME = 64
"""Connections where requests come on time: more than are under way as long as the server keeps up."""

HOT = 100
"""Customers who are asked about again and again."""

TEN, BATCH = 10, 100

GRANTED = b'"granted":true'


class Pace(Struct, frozen=True, kw_only=True):
    """How long each load lasts, in seconds, and for how many requests a second it is made.

    `callers` and `deliveries` are the connections of product services, and of Stripe: on each a request is under way.
    """

    warm: float = 0.4
    seconds: float = 2.0
    queries: int = 20_000
    webhooks: int = 10_000
    pins: bool = True
    callers: int = 16
    deliveries: int = 50
    forgives: bool = False
    """A 503 of a server that has too little of the machine is counted, and not wrong."""

    def of_queries(self) -> int:
        """Return how many questions are made where none comes twice."""
        return int(self.queries * (self.warm + self.seconds))

    def of_webhooks(self) -> int:
        """Return how many deliveries are made."""
        return int(self.webhooks * (self.warm + self.seconds))


class Scene:
    """The service, the floors, a store for these, and how far the customers have been used up.

    Families of customers: `h` hot, `t` with ten features, `r` who renew, `n` who are new; those without a letter are
    asked about once.
    """

    def __init__(
        self, places: machine.Places, pace: Pace, service: Service, floors: Mapping[str, Server]
    ) -> None:
        self.places = places
        self.pace = pace
        self._service = service
        self._floors = floors
        self._asked = 0
        self._new = 0
        self._renewals = 0

    def hello(self, name: str) -> Job:
        """Return questions to a floor that answers nothing."""
        return self._ask(self._floors[name], [get("/hello", tokens()[0])], b'"hello"')

    def received(self, name: str) -> Job:
        """Return deliveries to a floor: the same as for the service."""
        return self._deliver(self._floors[name], self._creations(), b'"received":true')

    def script(self) -> Job:
        """Return the commits of new customers, straight to the store of the floors."""
        server = self._floors["script"]
        numbers = range(self._new, self._new + 3 * self.pace.of_webhooks())
        self._new = numbers.stop
        commits = preload.commits(created(int(time.time()), family="n"), numbers)
        return self._job(
            server,
            commits,
            b":1\r\n",
            wire="resp",
            once=True,
            connections=self.pace.deliveries,
            depth=16,
        )

    def hot(self, rate: float | None = None) -> Job:
        """Return questions about one feature of customers who are asked about all the time."""
        paths = [self._one(customer(n, "h")) for n in range(HOT)]
        return self._ask(self._service.server, paths, GRANTED, rate=rate)

    def cold(self) -> Job:
        """Return questions about customers whom this process of the service has never seen."""
        count = self.pace.of_queries()
        if self._asked:
            self._service.stop()
            self._service.start()
        self._asked = count
        paths = [self._one(customer(n)) for n in range(count)]
        return self._ask(self._service.server, paths, GRANTED, once=True)

    def list_of_ten(self) -> Job:
        """Return questions about all features of customers who have ten."""
        token = tokens()[0]
        paths = [get(f"/v1/customers/{customer(n, 't')}/entitlements", token) for n in range(HOT)]
        return self._ask(self._service.server, paths, GRANTED, times=TEN)

    def batch(self) -> Job:
        """Return a hundred questions in one request, about a hundred customers."""
        checks = [{"customer": customer(n, "h"), "feature": feature()} for n in range(BATCH)]
        body = json.dumps({"checks": checks}).encode()
        request = post("/v1/checks", body, {"Authorization": f"Bearer {tokens()[0]}"})
        return self._ask(self._service.server, [request], GRANTED, times=BATCH)

    def creations(self) -> Job:
        """Return deliveries about customers who are new."""
        return self._deliver(self._service.server, self._creations(), b'"outcome":"applied"')

    def renewals(self, rate: float | None = None) -> Job:
        """Return deliveries about customers who are held, each of another one: their next renewal."""
        shape = renewed(int(time.time()), self._renewals, family="r")
        self._renewals += 1
        requests = shape.deliveries(range(self.pace.of_webhooks()), int(time.time()))
        return self._deliver(self._service.server, requests, b'"outcome":"unchanged"', rate)

    def _creations(self) -> list[bytes]:
        numbers = range(self._new, self._new + self.pace.of_webhooks())
        self._new = numbers.stop
        now = int(time.time())
        return created(now, family="n").deliveries(numbers, now)

    def _one(self, name: str) -> bytes:
        return get(f"/v1/customers/{name}/entitlements/{feature()}", tokens()[0])

    def _ask(
        self,
        server: Server,
        requests: list[bytes],
        expects: bytes,
        *,
        times: int = 1,
        once: bool = False,
        rate: float | None = None,
    ) -> Job:
        connections = self.pace.callers if rate is None else ON_TIME
        return self._job(
            server,
            requests,
            expects,
            times=times,
            once=once,
            rate=rate,
            connections=connections,
        )

    def _deliver(
        self, server: Server, requests: list[bytes], expects: bytes, rate: float | None = None
    ) -> Job:
        connections = self.pace.deliveries if rate is None else ON_TIME
        return self._job(server, requests, expects, once=True, rate=rate, connections=connections)

    def _job(self, server: Server, requests: list[bytes], expects: bytes, **given: Any) -> Job:  # noqa: ANN401  any field of a job
        return Job(
            address=server.address,
            watched=dict(server.watched),
            requests=requests,
            expects=expects,
            forgives=self.pace.forgives,
            warm=self.pace.warm,
            seconds=self.pace.seconds,
            **given,
        )


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
        floors["script"] = Server(preload.path(store.url), {"store": store.pid})
        preload.fill(store.url)
        with EmbeddedStore.start(home / "data") as filled:
            preload.fill(filled.url, *_customers(pace))
        service = Service(home / "serve", places, ENTITLEMENTS_DATA_DIR=str(home / "data"))
        service.start()
        running.callback(service.stop)
        yield Scene(places, pace, service, floors)


def _customers(pace: Pace) -> list[preload.Customers]:
    now = int(time.time())
    return [
        (created(now), range(pace.of_queries())),
        (created(now, family="h"), range(HOT)),
        (created(now, family="t", features=TEN), range(HOT)),
        (created(now, family="r"), range(pace.of_webhooks())),
    ]
