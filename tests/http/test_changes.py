"""The change feed over HTTP: nothing lost, nothing twice, whoever reads and however slowly."""

import asyncio
import socket
from contextlib import AsyncExitStack

import msgspec
import pytest

from entitlements import cursor
from entitlements.cursor import Position, decode, encode
from entitlements.http.limits import Limits
from entitlements.model import Change
from entitlements.sandbox.shapes import Body
from entitlements.store import feed, keys
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.retention import trim
from tests.support.bodies import event, pausing, subscription, update
from tests.support.feeds import (
    Reader,
    Served,
    creation,
    customers,
    following,
    problem,
    served,
)
from tests.support.histories import MONTH, START
from tests.support.servers import client, frozen, until
from tests.support.service import READ, Clock, bearer

NOW = START + 10


def clock() -> Clock:
    """Return a clock that stands ten seconds after START."""
    return Clock(NOW)


def put(url: str, count: int, *, size: int = 0, account: str | None = None) -> list[str]:
    """Write so many changes to the streams, of a customer each; return whose."""
    names = [f"cus_{n}" for n in range(count)]
    with client(url) as redis, redis.pipeline(transaction=False) as pipe:
        for name in names:
            change = Change(name, "pro", True, "x" * size, 1, 1, NOW, account=account)  # noqa: FBT003
            p = keys.partition(name, keys.PARTITIONS)
            pipe.xadd(keys.shared(p, "changes"), {"change": msgspec.json.encode(change)})
        pipe.execute()
    return names


async def rest(reader: Reader) -> list[Body]:
    """Return the changes up to the first heartbeat."""
    found: list[Body] = []
    while event := await reader.next():
        if event.name == "heartbeat":
            return found
        if event.name == "change":
            found.append(event.data)
    raise AssertionError(found)


# -- What comes


@pytest.mark.asyncio
async def test_a_change_comes_as_it_is_made(store_url: str) -> None:
    """With all that the contract names; and the first event, a heartbeat, has a cursor already."""
    async with served(store_url, clock()) as service, following(service) as reader:
        assert reader.response.headers["content-type"].startswith("text/event-stream")
        assert reader.cursor
        await service.create(1)
        assert await reader.changes(1) == [
            {
                "object": "change",
                "customer": "cus_1",
                "feature": "pro",
                "granted": True,
                "reason": "active",
                "quantity": 1,
                "version": 1,
                "at": NOW,
                "event": "evt_1",
            }
        ]


@pytest.mark.asyncio
async def test_a_change_of_another_process_comes(store_url: str) -> None:
    """Whichever process wrote it."""
    async with (
        served(store_url, clock()) as one,
        served(store_url, clock()) as other,
        following(one) as reader,
    ):
        await other.create(1, 2)
        assert customers(await reader.changes(2)) == ["cus_1", "cus_2"]


@pytest.mark.asyncio
async def test_what_no_notice_told_of_comes_all_the_same(store_url: str) -> None:
    """A lost notice delays a change until the next look at every partition."""
    async with served(store_url, clock()) as service, following(service) as reader:
        names = put(store_url, 3)
        assert sorted(customers(await reader.changes(3))) == names


@pytest.mark.asyncio
async def test_a_flip_is_no_events_doing(store_url: str) -> None:
    """What the clock has changed by the time of a write comes before it, with its own time and no event."""
    plain = subscription()
    void = plain | pausing("void")
    async with served(store_url, clock()) as service, following(service) as reader:
        await service.deliver(event(plain))
        await service.deliver(update(plain, void))
        service.clock.now = START + MONTH + 5
        await service.deliver(update(void, plain, id="evt_3", created=START + MONTH + 4))
        flip, lifted = (await reader.changes(4))[2:]
    assert (flip["at"], flip["granted"], flip["event"]) == (START + MONTH, False, None)
    assert (lifted["at"], lifted["granted"], lifted["event"]) == (START + MONTH + 5, True, "evt_3")


@pytest.mark.asyncio
async def test_accounts_are_kept_apart(store_url: str) -> None:
    """Without the header the platform's own customers come, with it those of that account."""
    async with served(store_url, clock()) as service, AsyncExitStack() as stack:
        own = await stack.enter_async_context(following(service))
        since = own.cursor
        theirs = await stack.enter_async_context(following(service, Stripe_Account="acct_1"))
        await service.deliver(creation(1) | {"account": "acct_1"})
        await service.create(2)
        (change,) = await theirs.changes(1)
        assert (change["customer"], change["account"]) == ("cus_1", "acct_1")
        assert customers(await own.changes(1)) == ["cus_2"]
        again = await stack.enter_async_context(following(service, since, Stripe_Account="acct_1"))
        assert customers(await rest(again)) == ["cus_1"]


@pytest.mark.asyncio
async def test_a_heartbeat_has_the_cursor(store_url: str) -> None:
    """Also past what was of another account: who comes back with it is told nothing of that again."""
    async with served(store_url, clock(), heartbeat=0.05) as service, following(service) as reader:
        before = reader.cursor
        await service.deliver(creation(1) | {"account": "acct_1"})
        while reader.cursor == before:
            beat = await reader.next()
            assert beat
            assert beat.name == "heartbeat"


@pytest.mark.asyncio
async def test_a_caller_needs_a_token(store_url: str) -> None:
    """As for every query."""
    async with served(store_url, clock()) as service:
        assert (await service.http.get("/v1/changes")).status_code == 401
        head = await service.http.head("/v1/changes", headers=bearer(READ))
        assert (head.status_code, head.content) == (200, b"")


# -- Coming back


@pytest.mark.asyncio
async def test_who_comes_back_misses_nothing(store_url: str) -> None:
    """From any event on: exactly what came after it, in another process too."""
    async with served(store_url, clock()) as service, following(service) as reader:
        stood = [reader.cursor]
        for n in range(8):
            await service.create(n)
            await reader.changes(1)
            stood.append(reader.cursor)
    async with served(store_url, clock()) as another:
        for n, since in enumerate(stood):
            async with following(another, since) as reader:
                assert customers(await rest(reader)) == [f"cus_{m}" for m in range(n, 8)]
        asked = {"cursor": stood[5] or ""}
        async with another.http.stream(
            "GET", "/v1/changes", params=asked, headers=bearer(READ)
        ) as response:
            assert len(await rest(Reader(response, aiter(response.aiter_lines())))) == 3


@pytest.mark.asyncio
async def test_who_comes_back_under_load_misses_nothing(store_url: str) -> None:
    """A reader who is thrown off again and again, to one of two processes, sees each change once and in order."""
    count, seen = 120, list[Body]()
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(served(store_url, clock())) for _ in range(2)]

        async def write() -> None:
            for n in range(count):
                await services[n % 2].create(n)

        async with following(services[0]) as reader:
            since = reader.cursor
        writing, turn = asyncio.create_task(write()), 0
        while len(seen) < count:
            async with following(services[turn % 2], since) as reader:
                seen += await reader.changes(min(7, count - len(seen)))
                since, turn = reader.cursor, turn + 1
        await writing
    assert sorted(customers(seen)) == sorted(f"cus_{n}" for n in range(count))


@pytest.mark.asyncio
async def test_a_long_absence_is_caught_up_in_pages(store_url: str) -> None:
    """More than fits one page of any partition, in the order in which it was written."""
    async with served(store_url, clock()) as service:
        async with following(service) as reader:
            since = reader.cursor
        names = put(store_url, 3_000)
        async with following(service, since) as reader:
            found = customers(await reader.changes(len(names)))
            assert await rest(reader) == []
    assert sorted(found) == sorted(names)


@pytest.mark.asyncio
async def test_what_is_gone_is_said(store_url: str) -> None:
    """A cursor older than what is retained is told so, with what to do; then comes what there is."""
    async with served(store_url, clock()) as service:
        async with following(service) as reader:
            since = reader.cursor
        p = keys.partition("cus_1", keys.PARTITIONS)
        with client(store_url) as redis:
            for n in range(3):
                change = Change("cus_1", "pro", True, f"{n}", 1, 1, NOW)  # noqa: FBT003
                redis.xadd(keys.shared(p, "changes"), {"change": msgspec.json.encode(change)})
            redis.xtrim(keys.shared(p, "changes"), maxlen=1, approximate=False)
        async with following(service, since) as reader:
            told = await reader.next()
            assert told
            assert (told.name, "anew" in told.data["detail"]) == ("truncated", True)
            after = told.id
            assert [c["reason"] for c in await rest(reader)] == ["2"]
        async with following(service, after) as reader:
            assert [c["reason"] for c in await rest(reader)] == ["2"]  # said once


@pytest.mark.asyncio
async def test_retention_is_no_loss_to_who_has_read_all(store_url: str) -> None:
    """The last change goes out of retention unnoticed: a quiet partition's reader missed nothing."""
    async with served(store_url, clock()) as service:
        async with following(service) as reader:
            await service.create(1)
            await reader.changes(1)
            since = reader.cursor
        await trim(service.state["store"], 2**42)
        await service.deliver(update(subscription(), subscription(status="unpaid"), id="evt_b"))
        async with following(service, since) as reader:
            told = await reader.next()
            assert told
            assert told.name == "change"


@pytest.mark.asyncio
async def test_a_store_that_lost_its_end_is_said(store_url: str) -> None:
    """A cursor from beyond what is there now (a failover lost it) is told so, and follows what is new."""
    async with served(store_url, clock()) as service, following(service) as reader:
        await service.create(1)
        await reader.changes(1)
        ahead = decode(reader.cursor or "", keys.PARTITIONS)
        since = encode(tuple(Position(at.ms + 60_000, 0) if at.ms else at for at in ahead))
        async with following(service, since) as back:
            told = await back.next()
            assert told
            assert told.name == "truncated"
        with client(store_url) as redis:
            redis.flushall()
        assert await reader.next() is None  # cut off, to come back and be told


@pytest.mark.asyncio
@pytest.mark.parametrize("word", ["x", "AQ", encode((cursor.START,)), "A" * 5_000])
async def test_a_wrong_cursor_is_refused(store_url: str, word: str) -> None:
    """It is a bad request, before anything is streamed."""
    async with served(store_url, clock()) as service, following(service, word) as reader:
        await reader.response.aread()
        assert (reader.response.status_code, problem(reader.response)["status"]) == (400, 400)


# -- Readers who are slow, and ends


@pytest.mark.asyncio
async def test_a_slow_reader_is_cut_off_alone(store_url: str) -> None:
    """Who reads nothing is let go once its room is full or its time is over; others are told everything."""
    limits = Limits(send_seconds=0.3)
    async with served(store_url, clock(), limits) as service, following(service) as reader:
        deaf = await connected(service)
        sent = 0
        while service.state["feed"].followers > 1:
            put(store_url, 500, size=4_000)
            sent += 500
            assert len(await reader.changes(500)) == 500
            assert sent < 50_000
        deaf.close()


async def connected(service: Served) -> socket.socket:
    """Follow over a bare connection with little room, and read nothing of it."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    deaf.connect(("127.0.0.1", service.port))
    deaf.sendall(
        f"GET /v1/changes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {READ}\r\n\r\n".encode()
    )
    await asyncio.to_thread(until, lambda: service.state["feed"].followers > 1)
    return deaf


@pytest.mark.asyncio
async def test_what_waits_for_a_reader_is_bounded() -> None:
    """One too many is the end, and nothing is kept."""
    follower = feed.Follower(None)
    for _ in range(feed.ROOM):
        follower.put(b"x")
    assert len(await follower.take(1) or ()) == feed.ROOM
    for _ in range(feed.ROOM + 1):
        follower.put(b"x")
    assert await follower.take(1) is None


@pytest.mark.asyncio
async def test_there_is_a_most(store_url: str) -> None:
    """One reader more than a process takes is asked to try again; who leaves makes room."""
    async with served(store_url, clock()) as service:
        service.state["feed"].most = 1
        async with following(service) as _, following(service) as another:
            await another.response.aread()
            assert another.response.status_code == 503
            assert another.response.headers["retry-after"]
            assert "follow" in problem(another.response)["detail"]
        await asyncio.to_thread(until, lambda: service.state["feed"].followers == 0)
        async with following(service) as reader:
            assert reader.response.status_code == 200


@pytest.mark.asyncio
async def test_the_end_of_the_server_ends_the_streams(store_url: str) -> None:
    """At once, and whole: readers come back elsewhere; nobody new is taken."""
    async with served(store_url, clock()) as service, following(service) as reader:
        service.state["readiness"].drain()
        assert await reader.next() is None
        async with following(service) as another:
            await another.response.aread()
            assert another.response.status_code == 503
            assert "stopping" in problem(another.response)["detail"]


@pytest.mark.asyncio
async def test_an_outage_of_the_store_passes(own_store: EmbeddedStore) -> None:
    """Nobody can connect meanwhile; who is connected stays, and is told everything afterwards."""
    async with served(own_store.url, clock()) as service, following(service) as reader:
        with frozen(own_store.pid):
            await asyncio.to_thread(until, lambda: not service.state["feed"].notices.alive)
            async with following(service) as another:
                await another.response.aread()
                assert another.response.status_code == 503
        await asyncio.to_thread(until, lambda: service.state["feed"].notices.alive)
        await service.create(1)
        assert customers(await reader.changes(1)) == ["cus_1"]
