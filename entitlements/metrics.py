"""What is counted, for Prometheus. Names and labels in one place; no ids in labels."""

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import get_args

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from entitlements.model import Outcome

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class _Tally(Collector):
    """A counter of one thread's: without the lock and the checks of the library's own, a fifth of its time."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self.of = defaultdict[str, int](int)
        """By the label's value."""
        self._named = name, documentation, (label,)
        REGISTRY.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give all counts to whoever asks for them."""
        name, documentation, labels = self._named
        family = CounterMetricFamily(name, documentation, labels=labels)
        for value, count in self.of.items():
            family.add_metric([value], count)
        yield family


_webhooks = Counter("entitlements_webhooks", "Deliveries stored, by outcome.", ["outcome"])
_refused = Counter("entitlements_webhooks_refused", "Deliveries refused, by error.", ["error"])
_seconds = Histogram(
    "entitlements_webhook_seconds", "From the request to the receipt.", buckets=_BUCKETS
)
_queries = _Tally("entitlements_queries", "Answers given, by what was asked.", "call")
_requests = _Tally("entitlements_requests", "Requests with a bearer token, by its name.", "caller")
_strangers = Counter(
    "entitlements_requests_refused", "Requests whose bearer token did not do, by error.", ["error"]
)
_quarantined = Gauge("entitlements_quarantined", "Events that wait in the quarantine.")

_reads = Counter(
    "entitlements_reads", "Reads from Stripe to settle a doubt, by result.", ["result"]
)
_drift = Counter(
    "entitlements_reconcile_drift",
    "Subscriptions that were not held as Stripe has them when a worker looked, by cause.",
    ["cause"],
)
_conflicts = Counter(
    "entitlements_commit_conflicts",
    "Writes that another writer of the same customer came before; each is tried again, up to a bound.",
)
_reachable = Gauge(
    "entitlements_store_reachable", "1 where the store answers, 0 where it does not."
)
_safe = Gauge(
    "entitlements_store_safe",
    "1 where the store keeps what is acknowledged, as configured; 0 where it would not; NaN where that is not known.",
)
_lag = Gauge(
    "entitlements_store_replica_lag_seconds", "Of the nearest replica; NaN where there is none."
)

_flips = Histogram(
    "entitlements_flip_lateness_seconds",
    "From the instant at which the clock changed an answer to its announcement.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3_600, 86_400),
)
_followers = Gauge("entitlements_feed_consumers", "Who follow the changes from this process.")
_sent = Counter("entitlements_feed_events", "Changes sent to those who follow.")

_by_outcome = {outcome: _webhooks.labels(outcome) for outcome in get_args(Outcome)}


def webhook(outcome: Outcome, seconds: float) -> None:
    """Count a delivery that is stored."""
    _by_outcome[outcome].inc()
    _seconds.observe(seconds)


def webhook_refused(error: str) -> None:
    """Count a delivery that was not taken in, by the class of its error."""
    _refused.labels(error).inc()


def read(result: str) -> None:
    """Count a read from Stripe: `healed`, `failed` or `given_up`."""
    _reads.labels(result).inc()


def drift(cause: str, subscriptions: int) -> None:
    """Count subscriptions that were not held as Stripe has them."""
    _drift.labels(cause).inc(subscriptions)


def flip(lateness: float) -> None:
    """Count a change by the clock that was announced, so many seconds after its instant."""
    _flips.observe(lateness)


def followers(count: int) -> None:
    """Note how many follow the changes now."""
    _followers.set(count)


def sent(changes: int) -> None:
    """Count changes sent to those who follow."""
    _sent.inc(changes)


def answered(call: str, answers: int = 1) -> None:
    """Count answers given, by the call that asked: `list`, `one`, `checks`, or one of `authzen_…` and `ofrep_…`."""
    _queries.of[call] += answers


def request(caller: str) -> None:
    """Count a request of a caller, who is known by the name of a token in the settings."""
    _requests.of[caller] += 1


def stranger(error: str) -> None:
    """Count a request without a token that would do, by the class of its error."""
    _strangers.labels(error).inc()


def commit_conflict() -> None:
    """Count a write that lost a race for its customer."""
    _conflicts.inc()


def store(*, safe: bool, lag: int | None) -> None:
    """Note how a store is that answers. `lag` in seconds, null without a replica."""
    _reachable.set(1)
    _safe.set(safe)
    _lag.set(math.nan if lag is None else lag)


def store_unreachable() -> None:
    """Note that the store does not answer: what it is like is then not known."""
    _reachable.set(0)
    _safe.set(math.nan)
    _lag.set(math.nan)


def quarantined(count: float) -> None:
    """Say how many events wait in the quarantine; NaN where that cannot be told."""
    _quarantined.set(count)


def exposition() -> bytes:
    """Return everything counted, in Prometheus' text format."""
    return generate_latest(REGISTRY)
