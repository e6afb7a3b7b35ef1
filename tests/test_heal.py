"""Doubts that Stripe settles: read once they are over, fenced, and given up in the end."""

import asyncio
import io
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from entitlements.cli.dev import KEY
from entitlements.errors import StripeRefused, StripeUnavailable
from entitlements.heal import LEASE, RATE, TRIES, Healer
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.resolve import entitlement
from entitlements.sandbox.hosting import running
from entitlements.sandbox.shapes import Body, Terms, new
from entitlements.sandbox.world import Sandbox
from entitlements.store.reads import Doubt, Reads
from entitlements.store.store import Store
from entitlements.stripe_api import StripeApi
from entitlements.worker import work
from tests.support.bodies import encoded, event, update
from tests.support.histories import KIND, MONTH, START
from tests.support.service import Clock
from tests.support.stores import opened

CUSTOMER = Subject("cus_1")
PLAIN = new(Terms("cus_1", "pro", "price_pro"), "sub_1", "si_1", START, START + MONTH)
STOPPED = PLAIN | {"status": "paused"}
UNPAID = PLAIN | {"status": "unpaid"}
SAFE = replace(BUILT_IN, ambiguous="revoke")


class World:
    """A sandbox that is Stripe, a service without its webhooks, and the healer between them."""

    def __init__(self, sandbox: Sandbox, url: str, store: Store, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.store = store
        self.ingest = Ingest(store, BUILT_IN)
        self.reads = Reads(store)
        self.api = StripeApi(KEY, url)
        self.healer = Healer(self.api, self.reads, self.ingest, clock)

    def truth(self, body: Body) -> None:
        """Let Stripe hold a subscription."""
        self.sandbox.account.held["subscription"][body["id"]] = body

    async def told(self, body: Body) -> str:
        """Deliver an event; return its outcome."""
        return (await self.ingest.deliver(encoded(body), self.clock.now)).outcome

    async def doubt(self) -> None:
        """Deliver two points of one second, either of which may be its end."""
        await self.told(event(PLAIN))
        paused = event(STOPPED, f"{KIND}paused", id="evt_2", created=START + 5)
        resumed = event(UNPAID, f"{KIND}resumed", id="evt_3", created=START + 5)
        assert [await self.told(paused), await self.told(resumed)] == ["applied", "ambiguous"]

    async def reason(self) -> tuple[str, bool]:
        """Return what is answered now, and whether it is in doubt."""
        record = await self.store.customer(CUSTOMER)
        found = entitlement(record, "pro", int(self.clock.now))
        return found.reason, "ambiguous" in (found.flags or ())


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a sandbox whose clock is the service's own."""
    clock = Clock(START + 6)
    sandbox = Sandbox(clock, seed=1)
    async with running(sandbox) as url, opened(store_url) as store:
        await store.policy(BUILT_IN)
        yield World(sandbox, url, store, clock)


@pytest.mark.asyncio
async def test_a_doubt_is_read_once_it_is_over(world: World) -> None:
    """What Stripe says settles it, and it is on no list any more."""
    world.truth(UNPAID)
    await world.doubt()
    assert await world.reason() == ("paused", True)
    assert (await world.healer.heal(), await world.reads.counts()) == (0, (1, 0))
    world.clock.now = START + 8

    assert await world.healer.heal() == 1
    assert await world.reason() == ("unpaid", False)
    assert await world.reads.counts() == (0, 0)


@pytest.mark.asyncio
async def test_the_next_event_settles_it_too(world: World) -> None:
    """Then nothing is read."""
    await world.doubt()
    world.clock.now = START + 61
    assert await world.told(update(STOPPED, PLAIN, id="evt_4", created=START + 60)) == "applied"

    assert await world.reason() == ("active", False)
    assert await world.reads.counts() == (0, 0)


@pytest.mark.asyncio
async def test_a_read_that_comes_late_overwrites_nothing_newer(world: World) -> None:
    """What happened after it had begun stands, though the read is stored last."""
    world.truth(UNPAID)
    await world.doubt()
    world.clock.now = START + 20
    read = await world.api.subscription(CUSTOMER, "sub_1")
    await world.told(update(STOPPED, PLAIN, id="evt_4", created=START + 25))
    world.clock.now = START + 30
    late = Healer(_Slow(read), world.reads, world.ingest, world.clock)
    await late._settle(Doubt(CUSTOMER, "sub_1", 1))  # noqa: SLF001  what a frozen worker goes on with

    assert await world.reason() == ("active", False)


class _Slow:
    """A source that was asked long ago."""

    def __init__(self, read: Any) -> None:  # noqa: ANN401  what the real one said
        self._read = read

    async def subscription(self, subject: Subject, name: str) -> Any:  # noqa: ANN401  likewise
        """Return what it was told then."""
        del subject, name
        return self._read


@pytest.mark.asyncio
async def test_what_a_dead_worker_took_is_due_again(world: World) -> None:
    """After its lease, and not before."""
    world.truth(UNPAID)
    await world.doubt()
    now = START + 10
    (taken,) = await world.reads.claim(now, LEASE, 4)
    assert (taken.subject, taken.subscription, taken.tries) == (CUSTOMER, "sub_1", 1)
    assert await world.reads.claim(now + LEASE - 1, LEASE, 4) == []
    world.clock.now = now + LEASE

    assert await world.healer.heal() == 1


@pytest.mark.asyncio
async def test_a_stripe_that_refuses_is_asked_again_and_not_for_ever(
    world: World, log_lines: io.StringIO
) -> None:
    """With longer and longer waits; then it is left to a person, and stays on the list."""
    await world.doubt()  # and Stripe knows of no such subscription
    for _ in range(TRIES):
        world.clock.now += 7_200
        assert await world.healer.heal() == 0
    world.clock.now += 10**6

    assert await world.reads.counts() == (1, 1)
    assert await world.reads.claim(int(world.clock.now), LEASE, 4) == []
    assert log_lines.getvalue().count("doubt_not_healed") == TRIES - 1
    assert log_lines.getvalue().count("doubt_given_up") == 1
    assert KEY not in log_lines.getvalue()


@pytest.mark.asyncio
async def test_a_limit_of_stripes_is_waited_out(world: World) -> None:
    """429 is no answer: it is asked again after a while."""
    world.truth(UNPAID)
    await world.doubt()
    world.sandbox.refuse = 1
    world.clock.now = START + 10
    assert await world.healer.heal() == 0
    assert await world.healer.heal() == 0
    world.clock.now += 2
    assert await world.healer.heal() == 1


@pytest.mark.asyncio
async def test_all_workers_together_keep_to_a_rate(world: World) -> None:
    """Beyond it a read is put off to the next second, and no try is lost by it."""
    world.truth(UNPAID)
    await world.doubt()
    world.clock.now = START + 10
    for _ in range(RATE):
        assert await world.reads.permit(START + 10, RATE)
    assert await world.healer.heal() == 0
    world.clock.now += 1
    assert await world.healer.heal() == 1


@pytest.mark.asyncio
async def test_the_worker_heals(world: World) -> None:
    """By itself, until it is stopped."""
    world.truth(UNPAID)
    await world.doubt()
    world.clock.now = START + 10
    working = asyncio.create_task(work(world.store, healer=world.healer, clock=world.clock))
    async with asyncio.timeout(10):
        while await world.reason() != ("unpaid", False):  # noqa: ASYNC110  the store sets no event
            await asyncio.sleep(0.01)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


@pytest.mark.asyncio
async def test_a_connected_accounts_subscription_is_read_as_its_own(world: World) -> None:
    """The event that is made of a read names the account."""
    account = Subject("cus_1", "acct_1")
    world.sandbox.connect("acct_1").account.held["subscription"]["sub_1"] = STOPPED
    read = await world.api.subscription(account, "sub_1")
    late = Healer(_Slow(read), world.reads, world.ingest, world.clock)
    assert await late._settle(Doubt(account, "sub_1", 1))  # noqa: SLF001  one read alone

    assert (await world.store.customer(account)).version == 1
    assert (await world.store.customer(CUSTOMER)).version == 0


@pytest.mark.asyncio
async def test_what_stripe_says_is_passed_on(world: World) -> None:
    """In words, and without the key: what may be asked again, and what may not."""
    with pytest.raises(StripeRefused, match=r"No such subscription.*request req_.*404"):
        await world.api.subscription(CUSTOMER, "sub_none")
    world.sandbox.refuse = 1
    with pytest.raises(StripeUnavailable, match="Too many requests"):
        await world.api.subscription(CUSTOMER, "sub_none")
    with pytest.raises(StripeUnavailable) as refused:
        await StripeApi(KEY, "http://127.0.0.1:9").subscription(CUSTOMER, "sub_none")
    assert KEY not in str(refused.value)


@pytest.mark.asyncio
async def test_a_read_is_stamped_when_it_began_at_the_latest(world: World) -> None:
    """By Stripe's clock, which is not ours."""
    world.truth(PLAIN)
    world.sandbox.advance(START + 1_000)
    read = await world.api.subscription(CUSTOMER, "sub_1")

    assert START + 998 <= read.stamp <= START + 1_000
    assert b'"id":"sub_1"' in read.body.replace(b" ", b"")
