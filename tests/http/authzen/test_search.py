"""AuthZEN's searches: all that is permitted and nothing else, page by page, in bounded work."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from httpx2 import Response

from entitlements.http.authzen.pages import MOST, WAITING
from entitlements.http.authzen.walk import BATCH, LEAST, STEPS
from entitlements.http.body import LIMIT
from entitlements.model import CustomerRecord, Override, Subject
from entitlements.policy import BUILT_IN
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from tests.support.bodies import event, subscription
from tests.support.customers import settle
from tests.support.doors import USE, customer, feature, post, question
from tests.support.histories import START
from tests.support.servers import client
from tests.support.service import READ, Service, bearer, serving

SUBJECT, RESOURCE, ACTION = (
    f"/access/v1/search/{what}" for what in ("subject", "resource", "action")
)
WHO: Body = {"subject": {"type": "customer"}, "action": USE, "resource": feature()}
WHAT: Body = {"subject": customer(), "action": USE, "resource": {"type": "feature"}}
WHETHER: Body = {"subject": customer(), "resource": feature()}
SEARCHES = [(SUBJECT, WHO), (RESOURCE, WHAT), (ACTION, WHETHER)]
PLAIN = subscription()


def selling(*products: str) -> Body:
    """Return a subscription of several products."""
    (item,) = PLAIN["items"]["data"]
    items = [
        item | {"id": f"si_{name}", "price": item["price"] | {"product": name}} for name in products
    ]
    return PLAIN | {"items": PLAIN["items"] | {"data": items}}


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give a service that knows a customer with two features, one with one, and one who does not pay."""
    async with serving(store_url) as found:
        await found.deliver(event(selling("pro", "seats")))
        await found.deliver(event(PLAIN | {"id": "sub_2", "customer": "cus_2"}, id="evt_2"))
        unpaid = PLAIN | {"id": "sub_3", "customer": "cus_3", "status": "unpaid"}
        await found.deliver(event(unpaid, id="evt_3"))
        yield found


def results(response: Response) -> list[str]:
    """Return the ids or names that a search found; fail where its form is not that of the specification."""
    assert response.status_code == 200
    found: Body = response.json()
    assert list(found) == ["page", "results"]
    assert found["page"]["count"] == len(found["results"])
    assert isinstance(found["page"]["next_token"], str)
    return [one.get("id") or one["name"] for one in found["results"]]


async def pages(
    service: Service, path: str, asked: Body, limit: int | None = None
) -> AsyncIterator[Response]:
    """Yield every page of a search. Only the first request says the limit."""
    page: Body = {} if limit is None else {"limit": limit}
    while True:
        found = await post(service, path, asked | {"page": page})
        yield found
        page = {"token": found.json()["page"]["next_token"]}
        if not page["token"]:
            return


# -- What is found


@pytest.mark.asyncio
async def test_customers_who_may_use_a_feature(service: Service) -> None:
    """Each of them, as subjects; an id in the question changes nothing."""
    found = await post(service, SUBJECT, WHO)
    assert sorted(results(found)) == ["cus_1", "cus_2"]
    assert {"type": "customer", "id": "cus_1"} in found.json()["results"]
    for same in ({"subject": customer()}, {"context": {"time": "now", "ip": "::1"}}):
        assert sorted(results(await post(service, SUBJECT, WHO | same))) == ["cus_1", "cus_2"]


@pytest.mark.asyncio
async def test_features_that_a_customer_may_use(service: Service) -> None:
    """Each of them, as resources, by name."""
    found = await post(service, RESOURCE, WHAT)
    assert found.json()["results"] == [feature("pro"), feature("seats")]
    for same in ({"resource": feature("seats")}, {"context": {"time": "now"}}):
        assert results(await post(service, RESOURCE, WHAT | same)) == ["pro", "seats"]
    assert results(await post(service, RESOURCE, WHAT | {"subject": customer("cus_3")})) == []


@pytest.mark.asyncio
async def test_what_a_customer_may_do(service: Service) -> None:
    """Use a feature, or nothing."""
    assert (await post(service, ACTION, WHETHER)).json()["results"] == [USE]
    assert results(await post(service, ACTION, WHETHER | {"subject": customer("cus_3")})) == []


@pytest.mark.asyncio
async def test_any_instant_can_be_searched(service: Service) -> None:
    """Before the first event nobody may use anything."""
    for path, asked in SEARCHES:
        for at, some in ((START - 1, False), (START, True)):
            found = await post(service, path, asked | {"context": {"at": at}})
            assert bool(results(found)) == some


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "foreign",
    [
        {"subject": {"type": "spaceship", "id": "a b"}},
        {"subject": customer("nobody")},
        {"resource": {"type": "record", "id": ""}},
        {"resource": feature("nothing")},
        {"action": {"name": "delete"}},
    ],
)
async def test_what_is_not_known_finds_nothing(service: Service, foreign: Body) -> None:
    """No error: an empty result, wherever the unknown is part of the question."""
    for path, asked in SEARCHES:
        part = next(iter(foreign))
        searched = {SUBJECT: "subject", RESOURCE: "resource"}.get(path)
        if part in asked and (
            part != searched or foreign[part]["type"] not in {"customer", "feature"}
        ):
            found = await post(service, path, asked | foreign)
            assert (results(found), found.json()["page"]["next_token"]) == ([], "")


@pytest.mark.asyncio
async def test_a_question_that_is_not_whole_is_a_400(service: Service) -> None:
    """What is searched for needs no id; everything else does."""
    refused: list[tuple[str, Body]] = [
        *(
            (path, {k: v for k, v in asked.items() if k != part})
            for path, asked in SEARCHES
            for part in asked
        ),
        (SUBJECT, WHO | {"resource": {"type": "feature"}}),
        (RESOURCE, WHAT | {"subject": {"type": "customer"}}),
        (ACTION, WHETHER | {"subject": {"type": "customer"}}),
        (ACTION, WHETHER | {"resource": {"type": "feature"}}),
        (SUBJECT, WHO | {"resource": feature("a b")}),
        (RESOURCE, WHAT | {"subject": customer("a b")}),
        *((path, asked | {"page": {"limit": -1}}) for path, asked in SEARCHES),
        *((path, asked | {"page": {"limit": "1"}}) for path, asked in SEARCHES),
    ]
    for path, asked in refused:
        found = await post(service, path, asked)
        assert (found.status_code, found.headers["content-type"]) == (
            400,
            "application/problem+json",
        )


@pytest.mark.asyncio
async def test_an_account_has_its_own_customers(service: Service) -> None:
    """A search stays within the account that the header names."""
    await service.deliver(event(PLAIN | {"customer": "cus_9"}, id="evt_9", account="acct_1"))
    assert sorted(results(await post(service, SUBJECT, WHO))) == ["cus_1", "cus_2"]
    assert results(await post(service, SUBJECT, WHO, Stripe_Account="acct_1")) == ["cus_9"]
    assert results(await post(service, SUBJECT, WHO, Stripe_Account="acct_2")) == []
    assert results(await post(service, RESOURCE, WHAT, Stripe_Account="acct_1")) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("odd", [b"1e999", b'"\\ud800"', b"1" * 5_000])
async def test_what_no_reader_can_read_is_a_400(service: Service, odd: bytes) -> None:
    """Also where it stands in what decides nothing."""
    headers = bearer(READ) | {"Content-Type": "application/json"}
    for path, asked in SEARCHES:
        said = json.dumps(asked | {"context": {"x": 0}}).encode().replace(b'"x": 0', b'"x": ' + odd)
        assert (await service.http.post(path, content=said, headers=headers)).status_code == 400


# -- Pages


@pytest.mark.asyncio
async def test_features_come_in_pages(service: Service) -> None:
    """Of so many, none missing and none twice; a limit above ours is ours."""
    for limit in (1, 2, 3, MOST + 1, 10**30, None):
        found = [results(p) async for p in pages(service, RESOURCE, WHAT, limit)]
        assert [name for names in found for name in names] == ["pro", "seats"]
        assert len(found) == (2 if limit == 1 else 1)


@pytest.mark.asyncio
async def test_a_limit_of_nothing_says_that_there_is_something(service: Service) -> None:
    """Nothing is found, and the token tells that it is not all."""
    for path, asked in SEARCHES:
        found = await post(service, path, asked | {"page": {"limit": 0}})
        assert results(found) == []
        assert found.json()["page"]["next_token"]
        raised = {"token": found.json()["page"]["next_token"], "limit": 1}
        assert (await post(service, path, asked | {"page": raised})).status_code == 400


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [1, 3, 40, 1_000])
async def test_a_walk_finds_everybody_in_pages(store_url: str, limit: int) -> None:
    """Exactly those whom an evaluation permits; on a page nobody twice, and never more than the limit."""
    subjects = settle(store_url, BUILT_IN, 120)
    async with serving(store_url) as service:
        service.clock.now = START + 30_000
        own = [s.customer for s in subjects if s.account is None]
        asked = {"evaluations": [question(name) for name in own]}
        said = (await post(service, "/access/v1/evaluations", asked)).json()["evaluations"]
        permitted = {name for name, one in zip(own, said, strict=True) if one["decision"]}
        found = [results(page) async for page in pages(service, SUBJECT, WHO, limit)]
    assert 0 < len(permitted) < len(own)
    assert {name for names in found for name in names} == permitted
    for names in found:
        assert len(names) == len(set(names)) <= limit


@pytest.mark.asyncio
async def test_a_page_of_a_walk_is_bounded_work(store_url: str) -> None:
    """However few are found: it ends after so many steps, perhaps empty, with a token to go on."""
    keys_held = 4 * BATCH * STEPS
    with client(store_url) as plain, plain.pipeline(transaction=False) as pipe:
        for n in range(keys_held):
            pipe.set(f"other:{n}", b"")
        pipe.execute()
    async with serving(store_url) as service:
        await service.deliver(event(PLAIN))
        before = scans(store_url)
        first = await post(service, SUBJECT, WHO)
        assert scans(store_url) - before == STEPS
        assert first.json()["page"]["next_token"]
        found = [name async for page in pages(service, SUBJECT, WHO, 1) for name in results(page)]
    assert set(found) == {"cus_1"}


def scans(url: str) -> int:
    """Return how many SCANs a server has done."""
    with client(url) as plain:
        said: dict[str, Any] = plain.info("commandstats")
    return int(said.get("cmdstat_scan", {"calls": 0})["calls"])


@pytest.mark.asyncio
async def test_who_did_not_fit_is_judged_when_named(service: Service) -> None:
    """A token carries names, never answers: who has lost the feature since is not on the next page."""
    first = await post(service, SUBJECT, WHO | {"page": {"limit": 1}})
    (named,) = results(first)
    (other,) = {"cus_1", "cus_2"} - {named}
    token = first.json()["page"]["next_token"]
    page = WHO | {"page": {"token": token}}
    assert results(await post(service, SUBJECT, page)) == [other]
    number = other.removeprefix("cus_")
    gone = PLAIN | {"id": f"sub_{number}", "customer": other, "status": "unpaid"}
    await service.deliver(
        event(gone, "customer.subscription.paused", id="evt_4", created=START + 2)
    )
    assert results(await post(service, SUBJECT, page)) == []


@pytest.mark.asyncio
async def test_a_token_goes_on_with_its_own_search_alone(service: Service) -> None:
    """Every entity, the account, the call and the limit stay what they were."""
    for path, asked in SEARCHES:
        token = (await post(service, path, asked | {"page": {"limit": 0}})).json()["page"][
            "next_token"
        ]
        page = {"page": {"token": token}}
        assert (await post(service, path, asked | page | {"more": 1})).status_code == 200
        same = dict(reversed((asked | page).items()))
        assert (await post(service, path, same)).status_code == 200
        changed: list[Body] = [
            {"subject": customer("cus_2")},
            {"resource": feature("seats")},
            {"context": {"at": START}},
            {"subject": asked["subject"] | {"properties": {"x": 1}}},
            {"page": {"token": token, "limit": 5}},
        ]
        for other in changed:
            refused = await post(service, path, asked | page | other)
            assert "another search" in refused.text, other
        refused = await post(service, path, asked | page, Stripe_Account="acct_1")
        assert "another search" in refused.text
    refused = await post(service, RESOURCE, WHO | WHETHER | page)
    assert "another search" in refused.text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "changed",
    [
        {"cursor": str(2**74)},
        {"cursor": "-1"},
        {"cursor": "1\n"},
        {"cursor": 5},
        {"waiting": ["a b"]},
        {"waiting": ["x"] * (WAITING + 1)},
        {"limit": MOST + 1},
        {"after": "x" * 256},
        {"more": 1},
    ],
)
async def test_a_token_that_was_made_up_is_a_400(service: Service, changed: Body) -> None:
    """Nothing in it makes a page do more than a page may."""
    token = (await post(service, SUBJECT, WHO | {"page": {"limit": 1}})).json()["page"][
        "next_token"
    ]
    place = msgspec.json.decode(urlsafe_b64decode(token))
    made = urlsafe_b64encode(msgspec.json.encode(place | changed)).decode()
    refused = await post(service, SUBJECT, WHO | {"page": {"token": made}})
    assert refused.status_code == 400
    assert "Begin without one" in refused.text


@pytest.mark.asyncio
@pytest.mark.parametrize("token", ["x", "é", "AAAA", "=", "e30=", "bnVsbA=="])
async def test_a_token_that_is_none_is_a_400(service: Service, token: str) -> None:
    """An empty one is as good as no token."""
    for path, asked in SEARCHES:
        refused = await post(service, path, asked | {"page": {"token": token}})
        assert "Begin without one" in refused.text
        assert (await post(service, path, asked | {"page": {"token": ""}})).status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [1, BATCH - 1])
async def test_a_token_takes_along_who_did_not_fit(store_url: str, limit: int) -> None:
    """However long the names are, and whoever comes at once: the next request may carry them."""
    granting = CustomerRecord(1, "x", overrides={"pro": Override("grant", "test")})
    names = {f"{n}_{'x' * 240}" for n in range(3 * BATCH)}
    with client(store_url) as plain, plain.pipeline(transaction=False) as pipe:
        for name in names:
            p = keys.partition(name, keys.PARTITIONS)
            pipe.set(keys.customer(p, Subject(name)), msgspec.json.encode(granting))
        pipe.execute()
    found = set[str]()
    async with serving(store_url) as service:
        async for page in pages(service, SUBJECT, WHO, limit):
            assert len(page.content) < LIMIT
            found.update(results(page))
            if limit == 1 and len(found) > LEAST:
                break
    assert found <= names if limit == 1 else found == names
