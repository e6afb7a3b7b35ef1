"""What must hold of a store after crashes: nothing missing, doubled, half-written or decided otherwise."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import redis

from entitlements.absorb import Held, absorb, lists
from entitlements.decode import decode
from entitlements.model import CustomerRecord, Subject, SubscriptionEvent, SubscriptionRecord
from entitlements.policy import BUILT_IN
from entitlements.resolve import features, latest_known, next_change
from entitlements.sandbox.event import encoded
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from entitlements.store.cold import NOTHING
from entitlements.store.store import NOBODY, Store
from tests.support.histories import START
from tests.support.servers import client
from tests.support.stores import opened

LISTS = ("due", "paused", "review", "reads")
Places = dict[tuple[str, str], float]
"""Of each list and member: its score."""


class Line(NamedTuple):
    """A line of the log, as far as it is checked."""

    event: str
    subject: str
    subscription: str
    received: int


class Log:
    """The event log, read on from where it was read last."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._last = ["-"] * keys.PARTITIONS
        self._read = [0] * keys.PARTITIONS

    def read(self, url: str) -> Iterator[str]:
        """Read what is new; yield what is wrong: an entry that was there and is not any more."""
        with client(url) as plain:
            for p in range(keys.PARTITIONS):
                name = keys.shared(p, "log")
                found: Any = plain.xrange(name, self._last[p])
                self.lines += [_line(fields) for _, fields in found]
                self._read[p] += len(found)
                if found:
                    self._last[p] = f"({found[-1][0].decode()}"
                if (length := plain.xlen(name)) != self._read[p]:
                    yield f"{name} had {self._read[p]} entries, and has {length}"

    def missing(self, acknowledged: Iterable[str]) -> list[str]:
        """Name the acknowledged events that are not in it exactly once."""
        held = Counter(line.event for line in self.lines)
        return [f"{e} is in the log {held[e]} times" for e in acknowledged if held[e] != 1]


def _line(fields: Mapping[bytes, bytes]) -> Line:
    subject, subscription = fields.get(b"subject", b""), fields.get(b"subscription", b"")
    at = int(fields[b"received_ms"]) // 1000
    return Line(fields[b"event"].decode(), subject.decode(), subscription.decode(), at)


class Expected(NamedTuple):
    """What an undisturbed fold in memory makes of a customer's events."""

    record: CustomerRecord
    colds: dict[str, SubscriptionRecord]


def expected(bodies: Iterable[Body]) -> dict[Subject, Expected]:
    """Fold events in the order in which they happened, each once, in memory."""
    found = defaultdict[Subject, Expected](lambda: Expected(NOBODY, {}))
    for told in (decode(encoded(body)) for body in bodies):
        if isinstance(told, SubscriptionEvent):
            record, colds = found[told.subject]
            held = Held(record, colds.get(told.subscription, NOTHING))
            absorbed = absorb(held, told, BUILT_IN, START)
            after = colds | {told.subscription: absorbed.subscription}
            found[told.subject] = Expected(absorbed.customer, after)
    return dict(found)


async def faults(url: str, bodies: Iterable[Body], log: Log) -> list[str]:
    """Return what is wrong with what a store holds after these events, a sentence each."""
    undisturbed = expected(bodies)
    of = defaultdict[str, list[Line]](list)
    for line in log.lines:
        of[line.subject].append(line)
    with client(url) as plain:
        places = _places(plain)
    found, wanted = [], Places()
    async with opened(url) as store:
        for subject, (record, colds) in undisturbed.items():
            held = await _held(store, subject, colds)
            lines = of[str(subject)]
            found += [f"{subject}: {what}" for what in _differences(held, (record, colds), lines)]
            wanted |= _wanted(subject, held, lines)
    found += [f"{at}: is {places.get(at)}, not {wanted.get(at)}" for at in _apart(places, wanted)]
    return found


async def _held(store: Store, subject: Subject, colds: Mapping[str, object]) -> Expected:
    names = list(colds)
    found = await store.subscriptions(subject, names)
    return Expected(await store.customer(subject), dict(zip(names, found, strict=True)))


def _differences(
    held: Expected, wanted: tuple[CustomerRecord, Mapping[str, SubscriptionRecord]], log: list[Line]
) -> Iterator[str]:
    record, colds = wanted
    if held.record.version != len(log) or len(log) != record.version:
        yield f"version {held.record.version}, {len(log)} log entries, {record.version} events"
    if held.record.decisions != record.decisions:
        yield "is decided otherwise than by an undisturbed fold"
    for name, cold in colds.items():
        is_ = held.colds[name]
        if [f.event for f in is_.facts] != [f.event for f in cold.facts]:
            yield f"{name} has other facts, or in another order"
        if is_.state != cold.state:
            yield f"{name} is in another state"


def _places(plain: redis.Redis) -> Places:
    found = Places()
    for p, name in product(range(keys.PARTITIONS), LISTS):
        members: list[Any] = plain.zrange(keys.shared(p, name), 0, -1, withscores=True)
        found |= {(name, member.decode()): score for member, score in members}
    return found


def _wanted(subject: Subject, held: Expected, log: list[Line]) -> Places:
    """Return where a customer's records want it to stand on the lists since its latest write."""
    decisions = held.record.decisions
    if not log or log[-1].subscription not in decisions:
        return {}  # which is wrong, and said already
    at = max(log[-1].received, latest_known(held.record))
    places = {("due", str(subject)): next_change(held.record, at)}
    for name, cold in held.colds.items():
        if cold.state and name in decisions:
            on = lists(held.record, decisions[name], cold.state, at)
            places["paused", f"{subject} {name}"] = on.paused_since
            places["review", f"{subject} {name}"] = on.review_since
            places["reads", f"{subject} {name}"] = on.read_due
    return {place: float(score) for place, score in places.items() if score is not None}


def _apart(first: Places, second: Places) -> list[tuple[str, str]]:
    return sorted(k for k in first.keys() | second.keys() if first.get(k) != second.get(k))


def questions(bodies: Iterable[Body]) -> Iterator[tuple[Subject, str, int, CustomerRecord]]:
    """Yield what to ask at the end: of whom, which feature, at what instant; and the record to answer by."""
    for subject, (record, _) in expected(bodies).items():
        latest = max(decision.as_of for decision in record.decisions.values())
        for feature, at in product(features(record), (latest, latest + 20 * 86_400)):
            yield subject, feature, at, record
