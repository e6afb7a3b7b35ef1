"""What people have Stripe do, with a sandbox at the other end and a store that remembers who did it."""

from collections.abc import AsyncGenerator
from functools import partial

import pytest
import pytest_asyncio

from entitlements.at_stripe import (
    Order,
    change,
    foresee,
    foresee_portal,
    open_portal,
)
from entitlements.cli.dev import KEY
from entitlements.errors import (
    BadRequest,
    NotFound,
    StoreUnavailable,
    StripeRefused,
    StripeUnavailable,
)
from entitlements.ingest import Ingest
from entitlements.model import PauseCollection
from entitlements.policy import BUILT_IN
from entitlements.sandbox.event import encoded
from entitlements.sandbox.shapes import Terms, new
from entitlements.store import audit
from entitlements.store.audit import Deed
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.store import Store
from entitlements.stripe_api import StripeApi
from entitlements.stripe_api.shapes import Pause, PortalRequest
from tests.support.histories import MONTH, START
from tests.support.stores import opened
from tests.support.stripes import SUBSCRIPTION, Stripe, stripe

DEED = Deed("ann", "asked for a break", START)
LATER = START + MONTH
PAUSE = Order("sub_1", Pause("void", LATER))


class World:
    """A sandbox, our calls of it, and a store."""

    def __init__(self, stripe: Stripe, store: Store) -> None:
        self.stripe = stripe
        self.store = store
        self.api = StripeApi(KEY, stripe.url)

    async def recorded(self) -> list[tuple[str, str, str]]:
        """Return what is recorded, the latest last, in one second."""
        found = await audit.latest(self.store, 100)
        assert {(r.by, r.reason, r.at) for r in found} <= {("ann", "asked for a break", START)}
        return [(r.action, r.about, r.outcome) for r in found[::-1]]


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a sandbox that holds a subscription."""
    async with stripe() as found, opened(store_url) as store:
        found.holds(SUBSCRIPTION)
        await store.policy(BUILT_IN)
        yield World(found, store)


@pytest.mark.asyncio
async def test_an_order_is_seen_before_it_is_sent(world: World) -> None:
    """What Stripe holds, and what it would; nothing is sent, nothing recorded."""
    found = await foresee(world.api, world.store, PAUSE, START)
    cleared = await foresee(world.api, world.store, Order("sub_1"), START)

    assert (found.subscription, found.customer, found.status) == ("sub_1", "cus_1", "active")
    assert (found.was, found.pause_collection) == (None, PauseCollection("void", LATER))
    assert (found.applied, cleared.pause_collection) == (False, None)
    assert not world.stripe.sandbox.account.held["event"]
    assert await world.recorded() == []


@pytest.mark.asyncio
async def test_who_would_gain_or_lose_is_seen_before_it_is_sent(world: World) -> None:
    """By the policy in force: a pause that voids invoices ends what was paid for, and its end gives it back."""
    paid = new(Terms("cus_1", "pro", "price_pro"), "sub_1", "si_1", START - MONTH, START + 60)
    ingest, seen = Ingest(world.store, BUILT_IN), partial(foresee, world.api, world.store)
    await ingest.deliver(encoded(world.stripe.subscribes(paid)), START)
    world.stripe.clock.now = now = START + 10
    void = await seen(Order("sub_1", Pause("void")), now)
    drafts = await seen(Order("sub_1", Pause("keep_as_draft")), now)
    assert isinstance(void.data, list)
    ((kind, flips),) = [(d.kind, d.flip_becomes) for d in void.data]
    assert (kind, flips, drafts.data) == ("flips", START + 60, [])

    paused = world.stripe.subscribes(paid | {"pause_collection": {"behavior": "void"}})
    await ingest.deliver(encoded(paused), now)
    world.stripe.clock.now = now = START + 600
    resumed = await seen(Order("sub_1"), now)
    assert isinstance(resumed.data, list)
    assert [(d.customer, d.feature, d.kind) for d in resumed.data] == [("cus_1", "pro", "gains")]
    assert await world.recorded() == []


@pytest.mark.asyncio
async def test_collection_is_paused_and_resumed(world: World) -> None:
    """What Stripe holds is told; who did it is recorded before and after."""
    paused = await change(world.api, world.store, PAUSE, DEED)
    assert world.stripe.held()["pause_collection"] == {"behavior": "void", "resumes_at": LATER}
    resumed = await change(world.api, world.store, Order("sub_1"), DEED)

    assert paused.applied
    assert (paused.was, paused.pause_collection) == (None, PauseCollection("void", LATER))
    assert (resumed.was, resumed.pause_collection) == (PauseCollection("void", LATER), None)
    assert world.stripe.held()["pause_collection"] is None
    assert await world.recorded() == [
        ("subscription.pause", "cus_1", f"asked: sub_1 void until {LATER}"),
        ("subscription.pause", "cus_1", f"done: sub_1 void until {LATER}"),
        ("subscription.resume", "cus_1", "asked: sub_1 collects"),
        ("subscription.resume", "cus_1", "done: sub_1 collects"),
    ]


@pytest.mark.asyncio
async def test_under_one_key_it_is_done_once(world: World) -> None:
    """Sent again after an answer that was lost; something else under the same key is refused."""
    first = await change(world.api, world.store, PAUSE, DEED, "once")
    again = await change(world.api, world.store, PAUSE, DEED, "once")
    with pytest.raises(StripeRefused, match="same parameters"):
        await change(world.api, world.store, Order("sub_1"), DEED, "once")

    assert first.idempotency_key == again.idempotency_key == "once"
    assert len(world.stripe.sandbox.account.held["event"]) == 1
    assert (await world.recorded())[-1][2].startswith("refused: sub_1 collects: Stripe says")


@pytest.mark.asyncio
async def test_without_a_key_each_is_an_order_of_its_own(world: World) -> None:
    """So that a pause, its end and the same pause again are three."""
    for order in (PAUSE, Order("sub_1"), PAUSE):
        await change(world.api, world.store, order, DEED)
    assert world.stripe.held()["pause_collection"]["behavior"] == "void"
    assert len(world.stripe.sandbox.account.held["event"]) == 3


@pytest.mark.asyncio
async def test_of_a_connected_account_it_is_done_there(world: World) -> None:
    """And recorded of its customer."""
    world.stripe.sandbox.connect("acct_1")
    world.stripe.holds(SUBSCRIPTION, account="acct_1")
    order = Order("sub_1", Pause("keep_as_draft"), "acct_1")
    found = await change(world.api, world.store, order, DEED)

    assert found.account == "acct_1"
    assert world.stripe.held()["pause_collection"] is None
    (_, (_, about, outcome)) = await world.recorded()
    assert (about, outcome) == ("acct_1/cus_1", "done: sub_1 keep_as_draft")


@pytest.mark.asyncio
async def test_what_cannot_be_is_not_sent(world: World) -> None:
    """An end that has passed; a subscription that is not there."""
    with pytest.raises(BadRequest, match="has passed"):
        await change(world.api, world.store, Order("sub_1", Pause("void", START)), DEED)
    with pytest.raises(StripeRefused, match="No such subscription"):
        await change(world.api, world.store, Order("sub_2"), DEED)
    assert not world.stripe.sandbox.account.held["event"]
    assert await world.recorded() == []


@pytest.mark.asyncio
async def test_nothing_is_sent_that_cannot_be_recorded(
    world: World, own_store: EmbeddedStore
) -> None:
    """A store that is gone keeps it from being done."""
    async with opened(own_store.url) as store:
        own_store.stop()
        with pytest.raises(StoreUnavailable):
            await change(world.api, store, PAUSE, DEED)
    assert world.stripe.held()["pause_collection"] is None


@pytest.mark.asyncio
async def test_a_portal_session_is_made(world: World) -> None:
    """With the configuration of that kind of customer; the address is in no record."""
    made = await open_portal(
        world.api, world.store, PortalRequest("cus_1", "bpc_1", "https://here.test/"), DEED
    )
    plain = await open_portal(world.api, world.store, PortalRequest("cus_1"), DEED, key="once")
    again = await open_portal(world.api, world.store, PortalRequest("cus_1"), DEED, key="once")

    assert (made.configuration, plain.url) == ("bpc_1", again.url)
    recorded = await world.recorded()
    assert recorded[:3] == [
        ("portal.open", "cus_1", "asked: bpc_1"),
        ("portal.open", "cus_1", "done: bpc_1"),
        ("portal.open", "cus_1", "asked: the default configuration"),
    ]
    assert not any("https" in outcome for _, _, outcome in recorded)


@pytest.mark.asyncio
async def test_what_nobody_knows_is_recorded_as_such(world: World) -> None:
    """Stripe may have done what it did not answer; what it refuses it has not."""
    world.stripe.sandbox.refuse = 1
    with pytest.raises(StripeUnavailable):
        await open_portal(world.api, world.store, PortalRequest("cus_1"), DEED)
    with pytest.raises(StripeRefused):
        await open_portal(world.api, world.store, PortalRequest("cus_9"), DEED)

    outcomes = [outcome for _, about, outcome in await world.recorded() if about == "cus_1"]
    assert outcomes[1].startswith("unknown: the default configuration: Stripe says: Too many")
    outcomes = [outcome for _, about, outcome in await world.recorded() if about == "cus_9"]
    assert outcomes[1].startswith("refused: the default configuration: Stripe says: No such")


@pytest.mark.asyncio
async def test_a_portal_is_seen_before_it_is_opened(world: World) -> None:
    """The configuration that it would have, and whether customers pause there by themselves."""
    bare = await foresee_portal(world.api, PortalRequest("cus_1"))
    for n, enabled in enumerate((False, True)):
        world.stripe.configures(f"bpc_{n}", is_default=n == 0, pause=enabled)
    default = await foresee_portal(world.api, PortalRequest("cus_1"))
    named = await foresee_portal(
        world.api, PortalRequest("cus_1", "bpc_1", flow="subscription_cancel")
    )

    assert (bare.configuration, bare.subscription_pause) == (None, False)
    assert (default.configuration, default.subscription_pause) == ("bpc_0", False)
    assert (named.configuration, named.subscription_pause) == ("bpc_1", True)
    assert (named.customer, named.flow) == ("cus_1", "subscription_cancel")
    with pytest.raises(NotFound, match="bpc_9"):
        await foresee_portal(world.api, PortalRequest("cus_1", "bpc_9"))
    assert await world.recorded() == []
