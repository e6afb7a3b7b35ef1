"""The report of paused collection over HTTP: pages, filters, and all of it as CSV."""

import csv
import io
from typing import Any

import pytest
from httpx2 import Response

from entitlements.http.paused import PATH
from entitlements.paused import BATCH, LOOKED
from entitlements.pauses import COLUMNS
from entitlements.sandbox.shapes import Body
from tests.http.test_operations import CSV, refused
from tests.support.bodies import event, pausing, subscription, update
from tests.support.histories import MONTH, START
from tests.support.service import OPERATE, READ, Service, bearer, serving

DAY = 86_400


async def ask(service: Service, *, headers: Body | None = None, **parameters: object) -> Response:
    """Ask as a person does."""
    return await service.http.get(
        PATH,
        params=parameters,  # type: ignore[arg-type]  # numbers and words
        headers=bearer(OPERATE) | (headers or {}),
    )


async def pause(
    service: Service,
    n: int,
    behavior: str = "void",
    resumes_at: int | None = None,
    **more: Any,  # noqa: ANN401  any field of an event
) -> None:
    """Deliver a subscription and, n seconds after START, its pause."""
    plain = subscription(id=f"sub_{n}", customer=f"cus_{n}")
    paused = plain | pausing(behavior, resumes_at)
    await service.deliver(event(plain, id=f"evt_{n}_a", **more))
    told = update(plain, paused, id=f"evt_{n}_b", created=START + n, **more)
    found = await service.deliver(told)
    assert found.json()["outcome"] == "applied", found.text


@pytest.mark.asyncio
async def test_it_is_listed_in_stripes_shape(store_url: str) -> None:
    """The newest pause first; access is what the other calls answer. Pages follow one another."""
    async with serving(store_url) as service:
        for n in range(1, 13):
            await pause(service, n)
        service.clock.now = START + 60
        first = (await ask(service)).json()
        rest = (await ask(service, starting_after=first["data"][-1]["id"])).json()
        all_of_it = (await ask(service, limit=100)).json()
        answer = (await service.ask("/v1/customers/cus_12/entitlements/pro")).json()

    assert (first["object"], first["url"], first["has_more"]) == ("list", PATH, True)
    assert [entry["customer"] for entry in first["data"]] == [f"cus_{n}" for n in range(12, 2, -1)]
    assert first["next"] == first["data"][-1]["id"] == f"cus_3/sub_3@{START + 3}"
    assert [entry["customer"] for entry in rest["data"]] == ["cus_2", "cus_1"]
    assert (rest["has_more"], rest["next"]) == (False, None)
    assert all_of_it["data"] == first["data"] + rest["data"]
    assert first["data"][0] == {
        "object": "paused_subscription",
        "id": f"cus_12/sub_12@{START + 12}",
        "account": None,
        "customer": "cus_12",
        "subscription": "sub_12",
        "status": "active",
        "behavior": "void",
        "since": START + 12,
        "resumes_at": None,
        "access": "granted",
        "reason": "paused_void",
        "rule": "pause_collection.void",
        "until": START + MONTH,
        "days_given_away": 0,
        "products": ["pro"],
        "prices": ["price_pro"],
        "features": [answer],
        "flags": [],
    }


@pytest.mark.asyncio
async def test_an_entry_that_is_gone_is_still_a_place(store_url: str) -> None:
    """A report can be paged while people unpause."""
    async with serving(store_url) as service:
        for n in range(1, 5):
            await pause(service, n)
        first = (await ask(service, limit=2)).json()
        plain = subscription(id="sub_3", customer="cus_3")
        over = update(plain | pausing("void"), plain, id="evt_over", created=START + 9)
        await service.deliver(over)
        rest = (await ask(service, starting_after=first["next"])).json()

    assert [entry["subscription"] for entry in first["data"]] == ["sub_4", "sub_3"]
    assert [entry["subscription"] for entry in rest["data"]] == ["sub_2", "sub_1"]


@pytest.mark.asyncio
async def test_filters_are_laid_over_each_other(store_url: str) -> None:
    """By behaviour, access, product, account, and by when collection resumes."""
    async with serving(store_url) as service:
        await pause(service, 1, "keep_as_draft")
        await pause(service, 2, "void", START + 40 * DAY)
        await pause(service, 3, "void", START + 2 * DAY)
        await pause(service, 4, "mark_uncollectible", account="acct_1")
        service.clock.now = START + 1 + 33 * DAY

        async def subscriptions(headers: Body | None = None, **parameters: object) -> list[str]:
            found = (await ask(service, headers=headers, **parameters)).json()
            return [entry["subscription"] for entry in found["data"]]

        assert await subscriptions() == ["sub_4", "sub_2", "sub_1"]  # sub_3 is over by the clock
        assert await subscriptions(behavior="void") == ["sub_2"]
        assert await subscriptions(access="granted") == ["sub_4", "sub_1"]
        assert await subscriptions(access="denied") == ["sub_2"]
        assert await subscriptions(access="pending") == []
        assert await subscriptions(product="pro", behavior="keep_as_draft") == ["sub_1"]
        assert await subscriptions(product="lite") == []
        assert await subscriptions(resumes_within="7d") == ["sub_2"]
        assert await subscriptions(resumes_within=6 * DAY) == []
        assert await subscriptions({"Stripe-Account": "acct_1"}) == ["sub_4"]
        (entry,) = (await ask(service, behavior="mark_uncollectible")).json()["data"]
        assert (entry["account"], entry["days_given_away"]) == ("acct_1", 3)


@pytest.mark.asyncio
async def test_a_page_looks_at_a_bounded_part_of_the_list(store_url: str) -> None:
    """With a filter it may be empty, and says where to go on."""
    async with serving(store_url) as service:
        await pause(service, 1)
        places = {f"cus_1 sub_none_{n}": START + 2 for n in range(LOOKED)}
        store = service.state["store"]
        await store.redis.zadd(f"ent:{{{store.partition('cus_1')}}}:paused", places)
        first = (await ask(service, behavior="void")).json()
        rest = (await ask(service, behavior="void", starting_after=first["next"])).json()

    assert (first["data"], first["has_more"]) == ([], True)
    assert ([entry["subscription"] for entry in rest["data"]], rest["has_more"]) == (
        ["sub_1"],
        False,
    )


@pytest.mark.asyncio
async def test_as_csv_it_is_whole(store_url: str) -> None:
    """A row for each, however many pages they would be, by the same filters."""
    async with serving(store_url) as service:
        for n in range(1, BATCH + 30):
            await pause(service, n, "void" if n % 2 else "keep_as_draft")
        service.clock.now = START + BATCH + 60
        found = await ask(service, headers=CSV)
        odd = await ask(service, headers=CSV, behavior="void")

    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(found.text)))
    assert tuple(rows[0]) == COLUMNS
    assert [row["customer"] for row in rows] == [f"cus_{n}" for n in range(BATCH + 29, 0, -1)]
    assert rows[-1] == {
        "account": "",
        "customer": "cus_1",
        "subscription": "sub_1",
        "status": "active",
        "behavior": "void",
        "since": str(START + 1),
        "resumes_at": "",
        "access": "granted",
        "reason": "paused_void",
        "rule": "pause_collection.void",
        "until": str(START + MONTH),
        "days_given_away": "0",
        "products": "pro",
        "prices": "price_pro",
        "features": "pro",
        "flags": "",
    }
    assert len(odd.text.splitlines()) == 1 + (BATCH + 30) // 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 0},
        {"limit": 101},
        {"starting_after": "sub_1"},
        {"behavior": "vanish"},
        {"access": "yes"},
        {"product": ""},
        {"resumes_within": "soon"},
        {"resumes_within": "-7d"},
        {"resume_within": "7d"},
    ],
)
async def test_what_cannot_be_read_is_refused(store_url: str, parameters: Body) -> None:
    """With a sentence on what it takes."""
    async with serving(store_url) as service:
        refused(await ask(service, **parameters), 400, "bad-request")


@pytest.mark.asyncio
@pytest.mark.parametrize("parameters", [{"limit": 10}, {"starting_after": "cus_1/sub_1@1"}])
async def test_a_csv_has_no_pages(store_url: str, parameters: Body) -> None:
    """Whoever asks for one of a CSV would get half of a report."""
    async with serving(store_url) as service:
        refused(await ask(service, headers=CSV, **parameters), 400, "bad-request")


@pytest.mark.asyncio
async def test_it_is_for_who_may_operate(store_url: str) -> None:
    """A reader's token is too small."""
    async with serving(store_url) as service:
        refused(await service.ask(PATH), 403, "forbidden")
        refused(await service.ask(PATH, None), 401, "unauthenticated")
        assert (await service.ask(PATH, OPERATE)).status_code == 200
        assert READ != OPERATE
