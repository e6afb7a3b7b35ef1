"""Whether the store keeps what it is given: each primary judged by what it says of itself. Rules alone."""

from collections.abc import Iterator, Sequence

from entitlements.doctor.finding import Finding, fail, ok, warn
from entitlements.store.safety import Durability, Topic, objections, remarks
from entitlements.store.vitals import Vitals

TIGHT, FULL = 0.75, 0.95
"""Shares of the room for data."""

LAG = 10
"""Seconds without a word from the nearest replica."""

SKEW, BROKEN = 1.0, 60.0
"""Seconds by which the clocks of the store and of this machine differ."""

TOPICS: tuple[Topic, ...] = ("version", "persistence", "eviction", "replication")


def storage(servers: Sequence[Vitals], durability: Durability) -> list[Finding]:
    """Judge the servers of a store by the durability that is asked of them."""
    return [finding for server in servers for finding in _one(server, durability)]


def _one(server: Vitals, durability: Durability) -> Iterator[Finding]:
    against: dict[Topic, list[str]] = {topic: [] for topic in TOPICS}
    for topic, said in objections(server.server, durability):
        against[topic].append(said)
    for topic in TOPICS:
        yield from _judged(server, topic, against[topic], durability)
    yield _memory(server)
    yield _clock(server)


def _judged(
    server: Vitals, topic: Topic, against: Sequence[str], durability: Durability
) -> Iterator[Finding]:
    check = f"store.{topic}"
    for said in against:
        what, _, remedy = said.partition(": ")
        yield fail(check, _named(server, what), remedy or "set it so at the server")
    if against:
        return
    good = {
        "version": _version,
        "persistence": _persistence,
        "eviction": _eviction,
        "replication": _replication,
    }
    yield good[topic](server, durability)


def _version(server: Vitals, _: Durability) -> Finding:
    return ok("store.version", _named(server, server.software))


def _persistence(server: Vitals, durability: Durability) -> Finding:
    told = server.server
    for said in remarks(told):
        if "append-only" in said:
            what, _, remedy = said.partition(": ")
            return warn("store.persistence", _named(server, what), remedy)
    if durability == "memory":
        return ok(
            "store.persistence",
            _named(server, f"appendonly is {told.appendonly}; none is asked for"),
        )
    return ok(
        "store.persistence", _named(server, "every write is on disk before it is acknowledged")
    )


def _eviction(server: Vitals, _: Durability) -> Finding:
    return ok("store.eviction", _named(server, "noeviction"))


def _replication(server: Vitals, durability: Durability) -> Finding:
    told = server.server
    if told.replica_lag is not None and told.replica_lag > LAG:
        return warn(
            "store.replication",
            _named(server, f"the nearest replica was last heard of {told.replica_lag} s ago"),
            "see whether it and the network keep up",
        )
    count = told.connected_replicas
    lag = f", the nearest {told.replica_lag} s behind" if told.replica_lag is not None else ""
    return ok(
        "store.replication", _named(server, f"{count} replicas{lag}; durability is {durability}")
    )


def _memory(server: Vitals) -> Finding:
    if not server.room:
        return ok("store.memory", _named(server, f"{_size(server.used)} in use"))
    share = server.used / server.room
    of = "maxmemory" if server.limited else "the machine's memory, since maxmemory is not set"
    said = _named(server, f"{_size(server.used)} in use, {share:.0%} of {of}")
    if share >= FULL:
        return fail("store.memory", said, "raise maxmemory or retain less, or writes are refused")
    if share >= TIGHT:
        return warn("store.memory", said, "raise maxmemory, or retain less (log_retention)")
    return ok("store.memory", said)


def _clock(server: Vitals) -> Finding:
    apart = abs(server.ahead)
    way = "ahead of" if server.ahead > 0 else "behind"
    said = _named(server, f"its clock is {apart:.1f} s {way} this machine's")
    if apart >= BROKEN:
        return fail("store.clock", said, "set both clocks by NTP")
    if apart >= SKEW:
        return warn("store.clock", said, "set both clocks by NTP")
    return ok("store.clock", said)


def _named(server: Vitals, said: str) -> str:
    return f"{server.name}: {said}" if server.name else said


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
