"""The event log over HTTP: searched in pages, one event shown without its secrets, for who may operate."""

import time

import pytest
from httpx2 import Response

from entitlements.http.events import PATH
from entitlements.sandbox.shapes import Body
from tests.http.test_operations import refused
from tests.support.bodies import event, subscription, update
from tests.support.customers import next_instant
from tests.support.logged import fill
from tests.support.service import OPERATE, READ, Clock, Service, bearer, serving

PLAIN = subscription()


class Events:
    """What the tests deliver, made when a test begins: the ids of the log hold the store's own clock."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.plain = event(PLAIN, created=now - 90)
        self.unpaid = update(PLAIN, PLAIN | {"status": "unpaid"}, created=now - 80)
        of_account = subscription(id="sub_3", customer="cus_1")
        self.of_account = event(of_account, id="evt_3", created=now - 1, account="acct_1")
        secret = {"client_secret": "in_secret_1"}
        self.invoice = event(secret, "invoice.paid", id="evt_invoice", created=now)
        self.odd = event(PLAIN | {"items": None}, id="evt_odd", created=now)


@pytest.fixture
def events() -> Events:
    """Return events of about now."""
    return Events(int(time.time()))


async def ask(
    service: Service, path: str = "", account: str | None = None, **parameters: str | int
) -> Response:
    """Ask as a person does."""
    headers = bearer(OPERATE) | ({} if account is None else {"Stripe-Account": account})
    return await service.http.get(f"{PATH}{path}", params=parameters, headers=headers)


async def ids(service: Service, account: str | None = None, **parameters: str | int) -> list[str]:
    """Return the ids that a search lists."""
    return [entry["id"] for entry in (await ask(service, "", account, **parameters)).json()["data"]]


async def deliver(service: Service, *events: Body) -> None:
    """Deliver some events, a second apart."""
    for one in events:
        assert (await service.deliver(one)).status_code == 200
        service.clock.now += 1
        await next_instant(service.state["store"])


@pytest.mark.asyncio
async def test_what_came_is_listed_with_what_became_of_it(store_url: str, events: Events) -> None:
    """The newest first, and a duplicate only once; in Stripe's list shape."""
    async with serving(store_url, clock=Clock(events.now)) as service:
        await deliver(service, events.plain, events.unpaid, events.unpaid, events.of_account)
        found = (await ask(service)).json()

    assert (found["object"], found["url"], found["has_more"], found["next"]) == (
        "list",
        PATH,
        False,
        None,
    )
    account, unpaid, plain = found["data"]
    assert unpaid.pop("cursor").startswith("log_")
    assert unpaid == {
        "object": "event_log_entry",
        "id": "evt_2",
        "type": "customer.subscription.updated",
        "outcome": "applied",
        "customer": "cus_1",
        "account": None,
        "subscription": "sub_1",
        "created": events.now - 80,
        "received_at": events.now + 1,
        "delay": 81,
        "why": None,
    }
    assert (account["id"], account["account"]) == ("evt_3", "acct_1")
    assert plain["id"] == "evt_1"


@pytest.mark.asyncio
async def test_each_filter_leaves_out_the_others(store_url: str, events: Events) -> None:
    """By time of receipt, type, customer, subscription, outcome; of a connected account alone where it is named."""
    async with serving(store_url, clock=Clock(events.now)) as service:
        await deliver(
            service, events.plain, events.unpaid, events.invoice, events.odd, events.of_account
        )

        assert await ids(service) == ["evt_3", "evt_odd", "evt_invoice", "evt_2", "evt_1"]
        assert await ids(service, since=events.now + 2) == ["evt_3", "evt_odd", "evt_invoice"]
        assert await ids(service, until=events.now + 2) == ["evt_2", "evt_1"]
        assert await ids(service, since=events.now + 2, until=events.now + 3) == ["evt_invoice"]
        assert await ids(service, type="invoice.*") == ["evt_invoice"]
        assert await ids(service, type="customer.subscription.updated") == ["evt_2"]
        assert await ids(service, customer="cus_1") == ["evt_2", "evt_1"]
        assert await ids(service, "acct_1", customer="cus_1") == ["evt_3"]
        assert await ids(service, "acct_1") == ["evt_3"]
        assert await ids(service, subscription="sub_3") == ["evt_3"]
        assert await ids(service, outcome="quarantined") == ["evt_odd"]
        assert await ids(service, outcome="duplicate") == []


@pytest.mark.asyncio
async def test_pages_follow_one_another(store_url: str, events: Events) -> None:
    """Behind an entry's cursor, behind an event's id, or behind the cursor of a page."""
    async with serving(store_url, clock=Clock(events.now)) as service:
        await deliver(service, events.plain, events.unpaid, events.invoice, events.of_account)
        first = (await ask(service, limit=2)).json()
        assert (first["has_more"], first["next"]) == (True, first["data"][-1]["cursor"])
        for after in (first["next"], "evt_invoice"):
            rest = (await ask(service, limit=2, starting_after=after)).json()
            assert [entry["id"] for entry in rest["data"]] == ["evt_2", "evt_1"]
            assert rest["has_more"] is False


@pytest.mark.asyncio
async def test_a_search_that_finds_little_comes_in_short_pages(store_url: str) -> None:
    """Each has looked through a bounded part; their cursors lead to the end."""
    fill(store_url, 30_000)
    async with serving(store_url) as service:
        found, pages, after = list[str](), 0, dict[str, str]()
        while pages == 0 or after:
            page = (await ask(service, type="none.such", **after)).json()
            found += page["data"]
            pages += 1
            after = {"starting_after": page["next"]} if page["has_more"] else {}
        assert (found, pages) == ([], 2)
        assert await ids(service, customer="cus_1", limit=1)


@pytest.mark.asyncio
async def test_one_is_shown_with_its_body(store_url: str, events: Events) -> None:
    """But for secrets; wherever it is, also where its customer and its time are named."""
    async with serving(store_url, clock=Clock(events.now)) as service:
        await deliver(service, events.plain, events.invoice, events.odd)
        shown = (await ask(service, "/evt_1", customer="cus_1", since=events.now - 9)).json()
        invoice, odd = await ask(service, "/evt_invoice"), (await ask(service, "/evt_odd")).json()

    assert shown["object"] == "event_view"
    assert shown["body"] == events.plain
    assert (shown["entry"]["id"], shown["entry"]["delay"]) == ("evt_1", 90)
    assert invoice.json()["entry"]["customer"] is None
    assert "in_secret_1" not in invoice.text
    assert (odd["entry"]["outcome"], odd["entry"]["created"], odd["entry"]["delay"]) == (
        "quarantined",
        None,
        None,
    )
    assert odd["entry"]["why"]


@pytest.mark.asyncio
async def test_what_is_not_there_is_said_to_be(store_url: str, events: Events) -> None:
    """Never taken in, or not where the search was told to look."""
    async with serving(store_url, clock=Clock(events.now)) as service:
        await deliver(service, events.plain)
        refused(await ask(service, "/evt_9"), 404, "not-found")
        refused(await ask(service, "/evt_1", customer="cus_2"), 404, "not-found")
        refused(await ask(service, "/evt_1", until=events.now - 1), 404, "not-found")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 0},
        {"since": "yesterday"},
        {"outcome": "lost"},
        {"customer": "a b"},
        {"type": ""},
        {"starting_after": "evt_9"},
        {"starting_after": "log_1-2"},
        {"before": 1},
    ],
)
async def test_what_cannot_be_searched_for_is_refused(
    store_url: str, parameters: dict[str, str | int]
) -> None:
    """With a sentence on what it takes."""
    async with serving(store_url) as service:
        refused(await ask(service, "", None, **parameters), 400, "bad-request")


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["", "/evt_1"])
async def test_only_who_may_operate_sees_it(store_url: str, path: str) -> None:
    """Bodies are customers' data."""
    async with serving(store_url) as service:
        for token, status, name in ((None, 401, "unauthenticated"), (READ, 403, "forbidden")):
            refused(await service.ask(f"{PATH}{path}", token), status, name)
