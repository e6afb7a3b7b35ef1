"""The sandbox as Stripe's own library sees it."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entitlements.cli.dev import KEY
from entitlements.errors import BadRequest
from entitlements.sandbox.forms import MOST, parsed, whole
from entitlements.sandbox.hosting import running
from entitlements.sandbox.subscription import period
from entitlements.sandbox.world import Sandbox
from tests.support.histories import MONTH, START
from tests.support.listening import listening
from tests.support.servers import eventually
from tests.support.service import Clock

DAY = 86_400


class World:
    """A sandbox over HTTP, and Stripe's library that speaks to it."""

    def __init__(self, sandbox: Sandbox, url: str, clock: Clock) -> None:
        self.sandbox = sandbox
        self.url = url
        self.clock = clock
        self.stripe = client(url)

    async def do(self, call: Callable[..., Any], *given: Any) -> Any:  # noqa: ANN401  the library's own
        """Call the library, which blocks."""
        return await asyncio.to_thread(call, *given)

    async def subscribed(self, **more: Any) -> Any:  # noqa: ANN401  likewise
        """Make a customer who subscribes to a product."""
        v1 = self.stripe.v1
        customer = await self.do(v1.customers.create, {"name": "A customer"})
        product = await self.do(v1.products.create, {"name": "Pro"})
        price = await self.do(
            v1.prices.create,
            {"product": product.id, "currency": "usd", "unit_amount": 1500, "lookup_key": "pro"},
        )
        given = {"customer": customer.id, "items": [{"price": price.id, "quantity": 2}], **more}
        return await self.do(v1.subscriptions.create, given)

    async def advance(self, seconds: int) -> None:
        """Put its clock forward, over HTTP."""
        await self.switch("clock", advance=seconds)

    async def switch(self, name: str, **form: Any) -> None:  # noqa: ANN401  likewise
        """Have it do what Stripe cannot be asked for."""
        await self.do(lambda: self.stripe.raw_request("post", f"/_sandbox/{name}", **form))


def client(url: str, key: str = KEY) -> stripe.StripeClient:
    """Return Stripe's client of a sandbox. It repeats nothing."""
    return stripe.StripeClient(key, base_addresses={"api": url}, max_network_retries=0)


@pytest_asyncio.fixture
async def world() -> AsyncGenerator[World]:
    """Give a sandbox whose time begins at START."""
    clock = Clock(START)
    sandbox = Sandbox(clock, seed=1)
    async with running(sandbox) as url:
        yield World(sandbox, url, clock)


@pytest.mark.asyncio
async def test_a_subscription_is_made_of_what_there_is(world: World) -> None:
    """Customer, product and price first; what they are is in it, and each can be read again."""
    made = await world.subscribed(metadata={"plan": "gold"})
    item = made["items"].data[0]
    v1 = world.stripe.v1

    assert (made.status, made.metadata["plan"], item.quantity) == ("active", "gold", 2)
    assert item.current_period_end == period(world.sandbox.account.held["subscription"][made.id])[1]
    assert (await world.do(v1.subscriptions.retrieve, made.id)).customer == made.customer
    assert (await world.do(v1.customers.retrieve, made.customer)).name == "A customer"
    assert (await world.do(v1.prices.list, {"lookup_keys": ["pro"]})).data[0].id == item.price.id
    assert (await world.do(v1.products.retrieve, item.price.product)).name == "Pro"


@pytest.mark.asyncio
async def test_collection_is_paused_and_unpaused_by_an_empty_string(world: World) -> None:
    """As at Stripe: null sends nothing at all."""
    made, update = await world.subscribed(), world.stripe.v1.subscriptions.update
    paused = await world.do(
        update, made.id, {"pause_collection": {"behavior": "void", "resumes_at": START + MONTH}}
    )
    assert (paused.status, paused.pause_collection.behavior) == ("active", "void")
    assert (await world.do(update, made.id, {"pause_collection": ""})).pause_collection is None

    types = [event["type"] for event in world.sandbox.account.held["event"].values()]
    assert types == [f"customer.subscription.{what}" for what in ("created", "updated", "updated")]


@pytest.mark.asyncio
async def test_it_is_paused_itself_resumed_and_canceled(world: World) -> None:
    """And what is over is listed where it is asked for alone."""
    made, v1 = await world.subscribed(), world.stripe.v1
    assert (await world.do(v1.subscriptions.pause, made.id)).status == "paused"
    assert (await world.do(v1.subscriptions.resume, made.id)).status == "active"
    assert (await world.do(v1.subscriptions.cancel, made.id)).status == "canceled"

    listed = [
        [one.id for one in (await world.do(v1.subscriptions.list, asked)).data]
        for asked in (None, {"status": "all"}, {"status": "canceled"}, {"status": "active"})
    ]
    assert listed == [[], [made.id], [made.id], []]


@pytest.mark.asyncio
async def test_fields_are_set_by_an_update(world: World) -> None:
    """The end, metadata merged as at Stripe, and quantities."""
    made, update = await world.subscribed(metadata={"a": "1"}), world.stripe.v1.subscriptions.update
    item = made["items"].data[0]
    found = await world.do(
        update,
        made.id,
        {
            "cancel_at_period_end": True,
            "metadata": {"a": "", "b": "2"},
            "items": [{"id": item.id, "quantity": 5}],
        },
    )

    assert (found.cancel_at, found.metadata.to_dict()) == (item.current_period_end, {"b": "2"})
    assert found["items"].data[0].quantity == 5
    kept = await world.do(update, made.id, {"cancel_at_period_end": False, "metadata": ""})
    assert (kept.cancel_at, kept.metadata.to_dict()) == (None, {})
    assert (await world.do(update, made.id, {"cancel_at": START + 9})).cancel_at == START + 9


@pytest.mark.asyncio
async def test_time_does_what_stripe_does_by_itself(world: World) -> None:
    """A trial ends, periods renew while collection is paused, and an end that was set comes; resumes_at is silent."""
    made, v1 = await world.subscribed(trial_period_days=7), world.stripe.v1
    assert made.status == "trialing"
    await world.advance(8 * DAY)
    assert (await world.do(v1.subscriptions.retrieve, made.id)).status == "active"
    pause = {"pause_collection": {"behavior": "void", "resumes_at": START + 9 * DAY}}
    await world.do(v1.subscriptions.update, made.id, pause)
    before = len(world.sandbox.account.held["event"])
    await world.advance(2 * DAY)
    assert len(world.sandbox.account.held["event"]) == before
    await world.advance(40 * DAY)
    renewed = await world.do(v1.subscriptions.retrieve, made.id)
    assert renewed["items"].data[0].current_period_start > START + 30 * DAY
    await world.do(v1.subscriptions.update, made.id, {"cancel_at_period_end": True})
    await world.advance(40 * DAY)
    assert (await world.do(v1.subscriptions.retrieve, made.id)).status == "canceled"


@pytest.mark.asyncio
async def test_lists_come_in_pages_the_newest_first(world: World) -> None:
    """Forwards, backwards, and by themselves."""
    customers = world.stripe.v1.customers
    names = [(await world.do(customers.create, {"name": str(n)})).id for n in range(5)][::-1]

    first = await world.do(customers.list, {"limit": 2})
    second = await world.do(customers.list, {"limit": 2, "starting_after": names[1]})
    before = await world.do(customers.list, {"limit": 2, "ending_before": names[4]})
    every = await world.do(lambda: [c.id for c in customers.list({"limit": 2}).auto_paging_iter()])

    assert [c.id for c in first.data] == names[:2]
    assert ([c.id for c in second.data], second.has_more) == (names[2:4], True)
    assert ([c.id for c in before.data], before.has_more) == (names[2:4], True)
    assert every == names


@pytest.mark.asyncio
async def test_events_are_found_by_type_time_and_delivery(world: World) -> None:
    """With every filter of Stripe's; they are forgotten after thirty days."""
    made, v1 = await world.subscribed(), world.stripe.v1
    world.clock.now += 60
    await world.do(v1.subscriptions.update, made.id, {"metadata": {"a": "1"}})
    asks: list[dict[str, Any]] = [
        {"type": "customer.subscription.*"},
        {"type": "customer.subscription.created"},
        {"types": ["customer.subscription.updated", "invoice.paid"]},
        {"created": {"gt": START}},
        {"created": {"lte": START}},
        {"created": {"gte": START, "lt": START + 60}},
        {"created": START},
        {"delivery_success": True},
        {"delivery_success": False},
    ]
    found = [len((await world.do(v1.events.list, asked)).data) for asked in asks]
    assert found == [2, 1, 1, 1, 1, 1, 1, 2, 0]

    (newest, _) = (await world.do(v1.events.list)).data
    assert (await world.do(v1.events.retrieve, newest.id)).data.previous_attributes is not None
    await world.advance(31 * DAY)
    assert all(e.created > START + 60 for e in (await world.do(v1.events.list)).data)


class Receiver:
    """A webhook endpoint, which answers as it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[bytes, str]] = []

    async def receive(self, request: Request) -> Response:
        """Take a delivery."""
        self.got.append((await request.body(), request.headers["stripe-signature"]))
        return Response(status_code=self.status)


@pytest.mark.asyncio
async def test_deliveries_are_signed_and_tried_again(world: World) -> None:
    """Until one gets a 2xx, each signed anew; then given up, and sent again when asked for."""
    receiver = Receiver()
    app = Starlette(routes=[Route("/hook", receiver.receive, methods=["POST"])])
    v1 = world.stripe.v1
    async with listening(app) as address:
        receiver.status = 500
        hook = await world.do(
            v1.webhook_endpoints.create,
            {"url": f"{address}/hook", "enabled_events": ["customer.subscription.created"]},
        )
        made = await world.subscribed()
        await world.do(v1.subscriptions.update, made.id, {"metadata": {"a": "1"}})
        await eventually(lambda: len(receiver.got) == 1)
        for n, wait in enumerate((600, 7_200), start=2):
            world.clock.now += wait
            await eventually(partial(_has, receiver.got, n))
        (event,) = (await world.do(v1.events.list, {"delivery_success": False})).data
        assert event.pending_webhooks == 1
        receiver.status = 200
        world.clock.now += 5
        await world.do(
            lambda: world.stripe.raw_request(
                "post", f"/v1/events/{event.id}/retry", webhook_endpoint=hook.id
            )
        )
        await eventually(lambda: len(receiver.got) == 4)
        await eventually(lambda: not world.sandbox.deliveries.undelivered(event.id))

    for body, header in receiver.got:
        assert stripe.WebhookSignature.verify_header(body.decode(), header, hook.secret, None)
        assert json.loads(body)["id"] == event.id
    assert len({header for _, header in receiver.got}) == 4


def _has(found: list[Any], count: int) -> bool:
    return len(found) == count


@pytest.mark.asyncio
async def test_time_that_was_put_forward_is_in_no_signature(world: World) -> None:
    """Who checks it has another clock, and would take it for one from the future."""
    receiver = Receiver()
    app = Starlette(routes=[Route("/hook", receiver.receive, methods=["POST"])])
    async with listening(app) as address:
        await world.do(
            world.stripe.v1.webhook_endpoints.create,
            {"url": f"{address}/hook", "enabled_events": ["*"]},
        )
        await world.advance(40 * DAY)
        await world.subscribed()
        await eventually(lambda: receiver.got)

    assert receiver.got[0][1].startswith(f"t={START},")
    assert json.loads(receiver.got[0][0])["created"] == START + 40 * DAY


@pytest.mark.asyncio
async def test_an_endpoint_is_changed_and_removed(world: World) -> None:
    """A disabled one gets nothing, and its secret was told once."""
    hooks = world.stripe.v1.webhook_endpoints
    hook = await world.do(hooks.create, {"url": "http://127.0.0.1:9/", "enabled_events": ["*"]})
    off = await world.do(hooks.update, hook.id, {"disabled": True, "url": "http://127.0.0.1:10/"})
    await world.subscribed()

    assert hook.secret.startswith("whsec_")
    assert (off.status, off.url, "secret" in off) == ("disabled", "http://127.0.0.1:10/", False)
    assert len((await world.do(hooks.list)).data) == 1
    assert (await world.do(hooks.retrieve, hook.id)).enabled_events == ["*"]
    assert not world.sandbox.deliveries.open
    assert (await world.do(hooks.delete, hook.id)).deleted
    with pytest.raises(stripe.InvalidRequestError):
        await world.do(hooks.retrieve, hook.id)


@pytest.mark.asyncio
async def test_an_idempotency_key_does_a_thing_once(world: World) -> None:
    """The same answer to the same request; other parameters are refused."""
    create = world.stripe.v1.customers.create
    first, second = [
        await world.do(create, {"name": "A"}, {"idempotency_key": "one"}) for _ in range(2)
    ]
    with pytest.raises(stripe.IdempotencyError):
        await world.do(create, {"name": "B"}, {"idempotency_key": "one"})

    assert first.id == second.id
    assert len(world.sandbox.account.held["customer"]) == 1


@pytest.mark.asyncio
async def test_a_portal_session_is_made(world: World) -> None:
    """With the configuration that is asked for."""
    portal, made = world.stripe.v1.billing_portal, await world.subscribed()
    config = await world.do(portal.configurations.create, {"features": {}})
    session = await world.do(
        portal.sessions.create, {"customer": made.customer, "configuration": config.id}
    )

    assert (session.configuration, session.url[:8]) == (config.id, "https://")
    assert [c.id for c in (await world.do(portal.configurations.list)).data] == [config.id]


@pytest.mark.asyncio
async def test_what_stripe_would_refuse_is_refused(world: World) -> None:
    """In its form, so that its library raises what it would raise."""
    made, v1 = await world.subscribed(), world.stripe.v1
    wrong: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (v1.subscriptions.retrieve, ("sub_none",)),
        (v1.subscriptions.create, ({"customer": made.customer},)),
        (v1.subscriptions.create, ({"customer": "cus_none", "items": [{"price": "price_none"}]},)),
        (v1.subscriptions.update, (made.id, {"pause_collection": {"behavior": "for_ever"}})),
        (v1.subscriptions.update, (made.id, {"unheard_of": "1"})),
        (v1.subscriptions.update, (made.id, {"items": [{"id": "si_none", "quantity": 1}]})),
        (v1.subscriptions.update, (made.id, {"cancel_at": "soon"})),
        (v1.subscriptions.resume, (made.id,)),
        (v1.prices.create, ({"currency": "usd"},)),
        (v1.customers.list, ({"limit": 101},)),
        (v1.customers.list, ({"starting_after": "cus_none"},)),
        (v1.events.list, ({"types": [str(n) for n in range(21)]},)),
        (v1.webhook_endpoints.create, ({"enabled_events": ["*"]},)),
    ]
    for call, given in wrong:
        with pytest.raises(stripe.InvalidRequestError):
            await world.do(call, *given)
    with pytest.raises(stripe.InvalidRequestError, match="forward"):
        await world.do(lambda: world.stripe.raw_request("post", "/_sandbox/clock", to=5))


@pytest.mark.asyncio
async def test_a_secret_key_of_test_mode_is_needed(world: World) -> None:
    """A publishable one is not, nor one of live mode."""
    for key in ("pk_test_1", "sk_live_1"):
        with pytest.raises(stripe.AuthenticationError):
            await world.do(client(world.url, key).v1.customers.list)


@pytest.mark.asyncio
async def test_the_rate_can_be_limited(world: World) -> None:
    """As often as asked for, so that a client's patience can be tried."""
    await world.switch("refuse", times=1)
    with pytest.raises(stripe.RateLimitError):
        await world.do(world.stripe.v1.customers.list)
    assert (await world.do(world.stripe.v1.customers.list)).data == []


@pytest.mark.asyncio
async def test_a_payment_can_fail(world: World) -> None:
    """Be tried again, be given up, and be made after all, as Stripe does by itself."""
    made = await world.subscribed()
    for what, status in (("past_due", "past_due"), ("unpaid", "unpaid"), ("activate", "active")):
        await world.switch(f"subscriptions/{made.id}/{what}")
        found = await world.do(world.stripe.v1.subscriptions.retrieve, made.id)
        assert found.status == status

    told = [*world.sandbox.account.held["event"].values()][1:]
    assert [one["type"] for one in told] == ["customer.subscription.updated"] * 3
    assert {one["request"]["id"] for one in told} == {None}


@pytest.mark.asyncio
async def test_an_event_can_fail_to_be_made(world: World) -> None:
    """What happened is so, and no list and no delivery tells of it; what happens next is told again."""
    await world.switch("silence", times=1)
    made = await world.subscribed()
    v1 = world.stripe.v1
    assert (await world.do(v1.subscriptions.retrieve, made.id)).status == "active"
    assert (await world.do(v1.events.list)).data == []
    await world.do(v1.subscriptions.update, made.id, {"metadata": {"a": "1"}})
    (only,) = (await world.do(v1.events.list)).data
    assert only.type == "customer.subscription.updated"


@pytest.mark.asyncio
async def test_its_time_can_begin_in_the_past(world: World) -> None:
    """And be put forward from there; what is due is counted until it was tried, and tried as often as asked for."""
    past = Sandbox(world.clock, ahead=-3_600)
    async with running(past) as url:
        there = World(past, url, world.clock)
        await there.switch("retries", waits=[60])
        nobody = {"url": "http://127.0.0.1:9/", "enabled_events": ["*"]}
        await there.do(there.stripe.v1.webhook_endpoints.create, nobody)
        anchor = START - 1_800
        made = await there.subscribed(billing_cycle_anchor=anchor)
        assert made.created == START - 3_600
        assert made["items"].data[0].current_period_end == anchor
        for _ in range(3):
            await there.advance(600)
            await eventually(lambda: past.deliveries.count_due(past.now()) == 0)
        kept = await there.do(there.stripe.v1.subscriptions.retrieve, made.id)
        assert kept["items"].data[0].current_period_start == anchor
        events = (await there.do(there.stripe.v1.events.list, {"delivery_success": False})).data

    assert [one.type.rpartition(".")[2] for one in events] == ["updated", "created"]
    assert past.deliveries.count_due(past.now() + 10**6) == 1, "the renewal has one try to come"


@pytest.mark.parametrize("form", ["a[=1", "[]]=1", "a[b][c][d][e][f][g]=1", "a=1&a[b]=2"])
def test_a_form_that_cannot_be_read_is_refused(form: str) -> None:
    """Rather than read as something else."""
    with pytest.raises(BadRequest):
        parsed(form)


def test_forms_are_bounded() -> None:
    """So many fields, and no more."""
    with pytest.raises(BadRequest):
        parsed("&".join(f"a{n}=1" for n in range(MOST + 1)))
    assert parsed("a[]=x&a[]=y&b[c]=") == {"a": {"0": "x", "1": "y"}, "b": {"c": ""}}
    assert (whole({"n": "7"}, "n"), whole({"n": ""}, "n"), whole({}, "n")) == (7, None, None)


CLI = shutil.which("stripe")


@pytest.mark.skipif(CLI is None, reason="Stripe's own command line is not on the PATH")
@pytest.mark.asyncio
async def test_stripes_command_line_drives_it(world: World, short_path: Path) -> None:
    """It makes a subscription and pauses its collection, as its user would have it do at Stripe."""
    command = [
        *(str(CLI), "trigger", "customer.subscription.updated", "--api-base", world.url),
        *("--add", "subscription_updated:pause_collection.behavior=void"),
    ]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env={"STRIPE_API_KEY": KEY, "HOME": str(short_path)},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (only,) = world.sandbox.account.held["subscription"].values()
    assert only["pause_collection"] == {"behavior": "void", "resumes_at": None}
