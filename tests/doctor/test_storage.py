"""What is said of a store: real servers set up well and otherwise, and what they may say of themselves."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from entitlements.doctor.finding import Finding
from entitlements.doctor.storage import BROKEN, LAG, SKEW, storage
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.safety import Durability, Server
from entitlements.store.store import Store
from entitlements.store.vitals import Vitals, vitals
from tests.support.servers import client, replicate

GOOD = Vitals(
    name="",
    software="Valkey 9.1.2",
    server=Server("9.1.2", "yes", "always", "no", "noeviction"),
    used=1 << 20,
    room=1 << 30,
    limited=True,
    ahead=0.0,
)
CHECKS = ["version", "persistence", "eviction", "replication", "memory", "clock"]


async def examined(url: str, durability: Durability = "fsync") -> list[Finding]:
    """Return what is found of a real store."""
    store = await Store.looked_at(url, name="test", durability=durability)
    try:
        return storage(await vitals(store), durability)
    finally:
        await store.close()


def wrong(found: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return what is not well."""
    return [(one.check.removeprefix("store."), one.level) for one in found if one.level != "OK"]


def judged(**fields: object) -> list[tuple[str, str]]:
    """Return what is not well of a server that is otherwise good."""
    return wrong(storage([replace(GOOD, **fields)], "fsync"))


@pytest.mark.asyncio
async def test_a_good_store_has_a_line_for_each_check(redis_url: str) -> None:
    """Of one server, of a primary behind Sentinels, and of each primary of a cluster."""
    found = await examined(redis_url)
    assert wrong(found) == []
    names = [one.check.removeprefix("store.") for one in found]
    assert names == CHECKS * (len(names) // len(CHECKS))
    assert str(found[0]).partition(": ")[2] or str(found[0]).startswith(("Valkey", "Redis"))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("parameter", "value", "check"),
    [
        ("appendfsync", "everysec", "persistence"),
        ("appendonly", "no", "persistence"),
        ("maxmemory-policy", "allkeys-lru", "eviction"),
    ],
)
async def test_a_store_that_would_lose_or_evict_fails(
    own_store: EmbeddedStore, parameter: str, value: str, check: str
) -> None:
    """It is looked at all the same, and each fault names its remedy."""
    with client(own_store.url) as server:
        server.config_set(parameter, value)
    found = await examined(own_store.url)
    assert wrong(found) == [(check, "FAIL")]
    assert all(one.remedy for one in found if one.level == "FAIL")


@pytest.mark.asyncio
async def test_memory_that_runs_out_is_told_in_time(own_store: EmbeddedStore) -> None:
    """First as a warning; without a limit the machine's own memory is the room."""
    with client(own_store.url) as server:
        used = int(server.info("memory")["used_memory"])
        for limit, level in ((used * 5 // 4, "WARN"), (used, "FAIL"), (0, None)):
            server.config_set("maxmemory", limit)
            found = await examined(own_store.url)
            assert wrong(found) == ([("memory", level)] if level else [])
    assert "maxmemory is not set" in str(next(f for f in found if f.check == "store.memory"))


@pytest.mark.asyncio
async def test_a_replica_that_is_asked_for_has_to_be_there(
    own_store: EmbeddedStore, short_path: Path
) -> None:
    """And its lag is told."""
    assert wrong(await examined(own_store.url, "replica")) == [("replication", "FAIL")]
    with EmbeddedStore.start(short_path / "replica") as replica:
        replicate(own_store, replica)
        found = await examined(own_store.url, "replica")
        assert ("replication", "FAIL") in wrong(await examined(replica.url))
    assert wrong(found) == []
    assert "1 replicas" in str(next(one for one in found if one.check == "store.replication"))


@pytest.mark.asyncio
async def test_a_clock_that_is_off_is_told(store_url: str) -> None:
    """By how much, and which way."""
    store = await Store.looked_at(store_url, name="test", durability="fsync")
    found = [
        storage(await vitals(store, partial(_later, off)), "fsync")[-1]
        for off in (0, 5, -5, BROKEN + 5)
    ]
    await store.close()
    assert [one.level for one in found] == ["OK", "WARN", "WARN", "FAIL"]
    assert "s behind this machine's" in str(found[1])
    assert "s ahead of this machine's" in str(found[2])


def _later(seconds: float) -> float:
    return time.time() + seconds


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"server": replace(GOOD.server, version="6.2.14")}, [("version", "FAIL")]),
        (
            {"server": replace(GOOD.server, appendfsync="everysec", maxmemory_policy="unknown")},
            [("persistence", "FAIL"), ("eviction", "FAIL")],
        ),
        ({"server": replace(GOOD.server, loading=True)}, [("persistence", "FAIL")]),
        ({"server": replace(GOOD.server, aof_last_write_status="err")}, [("persistence", "FAIL")]),
        (
            {"server": replace(GOOD.server, aof_last_bgrewrite_status="err")},
            [("persistence", "WARN")],
        ),
        ({"server": replace(GOOD.server, full=True)}, []),  # its memory says so
        (
            {"server": replace(GOOD.server, connected_replicas=1, replica_lag=LAG + 1)},
            [("replication", "WARN")],
        ),
        ({"server": replace(GOOD.server, connected_replicas=1, replica_lag=LAG)}, []),
        ({"used": 3 << 28}, [("memory", "WARN")]),
        ({"used": 1 << 30}, [("memory", "FAIL")]),
        ({"room": 0}, []),  # a server that does not say how much there is
        ({"ahead": SKEW}, [("clock", "WARN")]),
        ({"ahead": -BROKEN}, [("clock", "FAIL")]),
    ],
)
def test_a_server_is_judged_by_what_it_says(
    fields: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    """Each fault by itself."""
    assert judged(**fields) == expected


def test_memory_alone_asks_for_no_disk() -> None:
    """Where nothing else was asked for."""
    careless = replace(GOOD, server=replace(GOOD.server, appendonly="no", appendfsync="no"))
    found = storage([careless], "memory")
    assert wrong(found) == []
    assert "none is asked for" in str(found[1])


def test_a_server_of_several_is_named() -> None:
    """So that one knows where to go."""
    first, second = replace(GOOD, name="a:1"), replace(GOOD, name="b:2", used=1 << 30)
    (bad,) = [one for one in storage([first, second], "fsync") if one.level != "OK"]
    assert str(bad).startswith("b:2: ")
