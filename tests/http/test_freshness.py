"""Answers from memory: as new as the store's own, and without asking it."""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from entitlements.sandbox.shapes import Body
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import event, pausing, subscription, update
from tests.support.histories import START
from tests.support.servers import client, eventually
from tests.support.service import Service, serving

PLAIN = subscription()
PAUSED = subscription(**pausing())
ADDRESS = "/v1/customers/cus_1/entitlements"


def moves(count: int) -> list[Body]:
    """Return a first event, and updates that pause and resume in turn."""
    states = [PAUSED if i % 2 else PLAIN for i in range(count)]
    changes = enumerate(pairwise(states), 2)
    later = [update(*pair, id=f"evt_{i}", created=START + i) for i, pair in changes]
    return [event(PLAIN), *later]


async def version(service: Service) -> int:
    """Return the version that a caller is answered by."""
    return int((await service.ask(ADDRESS)).json()["version"])


async def hearing(service: Service) -> None:
    """Wait until a service hears of every write."""
    await eventually(lambda: service.state["feed"].notices.alive)


@pytest.mark.asyncio
async def test_a_write_is_seen_by_whoever_asks_after_its_answer(store_url: str) -> None:
    """From memory or not: an acknowledged delivery is never answered from before it."""
    async with serving(store_url) as service:
        await hearing(service)
        for count, body in enumerate(moves(20), 1):
            assert (await service.deliver(body)).json()["outcome"] == "applied"
            assert (await version(service), await version(service)) == (count, count)


@pytest.mark.asyncio
async def test_every_process_hears_of_a_write(store_url: str) -> None:
    """What one process wrote, another answers soon, though nobody asks it for the newest."""
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(serving(store_url)) for _ in range(2)]
        await hearing(other)
        for count, body in enumerate(moves(5), 1):
            await one.deliver(body)
            async with asyncio.timeout(10):
                while await version(other) < count:  # noqa: ASYNC110  the other process has no event of ours
                    await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_what_was_read_once_is_not_asked_for_again(own_store: EmbeddedStore) -> None:
    """As long as every write is heard of, a hundred questions about a customer cost the store one at most."""
    async with serving(own_store.url) as service:
        await hearing(service)
        await service.deliver(event(PLAIN))
        before = reads(own_store)
        assert [await version(service) for _ in range(100)] == [1] * 100
        assert reads(own_store) - before < 10  # which policy is in force is looked at each second


def reads(store: EmbeddedStore) -> int:
    """Return how many single keys the store was asked for so far."""
    with client(store.url) as redis:
        found = redis.info("commandstats")
    return int(found["cmdstat_get"]["calls"])
