"""The loads of one server: whom they ask about, what they deliver, and what must be answered."""

import json
import random
import time
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from tests.bench.job import Job
from tests.bench.stage import Server, tokens
from tests.bench.subscriptions import Kind, created, customer, feature, renewed
from tests.bench.wire import get, post

ON_TIME = 64
"""Connections where requests come on time: more than are under way as long as the server keeps up."""

GRANTED = b'"granted":true'
APPLIED, UNCHANGED = b'"outcome":"applied"', b'"outcome":"unchanged"'
AGAIN = 50
"""Renewals of one customer in a load, at most: a second apart, and none so old that it would come late."""


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


QUICK = Pace(
    seconds=1.0,
    queries=10_000,
    webhooks=8_000,
    pins=False,
    callers=4,
    deliveries=4,
    forgives=True,
)
"""For a machine that may have a lot else to do: little at once, and nobody bound to a processor."""


class Loads:
    """Makes the loads of a server."""

    def __init__(self, server: Server, pace: Pace) -> None:
        self._server = server
        self._pace = pace

    def ask(
        self,
        requests: list[bytes],
        expects: bytes = GRANTED,
        *,
        times: int = 1,
        once: bool = False,
        rate: float | None = None,
    ) -> Job:
        """Return questions."""
        connections = self._pace.callers if rate is None else ON_TIME
        given = {"times": times, "once": once, "rate": rate, "connections": connections}
        return self._job(requests, expects, **given)

    def batch(self, customers: Iterable[str]) -> Job:
        """Return one request that asks about all of these customers, again and again."""
        checks = [{"customer": name, "feature": feature()} for name in customers]
        body = json.dumps({"checks": checks}).encode()
        request = post("/v1/checks", body, {"Authorization": f"Bearer {tokens()[0]}"})
        return self.ask([request], times=len(checks))

    def deliver(self, requests: list[bytes], expects: bytes, rate: float | None = None) -> Job:
        """Return deliveries, each of which is sent once."""
        connections = self._pace.deliveries if rate is None else ON_TIME
        return self._job(requests, expects, once=True, rate=rate, connections=connections)

    def creations(self, kind: Kind, numbers: range, rate: float | None = None) -> Job:
        """Return deliveries about customers who are new."""
        now = int(time.time())
        return self.deliver(created(now, kind).deliveries(numbers, now), APPLIED, rate)

    def renewals(self, kind: Kind, numbers: list[int]) -> Job:
        """Return deliveries about these customers in turn, again and again, the next renewal of each a second later."""
        now, count = int(time.time()), self._pace.of_webhooks()
        times = min(AGAIN, -(-count // len(numbers)))
        requests: list[bytes] = []
        for n in range(times):
            shape = renewed(now - times + n + 1, n, kind)
            requests += [shape.delivery(number, now) for number in numbers]
        return self.deliver(requests[:count], UNCHANGED)

    def commits(self, commands: list[bytes]) -> Job:
        """Return commits, straight to a store."""
        connections = self._pace.deliveries
        return self._job(
            commands, b":1\r\n", wire="resp", once=True, connections=connections, depth=16
        )

    def _job(self, requests: list[bytes], expects: bytes, **given: Any) -> Job:  # noqa: ANN401  any field of a job
        return Job(
            addresses=self._server.addresses,
            watched=dict(self._server.watched),
            requests=requests,
            expects=expects,
            forgives=self._pace.forgives,
            warm=self._pace.warm,
            seconds=self._pace.seconds,
            **given,
        )


def one(name: str, *, through: bool = False, token: str = "") -> bytes:
    """Return the question about one feature of a customer; `through` to the store, whatever is in memory."""
    headers = {"Cache-Control": "no-cache"} if through else {}
    path = f"/v1/customers/{name}/entitlements/{feature()}"
    return get(path, token or tokens()[0], headers)


def all_of(name: str) -> bytes:
    """Return the question about all features of a customer."""
    return get(f"/v1/customers/{name}/entitlements", tokens()[0])


def some(count: int, of: int, seed: int) -> list[int]:
    """Return so many numbers of customers by chance, each once; all of them where there are no more."""
    return random.Random(seed).sample(range(of), min(count, of))  # noqa: S311  a benchmark's own


def names(kind: Kind, numbers: Iterable[int]) -> list[str]:
    """Return the ids of customers."""
    return [customer(number, kind) for number in numbers]
