"""The server's own system calls show that a reply waits for the disk: what no killed process can show."""

from pathlib import Path

import pytest

from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import event, pausing, subscription, update
from tests.support.servers import client
from tests.support.service import Service, serving
from tests.support.trace import Call, answering, traced

PLAIN = subscription()
DURABLE = ["read", "write", "sync", "reply"]


async def deliver(service: Service) -> None:
    """Deliver an event that moves a subscription, and one that moves nothing."""
    for body in (
        update(PLAIN, PLAIN | pausing("void")),
        event({}, "invoice.paid", id="evt_9"),
    ):
        response = await service.deliver(body)
        assert (response.status_code, response.json()["outcome"] == "duplicate") == (200, False)


async def warm(service: Service) -> None:
    """Have the scripts loaded, so that each delivery is one command that writes."""
    await service.deliver(event(PLAIN))
    await service.deliver(event({}, "invoice.paid", id="evt_8"))


@pytest.mark.asyncio
async def test_a_delivery_is_answered_after_its_write_is_on_disk(
    process_url: str, short_path: Path
) -> None:
    """Read the command, write the file, fdatasync it, reply: for each of the two ways in which an event is kept."""
    with client(process_url) as plain:
        pid = int(plain.info("server")["process_id"])
    async with serving(process_url) as service:
        await warm(service)
        with traced(pid, short_path) as calls:
            await deliver(service)
    assert answering(calls, "EVALSHA") == [DURABLE, DURABLE]


@pytest.mark.asyncio
async def test_without_the_guard_the_trace_shows_it(
    own_store: EmbeddedStore, short_path: Path
) -> None:
    """Under `everysec`, which only `memory` takes, the same look at the same deliveries finds replies too early."""
    with client(own_store.url) as plain:
        plain.config_set("appendfsync", "everysec")
    async with serving(own_store.url, durability="memory") as service:
        await warm(service)
        with traced(own_store.pid, short_path) as calls:
            await deliver(service)
    # a write is put off as well while an earlier sync goes on, so how many lead to one before the reply is chance
    assert sum(call.name == "read" and "EVALSHA" in call.rest for call in calls) == 2
    assert DURABLE not in answering(calls, "EVALSHA")


def test_the_order_is_read_from_the_calls() -> None:
    """A sync before the write, after the reply or of another file does not count; nor does another's reply."""
    read, write = (
        Call("read", "9", "socket:[1]", "EVALSHA"),
        Call("write", "7", "appendonly.aof", ""),
    )
    sync, reply = Call("fdatasync", "7", "appendonly.aof", ""), Call("write", "9", "socket:[1]", "")
    others, elsewhere = Call("write", "8", "socket:[2]", ""), Call("fsync", "6", "dump.rdb", "")

    assert answering([read, write, others, elsewhere, sync, reply], "EVALSHA") == [DURABLE]
    assert answering([read, write, reply, sync], "EVALSHA") == [["read", "write", "reply"]]
    assert answering([read, sync, write, reply], "EVALSHA") == [["read", "sync", "write", "reply"]]
    assert answering([read, reply], "EVALSHA") == []
