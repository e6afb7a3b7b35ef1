"""The walk that workers make by themselves: due, one at a time, gone on with, and no more than that."""

import io
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from entitlements.cli.dev import KEY
from entitlements.errors import StoreUnavailable, StripeRefused
from entitlements.policy_file import parse
from entitlements.resolve import entitlement
from entitlements.sandbox import subscription as life
from entitlements.scheduled import BY, REASON, Scheduled
from entitlements.store import audit, keys, walks
from entitlements.store.walks import LEASE, Walk
from entitlements.stripe_api import Page, Place, StripeApi
from entitlements.stripe_api.lists import BEGINNING
from tests.support.histories import START
from tests.support.reconciled import World, subject, worlds

DAY = 86_400


class OnePage(StripeApi):
    """Stripe, which lists one page and does something before the next one."""

    then: Any = None

    async def subscriptions(
        self, place: Place = BEGINNING, *, account: str | None = None, **filters: str
    ) -> Page:
        """Return a page."""
        if place.starting_after:
            await self.then()
        return await super().subscriptions(place, account=account, **filters)


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a sandbox and a service."""
    async with worlds(store_url) as found:
        yield found


def scheduled(world: World, api: StripeApi | None = None) -> Scheduled:
    """Return what a worker has: a walk a day."""
    return Scheduled(api or world.api, world.ingest, DAY, world.clock)


def counted(cause: str) -> float:
    """Return how many were counted of a cause."""
    return REGISTRY.get_sample_value("entitlements_reconcile_drift_total", {"cause": cause}) or 0.0


@pytest.mark.asyncio
async def test_it_heals_when_it_is_due(world: World, log_lines: io.StringIO) -> None:
    """At first at once, then after the time that is set; who did it, and what it found, is on record."""
    await world.subscribe(1, lost=True)
    await world.happens(life.cancel(await world.subscribe(2), START), lost=True)
    worker = scheduled(world)
    world.clock.now = START + 60
    before = counted("missing_here"), counted("stale_here")

    assert await worker.once() is True
    record = await world.store.customer(subject(1))
    assert entitlement(record, "pro", START + 60).granted
    assert (counted("missing_here"), counted("stale_here")) == (before[0] + 1, before[1] + 1)
    last = await walks.latest(world.store)
    assert last
    assert (last.looked, last.healed, last.ended_at) == (2, 2, START + 60)
    assert {(r.by, r.reason) for r in await audit.latest(world.store, 9)} == {(BY, REASON)}
    lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    assert [line["subscriptions"] for line in lines if line["event"] == "reconcile_drift"] == [
        ["sub_2"],
        ["sub_1"],
    ]

    await world.subscribe(3, lost=True)
    world.clock.now = START + DAY + 59
    assert await worker.once() is False
    world.clock.now = START + DAY + 60
    assert await worker.once() is True
    assert (await world.store.customer(subject(3))).version == 1


@pytest.mark.asyncio
async def test_one_worker_walks_at_a_time(world: World) -> None:
    """Another one comes to it when its lease has run out."""
    await world.subscribe(1, lost=True)
    assert await walks.hold(world.store, "another", Walk(began_at=START))
    assert await scheduled(world).once() is False
    assert (await world.store.customer(subject(1))).version == 0
    left = await world.store.redis.pttl(keys.reconcile("lease"))
    assert LEASE * 1000 - 60_000 < left <= LEASE * 1000

    await world.store.redis.delete(keys.reconcile("lease"))
    assert await scheduled(world).once() is True
    assert (await world.store.customer(subject(1))).version == 1
    assert await walks.hold(world.store, "another")


@pytest.mark.asyncio
async def test_what_was_interrupted_goes_on_where_it_was(
    world: World, log_lines: io.StringIO
) -> None:
    """By the same worker or by another one, once Stripe lets it."""
    for n in range(1, 231):
        await world.subscribe(n, lost=True)

    async def refuse() -> None:
        raise StripeRefused("Not today.")

    api = OnePage(KEY, world.base)
    api.then = refuse
    assert await scheduled(world, api).once() is False
    assert "Not today." in log_lines.getvalue()
    stopped = await walks.latest(world.store)
    assert stopped
    assert (stopped.cursor, stopped.looked, stopped.ended_at) == ("sub_131", 100, None)

    assert await scheduled(world).once() is False  # the first one's lease still runs
    await world.store.redis.delete(keys.reconcile("lease"))
    world.clock.now = START + 60
    assert await scheduled(world).once() is True
    done = await walks.latest(world.store)
    assert done
    assert (done.looked, done.healed, done.began_at, done.ended_at) == (230, 230, START, START + 60)
    assert done.drift["missing_here"] == 230


@pytest.mark.asyncio
async def test_who_was_taken_over_lets_go(world: World) -> None:
    """It was frozen for too long; what it wrote does no harm, and its place is the other one's."""
    for n in range(1, 131):
        await world.subscribe(n, lost=True)

    async def take_over() -> None:
        await world.store.redis.delete(keys.reconcile("lease"))
        assert await walks.hold(world.store, "another", Walk(began_at=START, looked=7))

    api = OnePage(KEY, world.base)
    api.then = take_over
    assert await scheduled(world, api).once() is False
    last = await walks.latest(world.store)
    assert last
    assert (last.looked, last.ended_at) == (7, None)


@pytest.mark.asyncio
async def test_the_rest_is_left_to_people(world: World) -> None:
    """What is gone there, another policy, and what cannot be understood."""
    first = await world.subscribe(1)
    await world.subscribe(2)
    odd = await world.subscribe(3)
    (item,) = odd["items"]["data"]
    bare = item | {"price": {"id": "price_1"}}
    held = world.sandbox.account.held["subscription"]
    held["sub_3"] = odd | {"items": odd["items"] | {"data": [bare]}}
    del held["sub_2"]
    before = [await world.store.customer(subject(n)) for n in (1, 2, 3)]
    await world.store.enforce(parse('status.past_due = "revoke"'))
    world.clock.now = START + 60

    assert await scheduled(world).once() is True
    assert first["status"] == "active"
    assert [await world.store.customer(subject(n)) for n in (1, 2, 3)] == before
    last = await walks.latest(world.store)
    assert last
    assert (last.looked, last.healed, last.drift["gone_there"]) == (2, 0, 0)


@pytest.mark.asyncio
async def test_the_key_of_the_other_mode_heals_nothing(
    world: World, log_lines: io.StringIO
) -> None:
    """The log says why; the next round says it again."""
    await world.subscribe(1, lost=True)
    world.ingest.livemode = True
    assert await scheduled(world).once() is False
    assert "reconcile_interrupted" in log_lines.getvalue()


@pytest.mark.asyncio
async def test_a_store_out_of_reach_is_told_to_the_worker(world: World) -> None:
    """It tries again at its next round."""
    await world.subscribe(1, lost=True)

    async def gone() -> None:
        raise StoreUnavailable("gone")

    for n in range(2, 131):
        await world.subscribe(n)
    api = OnePage(KEY, world.base)
    api.then = gone
    with pytest.raises(StoreUnavailable):
        await scheduled(world, api).once()
