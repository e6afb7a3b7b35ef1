"""A store carried to another server: every key as it was, whoever wrote meanwhile, however often it was stopped."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from entitlements.errors import Conflict, StoreError, StoreUnavailable, StoreUnsafe
from entitlements.ingest import Ingest
from entitlements.model import CustomerRecord, Subject
from entitlements.policy import BUILT_IN
from entitlements.store import dump, keys, load
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.lines import Part, Sums, read, written
from entitlements.store.store import Store
from tests.conftest import SERVERS
from tests.support.bodies import encoded, event, subscription, update
from tests.support.customers import opened, settle
from tests.support.histories import START
from tests.support.servers import client, frozen
from tests.support.stores import opened as bare

CUSTOMERS = 300
Numbered = list[tuple[int, Part]]
FILE = "f" * 64


async def dumped(url: str) -> Numbered:
    """Return the parts of an export, as they come out of its file."""
    sums, out = Sums(), io.BytesIO()
    async with bare(url) as store:
        out.write(written(sums, await dump.header(store, START)))
        async for step in dump.dump(store):
            out.writelines(written(sums, part) for part in step.found)
        out.write(written(sums, sums.end()))
    out.seek(0)
    return [(n, value) for n, value in read(out) if isinstance(value, Part)]


async def loaded(url: str, parts: Numbered, *, stop: int | None = None) -> None:
    """Import parts, or as many as are written until the first pause after a line."""
    async with load.opened(url, keys.PARTITIONS, "fsync") as store:
        last = await load.progress(store, FILE)
        async for line in load.load(store, FILE, iter(parts), last):
            if stop and line >= stop:
                return


def content(url: str) -> dict[bytes, Any]:
    """Return all that a server holds, in its own words but not in its own bytes."""
    read_by: dict[bytes, Callable[[Any, bytes], Any]] = {
        b"string": lambda c, k: c.get(k),
        b"hash": lambda c, k: c.hgetall(k),
        b"set": lambda c, k: c.smembers(k),
        b"list": lambda c, k: c.lrange(k, 0, -1),
        b"zset": lambda c, k: c.zrange(k, 0, -1, withscores=True),
        b"stream": lambda c, k: (c.xrange(k), told(c, k)),
    }
    with client(url) as opened_client:
        plain: Any = opened_client
        return {
            key: (plain.pexpiretime(key), read_by[plain.type(key)](plain, key))
            for key in plain.scan_iter()
        }


def told(plain: Any, key: bytes) -> tuple[Any, ...]:  # noqa: ANN401  a client
    """Return what a stream knows beyond its entries."""
    found = plain.xinfo_stream(key)
    return tuple(
        found[name] for name in ("last-generated-id", "entries-added", "max-deleted-entry-id")
    )


def fill(url: str) -> None:
    """Fill a store with all that the service writes, and with all else that Redis can hold."""

    async def filled() -> None:
        async with opened(url) as store:
            ingest = Ingest(store, BUILT_IN)
            plain = subscription(customer="cus_x", id="sub_x")
            await ingest.deliver(encoded(event(plain)), START + 1)
            await ingest.deliver(encoded(update(plain, plain | {"status": "unpaid"})), START + 2)
            await ingest.deliver(encoded(event({}, "invoice.paid", id="evt_3")), START + 3)
            await ingest.deliver(encoded(event({}, id="evt_4")), START + 4)

    asyncio.run(filled())
    settle(url, BUILT_IN, CUSTOMERS)
    with client(url) as plain:
        plain.set("ent:{1}:x:bytes", b"\xff\x00\xfe", pxat=(START + 10**8) * 1000)
        plain.rpush("ent:{1}:x:list", *(b"\xff%d" % n for n in range(2_500)))
        plain.sadd("ent:{1}:x:set", "a", b"\xff")
        plain.hset("ent:{1}:x:hash", mapping={"a": "1", b"\xff": b"\xfe"})
        plain.pexpireat("ent:{1}:x:hash", (START + 10**8) * 1000)
        plain.zadd("ent:{1}:x:zset", {b"a": 0.1, b"b": float("inf"), b"\xff": -1e300})
        for n in range(1_500):
            plain.xadd("ent:{1}:x:stream", {"n": n, b"\xff": b"\xfe"}, id=f"{n + 1}-7")
        plain.xdel("ent:{1}:x:stream", "3-7", "1500-7")
        plain.xadd("ent:{1}:x:emptied", {"n": 1}, id="5-5")
        plain.xtrim("ent:{1}:x:emptied", maxlen=0)


@pytest.fixture(params=[(a, b) for a in SERVERS for b in SERVERS if len(SERVERS) == 1 or a != b])
def ends(
    servers: Callable[[str], str], own_store: EmbeddedStore, request: pytest.FixtureRequest
) -> tuple[str, str]:
    """Return a store that is full and one that is empty: of each kind of server and another one, or of one kind."""
    kinds = request.param
    source, target = (own_store.url if kind == "valkey" else servers(kind) for kind in kinds)
    target = servers("valkey") if source == target else target
    for url in (source, target):
        with client(url) as plain:
            plain.flushall()
    fill(source)
    return source, target


@pytest.mark.asyncio
async def test_every_key_arrives_as_it_was(ends: tuple[str, str]) -> None:
    """Of every type, with its expiry, ids, order and scores; and the service starts on it."""
    source, target = ends
    before = content(source)
    await loaded(target, await dumped(source))
    assert content(target) == before == content(source)
    async with bare(target) as store:
        assert (await store.policy_in_force()).digest == BUILT_IN.digest


@pytest.mark.asyncio
async def test_stopped_anywhere_it_goes_on(ends: tuple[str, str]) -> None:
    """Again and again; lines that were written and not noted are written twice, and do no harm."""
    source, target = ends
    parts = await dumped(source)
    for stop in range(50, parts[-1][0], 97):
        await loaded(target, parts, stop=stop)
        with client(target) as plain:  # as if the last two notes had not been made
            at = int(plain.hget(keys.IMPORT, "line") or 0)
            plain.hset(keys.IMPORT, "line", max(0, at - 120))
    await loaded(target, parts)
    assert content(target) == content(source)


@pytest.mark.asyncio
async def test_written_twice_it_is_the_same(ends: tuple[str, str]) -> None:
    """Every line of it."""
    source, target = ends
    parts = await dumped(source)
    await loaded(target, parts)
    with client(target) as plain:
        plain.hset(keys.IMPORT, mapping={"file": FILE, "line": 1})
    await loaded(target, parts)
    assert content(target) == content(source)


class Unnoticed(Store):
    """A store whose customers all come after the walk over them."""

    async def subjects(self) -> AsyncIterator[tuple[float, list[Subject]]]:
        """Yield nobody."""
        yield 1.0, []


@pytest.mark.asyncio
async def test_a_customer_who_comes_meanwhile_travels_whole(store_url: str) -> None:
    """Found among the other keys, with all that is theirs."""
    settle(store_url, BUILT_IN, 20)
    everything = {part.key for _, part in await dumped(store_url)}
    store = await Unnoticed.open(store_url, name="test")
    try:
        found = [part.key async for step in dump.dump(store) for part in step.found]
    finally:
        await store.close()
    assert len(found) == len(everything)
    assert set(found) == everything


@pytest.mark.asyncio
async def test_a_half_imported_store_is_nobodys(store_url: str, own_store: EmbeddedStore) -> None:
    """No service starts on it, and no other file goes into it."""
    settle(store_url, BUILT_IN, CUSTOMERS)
    parts = await dumped(store_url)
    await loaded(own_store.url, parts, stop=1)
    with pytest.raises(StoreUnsafe, match="half of another"):
        await Store.open(own_store.url, name="test")
    async with load.opened(own_store.url, keys.PARTITIONS, "fsync") as store:
        with pytest.raises(Conflict, match="another file"):
            await load.progress(store, "0" * 64)
    await loaded(own_store.url, parts)
    await (await Store.open(own_store.url, name="test")).close()


@pytest.mark.asyncio
@pytest.mark.parametrize("key", [keys.META, "ent:{1}:log"])
async def test_only_an_empty_store_is_filled(store_url: str, key: str) -> None:
    """Two stores are never mixed; what others keep beside it is theirs."""
    with client(store_url) as plain:
        plain.set("somebody:elses", "x")
        async with load.opened(store_url, keys.PARTITIONS, "fsync") as store:
            assert await load.progress(store, FILE) == 0
            plain.set(key, "x")
            with pytest.raises(Conflict, match="not empty"):
                await load.progress(store, FILE)


@pytest.mark.asyncio
async def test_an_unsafe_store_is_not_filled(own_store: EmbeddedStore) -> None:
    """It would lose what it is given."""
    with client(own_store.url) as plain:
        plain.config_set("appendfsync", "everysec")
    with pytest.raises(StoreUnsafe, match="appendfsync"):
        async with load.opened(own_store.url, keys.PARTITIONS, "fsync"):
            pass


@pytest.mark.asyncio
async def test_a_store_that_stays_away_ends_the_import(
    own_store: EmbeddedStore, store_url: str
) -> None:
    """It is tried several times; later it goes on where it was."""
    settle(store_url, BUILT_IN, CUSTOMERS)
    parts = await dumped(store_url)
    async with load.opened(own_store.url, keys.PARTITIONS, "fsync") as store:
        await load.progress(store, FILE)
        going = aiter(load.load(store, FILE, iter(parts), 0, tries=2))
        await anext(going)
        with frozen(own_store.pid), pytest.raises(StoreUnavailable):
            await anext(going)
    await loaded(own_store.url, parts)
    before = content(store_url)
    assert content(own_store.url) == before


@pytest.mark.asyncio
async def test_what_is_written_meanwhile_is_coherent(
    store_url: str, own_store: EmbeddedStore
) -> None:
    """A customer's hot record never names what the cold ones have not; every fact stands in the log that travels."""
    delivered, enough = 0, asyncio.Event()

    async def busy(store: Store) -> None:
        nonlocal delivered
        ingest = Ingest(store, BUILT_IN)
        while True:
            n, delivered = delivered % 40, delivered + 1
            plain = subscription(customer=f"cus_{n}", id=f"sub_{delivered}")
            await ingest.deliver(encoded(event(plain, id=f"evt_{delivered}")), START + 5)
            if delivered == 200:
                enough.set()

    settle(store_url, BUILT_IN, CUSTOMERS)
    async with opened(store_url) as store:
        task = asyncio.create_task(busy(store))
        await enough.wait()
        parts = await dumped(store_url)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await loaded(own_store.url, parts)

    async with bare(own_store.url) as store:
        subjects = [s async for _, batch in store.subjects() for s in batch]
        wholes = await store.wholes(subjects)
    with client(own_store.url) as plain:
        streams: list[Any] = [plain.xrange(keys.shared(p, "log")) for p in range(keys.PARTITIONS)]
    logged = {fields[b"event"].decode() for entries in streams for _, fields in entries}
    assert {
        name for w in wholes for name, cold in w.subscriptions.items() if not cold.facts
    } == set()
    facts = [
        f.event
        for whole in wholes
        for name, cold in whole.subscriptions.items()
        if cold.facts[0].delivery
        for f in cold.facts
    ]
    assert len(facts) >= 160
    assert set(facts) <= logged


class Overtaken(Store):
    """A store in which a customer gets another subscription after each of the first reads."""

    rival: Ingest
    reads = 0

    async def customers(self, subjects: Sequence[Subject | str]) -> list[CustomerRecord]:
        """Read, and let the rival write."""
        found = await super().customers(subjects)
        for subject in subjects[:1]:
            self.reads += 1
            plain = subscription(customer=str(subject), id=f"sub_rival_{self.reads}")
            await self.rival.deliver(encoded(event(plain, id=f"evt_{self.reads}")), START + 5)
        return found


@pytest.mark.asyncio
async def test_a_subscription_that_comes_between_two_reads_travels(store_url: str) -> None:
    """With its customer's records as they are by then, or not at all."""
    async with opened(store_url) as store:
        plain = subscription()
        await Ingest(store, BUILT_IN).deliver(encoded(event(plain, id="evt_0")), START + 5)
        overtaken = await Overtaken.open(store_url, name="test")
        overtaken.rival = Ingest(store, BUILT_IN)
        try:
            found = [part async for step in dump.dump(overtaken) for part in step.found]
        finally:
            await overtaken.close()
    (hot,) = [part for part in found if ":c:" in part.key]
    named = set(msgspec.json.decode(str(hot.data[0][0]), type=CustomerRecord).decisions)
    assert named == {part.key.rpartition(":s:")[2] for part in found if ":s:" in part.key}
    assert len(named) > 1


@pytest.mark.asyncio
async def test_a_subscription_without_its_customer_does_not_travel(store_url: str) -> None:
    """Its events would be duplicates for ever, and count for nobody."""
    settle(store_url, BUILT_IN, 3)
    with client(store_url) as plain:
        plain.set("ent:{1}:s:sub_alone", "{}")
    assert "ent:{1}:s:sub_alone" not in {part.key for _, part in await dumped(store_url)}


@pytest.mark.asyncio
async def test_a_stream_with_readers_of_its_own_is_refused(store_url: str) -> None:
    """Nothing is left out in silence."""
    with client(store_url) as plain:
        plain.xgroup_create("ent:{1}:log", "readers", mkstream=True)
    with pytest.raises(StoreError, match="consumer groups"):
        await dumped(store_url)
