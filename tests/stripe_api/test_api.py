"""Stripe's API as this service calls it, with the sandbox at the other end."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from entitlements.cli.dev import KEY
from entitlements.decode import decode
from entitlements.errors import StripeKeyMissing, StripeRefused, StripeUnavailable
from entitlements.model import Subject, SubscriptionEvent
from entitlements.sandbox.account import KEPT
from entitlements.sandbox.hosting import running
from entitlements.sandbox.shapes import Body, Terms, new
from entitlements.sandbox.subscription import Change
from entitlements.sandbox.world import Sandbox
from entitlements.stripe_api import EventFilter, Page, Place, Read, StripeApi, required
from entitlements.stripe_api.calls import TIMEOUT, in_time
from entitlements.stripe_api.shapes import Pause, PortalRequest
from tests.support.histories import MONTH, START
from tests.support.service import Clock

CUSTOMER = Subject("cus_1")
PLAIN = new(Terms("cus_1", "pro", "price_pro"), "sub_1", "si_1", START, START + MONTH)
OVER = PLAIN | {"status": "canceled"}
MANY = 250


class World:
    """A sandbox over HTTP, and our calls of it."""

    def __init__(self, sandbox: Sandbox, url: str, clock: Clock) -> None:
        self.sandbox = sandbox
        self.url = url
        self.clock = clock
        self.api = StripeApi(KEY, url)

    def holds(self, *bodies: Body) -> None:
        """Let Stripe hold subscriptions, the oldest first."""
        for body in bodies:
            self.sandbox.account.held["subscription"][body["id"]] = body

    def happens(self, count: int, seconds: int = 1) -> list[str]:
        """Let events happen, some in one second; return their ids, the oldest first."""
        for n in range(count):
            self.clock.now = START + n // 3 * seconds
            kinds = (f"customer.subscription.{'created' if n % 2 else 'updated'}",)
            self.sandbox.account.apply(Change(OVER, OVER, kinds), int(self.clock.now))
        return list(self.sandbox.account.held["event"])


@pytest_asyncio.fixture
async def world() -> AsyncGenerator[World]:
    """Give a sandbox whose time begins at START."""
    clock = Clock(START)
    sandbox = Sandbox(clock, seed=1)
    async with running(sandbox) as url:
        yield World(sandbox, url, clock)


def body_of(read: Read) -> Any:  # noqa: ANN401  any JSON
    """Return an object that was read."""
    return msgspec.json.decode(read.body)


def ids(reads: "Page | list[Read]") -> list[str]:
    """Return the names of what was read."""
    return [read.id for read in (reads.data if isinstance(reads, Page) else reads)]


@pytest.mark.asyncio
async def test_events_are_listed_with_every_filter(world: World) -> None:
    """The newest first; a hundred on a page."""
    names = world.happens(MANY)
    page = await world.api.events(EventFilter())
    older = await world.api.events(EventFilter(), Place(starting_after=page.data[-1].id, limit=2))
    newer = await world.api.events(EventFilter(), Place(ending_before=names[0], limit=2))
    created = await world.api.events(EventFilter(types=("customer.subscription.created",)))
    wild = await world.api.events(EventFilter(types=("customer.*",)))
    within = await world.api.events(EventFilter(since=START + 1, until=START + 3))

    assert (ids(page), page.has_more) == (names[:-101:-1], True)
    assert (ids(older), ids(newer)) == (names[-101:-103:-1], names[2:0:-1])
    assert {body_of(read)["type"] for read in created.data} == {"customer.subscription.created"}
    assert (ids(wild), ids(within)) == (ids(page), names[8:2:-1])


@pytest.mark.asyncio
async def test_an_event_is_bytes_that_decode_reads(world: World) -> None:
    """As a delivery would be."""
    names = world.happens(3)
    (first, *_) = [read async for read in world.api.walk_events(EventFilter())]
    assert decode(first.body) == decode((await world.api.event(names[0])).body)
    found = decode(first.body)
    assert isinstance(found, SubscriptionEvent)
    assert (found.fact.event, found.subscription) == (names[0], "sub_1")


@pytest.mark.asyncio
async def test_undelivered_events_are_walked_from_the_oldest_on(world: World) -> None:
    """From the last good one, which was delivered, as in Stripe's recipe; or from the beginning."""
    names = world.happens(MANY)
    lost = names[20:240]
    world.sandbox.deliveries.open |= {(name, "we_1") for name in lost}
    asked = EventFilter(delivery_success=False)

    assert ids([read async for read in world.api.walk_events(asked)]) == lost
    assert ids([read async for read in world.api.walk_events(asked, names[10])]) == lost
    assert ids([read async for read in world.api.walk_events(asked, names[150])]) == names[151:240]
    delivered = EventFilter(delivery_success=True, until=START + 2)
    assert ids([read async for read in world.api.walk_events(delivered)]) == names[:6]


@pytest.mark.asyncio
async def test_events_end_after_thirty_days(world: World) -> None:
    """To go on behind one that is forgotten is refused, in Stripe's words."""
    (name,) = world.happens(1)
    world.sandbox.advance(START + KEPT + 1)
    assert [read async for read in world.api.walk_events(EventFilter())] == []
    with pytest.raises(StripeRefused, match="No such"):
        await world.api.event(name)
    with pytest.raises(StripeRefused, match="No such"):
        await anext(aiter(world.api.walk_events(EventFilter(), name)))


def plain(n: int, **fields: Any) -> Body:  # noqa: ANN401  any of Stripe's
    """Return one of many subscriptions."""
    return PLAIN | {"id": f"sub_{n}", "customer": f"cus_{n % 2}"} | fields


@pytest.mark.asyncio
async def test_subscriptions_are_walked_in_every_status(world: World) -> None:
    """In pages, the newest first, each read with its stamp; the id of any resumes the walk."""
    world.holds(*(plain(n, status="canceled" if n % 5 else "active") for n in range(MANY)))
    every = [f"sub_{n}" for n in range(MANY)][::-1]
    pages = [page async for page in world.api.walk_subscriptions()]
    rest = [page async for page in world.api.walk_subscriptions(after=every[119])]
    ones = await world.api.subscriptions(customer="cus_1")
    active = await world.api.subscriptions(Place(limit=3), status="active")

    assert [len(page.data) for page in pages] == [100, 100, 50]
    assert [name for page in pages for name in ids(page)] == every
    assert [name for page in rest for name in ids(page)] == every[120:]
    assert {body_of(read)["customer"] for read in ones.data} == {"cus_1"}
    assert (len(active.data), active.has_more) == (3, True)
    assert all(START - 2 <= read.stamp <= START for page in pages for read in page.data)


@pytest.mark.asyncio
async def test_there_may_be_no_subscription(world: World) -> None:
    """Then there is one page, and it is empty."""
    assert [page async for page in world.api.walk_subscriptions()] == [Page((), has_more=False)]


def crowded(count: int) -> Body:
    """Return a subscription of so many items."""
    (item,) = PLAIN["items"]["data"]
    items = [item | {"id": f"si_{n}"} for n in range(count)]
    return PLAIN | {"id": "sub_crowd", "items": PLAIN["items"] | {"data": items}}


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [10, 11, 234])
async def test_a_subscription_comes_with_all_of_its_items(world: World, count: int) -> None:
    """By itself and in a list, though Stripe's own list shows ten of them alone."""
    world.holds(PLAIN, crowded(count))
    (listed, other) = (await world.api.subscriptions()).data
    alone = await world.api.subscription(CUSTOMER, "sub_crowd")

    for read in (listed, alone):
        items = body_of(read)["items"]
        assert [item["id"] for item in items["data"]] == [f"si_{n}" for n in range(count)]
        assert not items["has_more"]
        assert read.id == "sub_crowd"
    assert body_of(other) == PLAIN


@pytest.mark.asyncio
async def test_collection_is_paused_and_collected_again(world: World) -> None:
    """One key does one thing once: what it did then is told again."""
    world.holds(PLAIN)
    pause = Pause("void", START + MONTH)
    first = await world.api.set_pause("sub_1", pause, key="one")
    cleared = await world.api.clear_pause("sub_1", key="two")
    again = await world.api.set_pause("sub_1", pause, key="one")

    wanted = {"behavior": "void", "resumes_at": START + MONTH}
    assert body_of(first)["pause_collection"] == body_of(again)["pause_collection"] == wanted
    assert body_of(cleared)["pause_collection"] is None
    assert world.sandbox.account.held["subscription"]["sub_1"]["pause_collection"] is None
    assert len(world.sandbox.account.held["event"]) == 2
    with pytest.raises(StripeRefused, match="same parameters"):
        await world.api.set_pause("sub_1", Pause("keep_as_draft"), key="one")
    endless = await world.api.set_pause("sub_1", Pause("keep_as_draft"), key="three")
    assert body_of(endless)["pause_collection"] == {"behavior": "keep_as_draft", "resumes_at": None}


@pytest.mark.asyncio
async def test_a_portal_session_is_made_for_a_purpose(world: World) -> None:
    """With a configuration, a way back and a flow, or with none of them."""
    world.sandbox.account.add("customer", "cus", START, id="cus_1")
    full = PortalRequest("cus_1", "bpc_1", "https://here.test/", "subscription_cancel", "sub_1")
    made = await world.api.portal_session(full, key="one")
    bare = await world.api.portal_session(PortalRequest("cus_1"), key="two")

    assert (made.customer, made.configuration, made.return_url) == (
        "cus_1",
        "bpc_1",
        "https://here.test/",
    )
    assert made.url.startswith("https://billing.stripe.com/")
    assert (bare.configuration, bare.return_url) == (None, None)
    assert full.params()["flow_data"] == {
        "type": "subscription_cancel",
        "subscription_cancel": {"subscription": "sub_1"},
    }
    with pytest.raises(StripeRefused, match="No such customer"):
        await world.api.portal_session(PortalRequest("cus_2"), key="three")


@pytest.mark.asyncio
async def test_the_account_is_looked_over(world: World) -> None:
    """Whose it is, its endpoints, its portal's configurations, however many."""
    for n in range(101):
        world.sandbox.deliveries.register(f"http://127.0.0.1:9/{n}", ["a"], START)
        world.sandbox.configurations[f"bpc_{n}"] = {
            "id": f"bpc_{n}",
            "active": True,
            "is_default": n == 0,
            "livemode": False,
            "features": {"subscription_pause": {"enabled": True}} if n else {},
        }
    hooks = await world.api.webhook_endpoints()
    configurations = await world.api.portal_configurations()

    assert (await world.api.account()).id == "acct_sandbox"
    assert [hook.url for hook in hooks] == [f"http://127.0.0.1:9/{n}" for n in range(101)][::-1]
    assert (hooks[0].status, hooks[0].enabled_events, hooks[0].livemode) == (
        "enabled",
        ("a",),
        False,
    )
    assert len(configurations) == 101
    pauses = configurations[0].features.subscription_pause
    assert pauses is not None
    assert pauses.enabled
    assert configurations[-1].features.subscription_pause is None


@pytest.mark.asyncio
async def test_a_connected_account_is_asked_as_such(world: World) -> None:
    """In every call; one that is not connected is refused."""
    there = world.sandbox.connect("acct_1")
    there.account.held["subscription"]["sub_1"] = PLAIN
    there.account.add("customer", "cus", START, id="cus_1")
    api, account = world.api, "acct_1"
    await api.set_pause("sub_1", Pause("void"), key="one", account=account)
    await api.clear_pause("sub_1", key="two", account=account)
    events = [read async for read in api.walk_events(EventFilter(), account=account)]
    session = await api.portal_session(PortalRequest("cus_1"), key="three", account=account)

    assert len(events) == 2
    assert (await api.event(events[0].id, account=account)).id == events[0].id
    assert session.customer == "cus_1"
    assert (await api.subscription(Subject("cus_1", account), "sub_1")).id == "sub_1"
    assert ids(await api.subscriptions(account=account)) == ["sub_1"]
    assert await api.webhook_endpoints(account=account) == []
    assert await api.portal_configurations(account=account) == []
    assert (await api.account(account=account)).id == "acct_1"
    assert not world.sandbox.account.held["event"]
    with pytest.raises(StripeRefused, match="does not have access to account 'acct_2'"):
        await api.account(account="acct_2")


@pytest.mark.asyncio
async def test_what_somebody_types_stays_a_part_of_the_address(world: World) -> None:
    """It leads to no other call, and takes nothing along."""
    for name in ("../events", "sub_1?expand[]=customer", "//evil.test/", "sub 1#x"):
        with pytest.raises(StripeRefused):
            await world.api.subscription(CUSTOMER, name)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "words"),
    [
        (500, {}, '{"error":{"message":"Out of order."}}', StripeUnavailable, "Out of order"),
        (200, {}, '{"id":"acct_1"}', StripeUnavailable, "has no Date"),
        (200, {"date": "soon"}, '{"id":"acct_1"}', StripeUnavailable, "has no Date"),
        (200, {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}, "[]", StripeUnavailable, "describes it"),
        (200, {}, "<html>", StripeRefused, "Stripe says: Invalid response body"),
        (404, {}, "{}", StripeRefused, "Stripe says: Invalid response object"),
    ],
)
async def test_a_server_that_is_not_stripe_is_told(
    status: int, headers: dict[str, str], body: str, error: type[Exception], words: str
) -> None:
    """By what it answers, as is one that is out of order."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status} X\r\nconnection: close\r\n{said}\r\n{body}".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(error, match=words):
            await StripeApi(KEY, f"http://127.0.0.1:{port}").account()


@pytest.mark.asyncio
async def test_an_address_where_nobody_listens_is_named() -> None:
    """In one line."""
    with pytest.raises(StripeUnavailable) as found:
        await StripeApi(KEY, "http://127.0.0.1:9").account()
    assert str(found.value) == ("Stripe cannot be reached at http://127.0.0.1:9 (ConnectionError).")


def test_an_answer_that_took_too_long_is_asked_for_again() -> None:
    """Nobody knows what it is an answer about."""
    in_time(TIMEOUT)
    with pytest.raises(StripeUnavailable, match="Ask again"):
        in_time(TIMEOUT + 0.1)


@pytest.mark.asyncio
async def test_a_key_is_never_repeated(world: World) -> None:
    """Not even where it is refused."""
    given = "sk_live_do_not_tell"
    with pytest.raises(StripeRefused, match="Send a secret key") as refused:
        await StripeApi(given, world.url).account()
    assert given not in str(refused.value)


@pytest.mark.asyncio
async def test_without_a_key_it_says_what_is_needed(world: World) -> None:
    """By the name of the variable."""
    for missing in (None, ""):
        with pytest.raises(StripeKeyMissing, match="ENTITLEMENTS_STRIPE_API_KEY"):
            required(missing, world.url)
    assert (await required(KEY, world.url).account()).id == "acct_sandbox"
