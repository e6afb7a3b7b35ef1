"""The store is watched: while it would not keep what is acknowledged, nothing is, and the process says so."""

import asyncio
import io
import json
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import pytest
from httpx2 import Response

from entitlements.errors import StoreUnavailable, StoreUnsafe
from entitlements.http.watch import EVERY, Watch
from entitlements.sandbox.shapes import Body
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import event, subscription
from tests.support.servers import client, frozen, replicate
from tests.support.service import Service, serving
from tests.support.stores import opened

CREATED = event(subscription())
OFTEN, NEVER = 0.05, 3600.0
"""Seconds between looks: as good as at once, and not while a test runs."""


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 10) -> None:
    """Poll a condition; fail when it has not come true in time."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


async def until_answered(service: Service, name: str, said: str) -> Response:
    """Deliver one event again and again, until a member of the answer says so; return that answer."""
    found: list[Response] = []

    async def answered() -> bool:
        found.append(await service.deliver(CREATED))
        return said in found[-1].json().get(name, "")

    await until(answered)
    return found[-1]


async def store_of(service: Service) -> Body:
    """Return what /readyz says of the store."""
    found = await service.http.get("/readyz")
    assert found.status_code == 200
    store: Body = found.json()["store"]
    return store


async def gauge(service: Service, name: str) -> float:
    """Return a metric's value."""
    lines = (await service.http.get("/metrics")).text.splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith(f"entitlements_store_{name} ")]
    return float(value)


async def granted(service: Service) -> bool:
    """Ask whether the customer may; fail where there is no answer."""
    answer = await service.ask("/v1/customers/cus_1/entitlements/pro")
    assert answer.status_code == 200
    return bool(answer.json()["granted"])


def told(lines: io.StringIO, *names: str) -> list[str]:
    """Return the names of the log's lines about the store, in their order."""
    logged = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    return [name for name in logged if name in names or (not names and name.startswith("store_"))]


@asynccontextmanager
async def unsafe(service: Service, says: str) -> AsyncGenerator[Body]:
    """Fail unless deliveries are refused by now for this reason; after the block, unless they are taken again."""
    refused = await until_answered(service, "detail", says)
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:problem-type:entitlements:store-unsafe"
    assert int(refused.headers["retry-after"]) > 0
    assert await granted(service)
    store = await store_of(service)
    assert store["reachable"]
    assert any(says in sentence for sentence in store["unsafe"])
    assert await gauge(service, "safe") == 0
    yield store
    again = await until_answered(service, "outcome", "duplicate")
    assert again.status_code == 200
    assert await gauge(service, "safe") == 1
    assert (await store_of(service))["unsafe"] == []


# -- Set up otherwise


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("parameter", "bad", "good"),
    [
        ("appendonly", "no", "yes"),
        ("appendfsync", "everysec", "always"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
async def test_a_parameter_that_somebody_changes_is_seen(
    own_store: EmbeddedStore, log_lines: io.StringIO, parameter: str, bad: str, good: str
) -> None:
    """Deliveries are refused and queries answered, until it is changed back; the log has one line for each turn."""
    with client(own_store.url) as plain:
        async with serving(own_store.url, watch_every=OFTEN) as service:
            await service.deliver(CREATED)
            plain.config_set(parameter, bad)
            async with unsafe(service, parameter) as store:
                assert store["durable"] is False
                plain.config_set(parameter, good)
            assert (await store_of(service))["durable"] is True
    turns = [
        name for name, _ in groupby(told(log_lines))
    ]  # told again where the cause becomes another
    assert turns == ["store_unsafe", "store_safe"]


@pytest.mark.asyncio
async def test_a_file_that_is_switched_on_counts_once_it_is_written(
    own_store: EmbeddedStore,
) -> None:
    """Until then the server says `appendonly yes` of a file that would not be read after a crash."""
    with client(own_store.url) as plain:
        async with serving(own_store.url, watch_every=OFTEN) as service:
            await service.deliver(CREATED)
            plain.config_set("appendonly", "no")
            async with unsafe(service, "appendonly is no"):
                plain.mset({f"filler:{n}": n for n in range(200)})
                plain.config_set("rdb-key-save-delay", 10_000)  # two seconds in all
                plain.config_set("appendonly", "yes")
                async with unsafe(service, "still being written") as store:
                    assert plain.info("persistence")["aof_enabled"] == 1
                    assert store["durable"] is False
            assert plain.info("persistence")["aof_rewrite_in_progress"] == 0


@pytest.mark.asyncio
async def test_memory_is_watched_for_eviction_alone(own_store: EmbeddedStore) -> None:
    """Who asks for no durability is not stopped by a file that is not synced, and still by what may vanish."""
    with client(own_store.url) as plain:
        async with serving(own_store.url, watch_every=OFTEN, durability="memory") as service:
            await service.deliver(CREATED)
            plain.config_set("appendfsync", "everysec")
            plain.config_set("maxmemory-policy", "allkeys-lru")
            async with unsafe(service, "maxmemory-policy") as store:
                assert (store["durable"], len(store["unsafe"])) == (False, 1)
                plain.config_set("maxmemory-policy", "noeviction")


@pytest.mark.asyncio
async def test_what_the_server_stops_telling_is_unknown_and_not_taken_for_good(
    own_store: EmbeddedStore,
) -> None:
    """CONFIG may be denied while the service runs: `durable` is then null, and nothing acknowledged under fsync."""
    url = own_store.url.replace("unix://", "unix://app:secret@")
    with client(own_store.url) as plain:
        plain.acl_setuser(
            "app", enabled=True, passwords=["+secret"], keys=["ent:*"], commands=["+@all"]
        )
        async with serving(url, watch_every=OFTEN) as service:
            await service.deliver(CREATED)
            plain.acl_setuser("app", commands=["-config"])
            async with unsafe(service, "appendfsync is unknown") as store:
                assert store["durable"] is None
                plain.acl_setuser("app", commands=["+config"])


@pytest.mark.asyncio
async def test_a_replica_that_leaves_is_missed(own_store: EmbeddedStore, short_path: Path) -> None:
    """Under `replica` somebody has to be there to confirm; how far behind it is stands in /readyz and the metrics."""
    with EmbeddedStore.start(short_path / "replica") as replica, client(replica.url) as down:
        replicate(own_store, replica)
        async with serving(own_store.url, watch_every=OFTEN, durability="replica") as service:
            await service.deliver(CREATED)
            store = await store_of(service)
            assert store["durable"] is True
            assert store["lag"] <= 1
            assert await gauge(service, "replica_lag_seconds") == store["lag"]
            down.replicaof("NO", "ONE")
            async with unsafe(service, "no replica is connected") as store:
                assert (store["durable"], store["lag"]) == (False, None)
                assert math.isnan(await gauge(service, "replica_lag_seconds"))
                replicate(own_store, replica)


# -- Out of reach


@pytest.mark.asyncio
async def test_a_store_that_is_out_of_reach_is_one_line_of_the_log(
    own_store: EmbeddedStore, log_lines: io.StringIO
) -> None:
    """And one when it is back; meanwhile nothing is known of it, whatever was seen before."""

    async def said() -> bool:
        return bool(told(log_lines))

    async def again() -> bool:
        return told(log_lines) == ["store_unreachable", "store_reachable"]

    async with serving(own_store.url, watch_every=OFTEN) as service:
        with frozen(own_store.pid):
            await until(said)
            assert await gauge(service, "reachable") == 0
            assert math.isnan(await gauge(service, "safe"))
            assert await store_of(service) == {"reachable": False, "durable": None}
        await until(again)
        assert await gauge(service, "reachable") == 1
        assert (await store_of(service))["durable"] is True


@pytest.mark.asyncio
async def test_a_store_that_comes_back_otherwise_is_asked_before_it_is_trusted(
    short_path: Path,
) -> None:
    """After a failure the next delivery looks first, so that no other server slips in between two looks."""
    home = short_path / "own"
    with EmbeddedStore.start(home) as store:
        async with serving(store.url, watch_every=NEVER) as service:
            await service.deliver(CREATED)
            store.stop()
            assert (await service.deliver(CREATED)).status_code == 503
            with EmbeddedStore.start(home) as back, client(back.url) as plain:
                plain.config_set("appendfsync", "everysec")
                refused = await service.deliver(CREATED)
                assert (refused.status_code, "appendfsync" in refused.json()["detail"]) == (
                    503,
                    True,
                )


@pytest.mark.asyncio
async def test_what_turns_out_during_a_delivery_counts(own_store: EmbeddedStore) -> None:
    """What was written meanwhile is not acknowledged."""
    async with opened(own_store.url) as store:
        watch = Watch(store, "fsync")
        await watch.look()

        async def write() -> None:
            async with watch.safe():
                with client(own_store.url) as plain:
                    plain.config_set("appendfsync", "everysec")
                await watch.look()

        with pytest.raises(StoreUnsafe, match="appendfsync is everysec"):
            await write()


@pytest.mark.asyncio
async def test_what_was_seen_long_ago_is_not_relied_on(own_store: EmbeddedStore) -> None:
    """Should looks cease, whoever writes looks first."""
    async with opened(own_store.url) as store:
        watch = Watch(store, "fsync", good_for=0.0)
        await watch.look()
        async with watch.safe():
            pass
        with client(own_store.url) as plain:
            plain.config_set("appendfsync", "everysec")
            with pytest.raises(StoreUnsafe):
                async with watch.safe():
                    pass
    assert EVERY < 10


@pytest.mark.asyncio
async def test_those_who_wait_for_one_look_share_it(own_store: EmbeddedStore) -> None:
    """A store that comes back is not asked by every delivery that waits."""
    async with opened(own_store.url) as store:
        watch = Watch(store, "fsync")
        with client(own_store.url) as plain:
            plain.config_resetstat()

            async def write() -> None:
                async with watch.safe():
                    pass

            await asyncio.gather(*(write() for _ in range(20)))
            assert plain.info("commandstats")["cmdstat_config|get"]["calls"] == 1


@pytest.mark.asyncio
async def test_a_failure_in_a_delivery_leaves_nothing_known(own_store: EmbeddedStore) -> None:
    """Also where the delivery was given up."""
    async with opened(own_store.url) as store:
        watch = Watch(store, "fsync")
        for error in (StoreUnavailable("gone"), asyncio.CancelledError()):
            await watch.look()
            assert watch.told()["durable"] is True
            with pytest.raises(type(error)):
                async with watch.safe():
                    raise error
            assert watch.told()["durable"] is None


# -- Worth a word


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_rewritten_is_told_and_does_no_harm(
    own_store: EmbeddedStore, short_path: Path, log_lines: io.StringIO
) -> None:
    """It grows, which is for an operator; what is acknowledged is in it all the same."""
    for n in range(2, 9):  # the names that the next rewrites would give the file
        (short_path / "own" / "appendonlydir" / f"appendonly.aof.{n}.base.rdb").mkdir()

    async def noted() -> bool:
        return bool((await store_of(service))["remarks"])

    async with serving(own_store.url, watch_every=OFTEN) as service:
        with client(own_store.url) as plain:
            plain.bgrewriteaof()
        await until(noted)
        (remark,) = (await store_of(service))["remarks"]
        assert "rewrite" in remark
        assert (await service.deliver(CREATED)).status_code == 200
        assert (await store_of(service))["durable"] is True
    assert told(log_lines) == ["store_remarks"]
