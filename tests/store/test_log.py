"""The event log as one: in order, in pages, resumed anywhere, searched; in every kind of store."""

from collections.abc import Callable
from random import Random

import pytest

from entitlements.cursor import Cursor
from entitlements.errors import NotFound
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.store import log as logs
from entitlements.store.entry import Entry, Logged, Place
from entitlements.store.log import ANY, Log, Search
from tests.support.bodies import encoded, event, subscription
from tests.support.histories import START
from tests.support.logged import FIRST_MS, fill
from tests.support.quarantined import leave
from tests.support.servers import client
from tests.support.stores import opened

MANY = 3_000
"""More than any partition has in one round."""

SECOND = FIRST_MS // 1000
PLAIN = subscription()


async def events(
    log: Log, search: Search = ANY, after: Cursor | None = None, upto: Cursor | None = None
) -> list[str]:
    """Return all that a read gives."""
    return [e.event async for batch in log.read(search, after, upto) for e in batch.entries]


async def pages(log: Log, search: Search, limit: int, look: int = logs.LOOK) -> list[str]:
    """Return what all pages give, one after the other."""
    found, after = list[str](), None
    while True:
        page = await log.page(search, limit, after, look=look)
        assert len(page.entries) <= limit
        found += [entry.event for entry in page.entries]
        if page.next is None:
            return found
        after = page.next


def read_back(logged: Logged) -> Entry:
    """Return an entry as it was written."""
    return Entry(
        event=logged.event,
        type=logged.type,
        outcome=logged.outcome,
        delivery=logged.delivery,
        received_ms=logged.received_ms,
        body=logged.body,
        created=logged.created,
        subject=str(logged.subject or ""),
        subscription=logged.subscription or "",
        why=logged.why or "",
    )


@pytest.mark.asyncio
async def test_it_is_read_whole_and_in_order(redis_url: str) -> None:
    """Every entry once, as it was written, whichever partition and batch it is in."""
    written = fill(redis_url, MANY)
    async with opened(redis_url) as store:
        found = [e async for batch in Log(store).read() for e in batch.entries]
        assert [read_back(e) for e in found] == [entry for _, entry in written]
        assert [e.place for e in found] == [place for place, _ in written]


@pytest.mark.asyncio
async def test_a_read_goes_on_from_any_of_its_cursors(store_url: str) -> None:
    """Nothing is missed, nothing comes twice; and up to a cursor it is the same whatever has come since."""
    fill(store_url, MANY)
    async with opened(store_url) as store:
        log = Log(store)
        end = await log.end()
        whole, cursors = list[str](), []
        async for batch in log.read():
            whole += [e.event for e in batch.entries]
            cursors.append((len(whole), batch.cursor))
        await store.keep(one_more())
        for n, cursor in Random(1).sample(cursors[:-1], 3):  # noqa: S311  a test's own
            assert await events(log, after=cursor, upto=end) == whole[n:]
            assert await events(log, upto=cursor) == whole[:n]
        assert await events(log, after=end) == ["evt_more"]
        assert await events(log, upto=end) == whole


def one_more() -> Entry:
    """Return an entry that comes later than the others."""
    return Entry(
        event="evt_more",
        type="invoice.paid",
        outcome="ignored",
        delivery="delivery_more",
        received_ms=(SECOND + 10**6) * 1000,
        body=b"{}",
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [1, 100, 2_000])
async def test_pages_follow_one_another_newest_first(redis_url: str, limit: int) -> None:
    """Whatever their size, and however little each may look through."""
    written = [entry.event for _, entry in fill(redis_url, 60 if limit == 1 else MANY)][::-1]
    async with opened(redis_url) as store:
        assert await pages(Log(store), ANY, limit) == written


SEARCHES: list[tuple[Search, Callable[[Entry], bool]]] = [
    (Search(type="invoice.paid"), lambda e: e.type == "invoice.paid"),
    (Search(type="customer.subscription.*"), lambda e: e.type.startswith("customer.sub")),
    (Search(type="invoice.pai"), lambda _: False),
    (Search(customer="cus_1"), lambda e: e.subject == "cus_1"),
    (Search(customer="cus_5"), lambda _: False),
    (Search(customer="cus_5", account="acct_1"), lambda e: e.subject == "acct_1/cus_5"),
    (Search(account="acct_1"), lambda e: e.subject.startswith("acct_1/")),
    (Search(subscription="sub_2_1"), lambda e: e.subscription == "sub_2_1"),
    (Search(outcome="stale"), lambda e: e.outcome == "stale"),
    (Search(event="evt_77"), lambda e: e.event == "evt_77"),
    (Search(since=SECOND + 300), lambda e: e.received_ms >= (SECOND + 300) * 1000),
    (Search(until=SECOND + 900), lambda e: e.received_ms < (SECOND + 900) * 1000),
    (
        Search(since=SECOND + 600, until=SECOND + 700, outcome="applied", type="*"),
        lambda e: 600_000 <= e.received_ms - FIRST_MS < 700_000 and e.outcome == "applied",
    ),
]


@pytest.mark.asyncio
async def test_a_search_finds_what_is_meant_and_nothing_else(store_url: str) -> None:
    """Forwards and in pages, each filter alone and together."""
    written = [entry for _, entry in fill(store_url, 1_000)]
    async with opened(store_url) as store:
        for search, meant in SEARCHES:
            wanted = [entry.event for entry in written if meant(entry)]
            assert await events(Log(store), search) == wanted, search
            assert await pages(Log(store), search, 100) == wanted[::-1], search
            assert await pages(Log(store), search, 100, look=300) == wanted[::-1], search


@pytest.mark.asyncio
async def test_a_page_looks_through_a_bounded_part(store_url: str) -> None:
    """Where almost nothing is meant it is short, and says where to go on."""
    fill(store_url, MANY)
    async with opened(store_url) as store:
        page = await Log(store).page(Search(event="evt_0"), 10, look=1_000)
        assert page.entries == []
        assert page.next is not None


@pytest.mark.asyncio
async def test_one_event_is_found_wherever_it_lies(redis_url: str) -> None:
    """A customer's, one that was ignored, one that waits in the quarantine, one that was settled there."""
    async with opened(redis_url) as store:
        await store.policy(BUILT_IN)
        ingest, log = Ingest(store, BUILT_IN), Log(store)
        taken, odd = event(PLAIN), event(PLAIN | {"items": None}, id="evt_odd")
        for body in (taken, event({}, "invoice.paid", id="evt_ignored"), odd):
            await ingest.deliver(encoded(body), START)
        await leave(store, event(PLAIN | {"id": "sub_2"}, id="evt_settled"))
        await ingest.deliver(encoded(event(PLAIN | {"id": "sub_2"}, id="evt_settled")), START + 100)

        found = {e: (await log.one(e)).outcome for e in ("evt_1", "evt_ignored", "evt_odd")}
        assert found == {"evt_1": "applied", "evt_ignored": "ignored", "evt_odd": "quarantined"}
        assert (await log.one("evt_1")).body == encoded(taken)
        assert (await log.one("evt_1", Search(customer="cus_1"))).subscription == "sub_1"
        assert (await log.one("evt_settled")).outcome == "applied"
        for name, search in (("evt_9", ANY), ("evt_1", Search(customer="cus_2"))):
            with pytest.raises(NotFound, match="is not in the log"):
                await log.one(name, search)


@pytest.mark.asyncio
async def test_a_search_for_one_event_can_be_bounded(store_url: str) -> None:
    """It says among how many it was not found."""
    fill(store_url, MANY)
    async with opened(store_url) as store:
        assert (await Log(store).one("evt_0")).event == "evt_0"
        with pytest.raises(NotFound, match="among the newest 1,000 entries"):
            await Log(store).one("evt_0", look=1_000)


@pytest.mark.asyncio
async def test_what_is_quarantined_counts_for_no_customer(store_url: str) -> None:
    """An event of the other mode names one of another world; who asks for that outcome sees it."""
    async with opened(store_url) as store:
        ingest, log = Ingest(store, BUILT_IN, livemode=True), Log(store)
        beside = next(
            n for n in range(10**4) if store.partition(f"evt_{n}") == store.partition("cus_1")
        )
        for n in (beside, beside + 1):  # one lies in the customer's own partition
            await ingest.deliver(encoded(event(PLAIN, id=f"evt_{n}")), START)
        assert await events(log, Search(customer="cus_1")) == []
        found = await events(log, Search(customer="cus_1", outcome="quarantined"))
        assert len(found) == 2


@pytest.mark.asyncio
async def test_what_came_too_late_lies_with_its_customer(store_url: str) -> None:
    """So that the search for a customer's events finds it in the one partition that it reads."""
    async with opened(store_url) as store:
        late = one_more_of("cus_7")
        assert await store.keep(late) == ("stale", "delivery_late")
        assert await store.keep(late) == ("stale", "delivery_late")
        (found,) = (await Log(store).page(Search(customer="cus_7"), 9)).entries
        assert found.place.partition == store.partition(str(Subject("cus_7")))


def one_more_of(customer: str) -> Entry:
    """Return an event about a customer that is older than all that is kept of its subscription."""
    return Entry(
        event="evt_late",
        type="customer.subscription.updated",
        outcome="stale",
        delivery="delivery_late",
        received_ms=FIRST_MS,
        body=b"{}",
        subject=customer,
        subscription="sub_7",
        why="too old",
    )


@pytest.mark.asyncio
async def test_what_is_no_entry_of_ours_is_passed_over(store_url: str) -> None:
    """Somebody wrote into the stream by hand."""
    async with opened(store_url) as store:
        with client(store_url) as plain:
            plain.xadd("ent:{3}:log", {"": ""})
        await store.keep(one_more())
        assert await events(Log(store)) == ["evt_more"]
        assert await pages(Log(store), ANY, 1) == ["evt_more"]


@pytest.mark.parametrize("place", [Place.of("log_1-2-3"), Place.of("log_0-0-0")])
def test_a_place_is_one_word(place: Place | None) -> None:
    """It reads as it was written."""
    assert place is not None
    assert Place.of(str(place)) == place


@pytest.mark.parametrize(
    "word", ["", "evt_1", "log_", "log_1-2", "log_01-2-3", "log_x-2-3", "1-2-3"]
)
def test_any_other_word_is_none(word: str) -> None:
    """Event ids among them."""
    assert Place.of(word) is None
