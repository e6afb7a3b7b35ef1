"""Two ways to an answer, one answer: what is plain is told before the framework is asked, and told the same."""

from collections.abc import AsyncGenerator
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from httpx2 import Response
from starlette.types import Message

from entitlements.http import kept
from entitlements.http.shortcut import MOST, Shortcut
from entitlements.policy import BUILT_IN
from entitlements.sandbox.shapes import Body
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import event, subscription, update
from tests.support.customers import settle
from tests.support.histories import MONTH, START
from tests.support.servers import client, eventually, frozen
from tests.support.service import READ, Service, bearer, counted, serving

PLAIN = subscription()
ONE = "/v1/customers/cus_1/entitlements/pro"
LIST = "/v1/customers/cus_1/entitlements"
PASSED_ON = {"If-None-Match": '"of another answer"'}
"""What makes a request one for the framework, and changes nothing of its answer."""


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give the service, which hears of every write, with one customer."""
    async with serving(store_url) as found:
        await hearing(found)
        await found.deliver(event(PLAIN))
        yield found


async def hearing(service: Service) -> None:
    """Wait until a service hears of every write."""
    await eventually(lambda: service.state["feed"].notices.alive)


def said(response: Response) -> tuple[int, bytes, Body]:
    """Return all that an answer says, but for what names the request."""
    named = {k: v for k, v in response.headers.items() if k != "x-request-id"}
    return response.status_code, response.content, named


async def both(service: Service, path: str, **checks: object) -> tuple[Response, Response]:
    """Ask a question in both ways, twice each: made anew, and as it was kept."""
    method = "POST" if checks else "GET"
    found = []
    for more in ({}, PASSED_ON):
        headers = bearer(READ) | more
        asked = [
            await service.http.request(method, path, headers=headers, json=checks or None)
            for _ in range(2)
        ]
        first, second = (said(response) for response in asked)
        assert first == second
        found.append(asked[1])
    plain, whole = found
    return plain, whole


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(4))
async def test_both_ways_say_the_same(store_url: str, seed: int) -> None:
    """Of every customer, feature and moment of their lives: status, headers and each byte."""
    rng = Random(seed)  # noqa: S311  a test's own
    subjects = settle(store_url, BUILT_IN, 12, seed=seed)
    async with serving(store_url) as service:
        await hearing(service)
        names = [subject.customer for subject in subjects] + ["cus_nobody", "acct_1/cus_3"]
        for _ in range(6):
            service.clock.now = START + rng.randrange(8 * MONTH)
            checks = []
            for name in rng.sample(names, 5):
                feature = rng.choice(["pro", "team", "prod_a", "none"])
                checks.append({"customer": name, "feature": feature})
                if "/" not in name:
                    for rest in ("", f"/{feature}"):
                        plain, whole = await both(
                            service, f"/v1/customers/{name}/entitlements{rest}"
                        )
                        assert said(plain) == said(whole)
            plain, whole = await both(service, "/v1/checks", checks=checks)
            assert said(plain) == said(whole)
            assert [one["object"] for one in plain.json()["data"]] == ["entitlement"] * 5


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers//entitlements",
        "/v1/customers/cus_1/entitlements/",
        "/v1/customers/cus_1/entitlements/a%20b",
        "/v1/customers/cus%201/entitlements",
        "/v1/customers/cus_1/entitlements/pro/more",
        "/v1/customers/cus_1/entitlements?at=x",
        "/v1/customers/cus_1",
        f"/v1/customers/{'c' * 256}/entitlements",
    ],
)
async def test_what_is_refused_is_refused_alike(service: Service, path: str) -> None:
    """Before and after the customer is in memory."""
    for _ in range(2):
        plain, whole = await service.ask(path), await service.ask(path, **PASSED_ON)
        assert plain.status_code == whole.status_code
        assert plain.json().get("type") == whole.json().get("type")
        await service.ask(ONE)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "batch",
    [
        {"checks": []},
        {"checks": [{"customer": "cus_1", "feature": "pro"}] * 1001},
        {"checks": [{"customer": "cus_1", "feature": "pro"}, {"customer": "cus_1"}]},
        {
            "checks": [
                {"customer": "cus_1", "feature": "pro"},
                {"customer": "cus_1", "feature": "pro", "at": START - 9},
            ]
        },
        {"checks": [{"customer": "cus_1", "feature": "pro", "at": None}]},
        {"checks": [{"customer": "acct_1/cus_1", "feature": "pro"}]},
        {"checks": [{"customer": "cus 1", "feature": "a b"}]},
        {"checks": "pro"},
        {},
        {"checks": [{"customer": "cus_1", "feature": "x" * 200}] * 1000 + [{"more": "x" * MOST}]},
    ],
)
async def test_a_batch_that_is_not_plain_is_answered_whole(service: Service, batch: Body) -> None:
    """By the framework, from the same bytes: whatever was read of the body is given to it."""
    answers = [
        await service.http.post("/v1/checks", json=batch, headers=bearer(READ) | more)
        for more in ({}, PASSED_ON)
    ]
    plain, whole = ((r.status_code, {**r.json(), "request_id": ""}) for r in answers)
    assert plain == whole


@pytest.mark.asyncio
async def test_a_customer_of_an_account_is_nobody_elses(service: Service) -> None:
    """What is kept in memory under an account's name is told to who names the account alone."""
    of_account = subscription(id="sub_2", customer="cus_2")
    await service.deliver(event(of_account, id="evt_9", account="acct_1"))
    asked = await service.ask("/v1/customers/cus_2/entitlements/pro", stripe_account="acct_1")
    assert asked.json()["granted"]

    (checked,) = (await service.check({"customer": "acct_1/cus_2", "feature": "pro"})).json()[
        "data"
    ]
    assert (checked["granted"], checked["reason"]) == (False, "unknown_customer")


@pytest.mark.asyncio
async def test_an_answer_that_is_kept_ends_at_its_flip(service: Service) -> None:
    """Every second around it is answered as the framework would."""
    ends = START + 1000
    await service.deliver(update(PLAIN, PLAIN | {"cancel_at": ends}))
    granted = []
    for now in range(ends - 8, ends + 3):
        service.clock.now = now
        plain, whole = await both(service, ONE)
        assert said(plain) == said(whole)
        granted.append(plain.json()["granted"])
    assert granted == [True] * 8 + [False] * 3


@pytest.mark.asyncio
async def test_a_clock_that_goes_back_is_followed(service: Service) -> None:
    """An answer is kept from the instant on for which it was made."""
    await service.deliver(update(PLAIN, PLAIN | {"cancel_at": START + 1000}))
    told = []
    for now in (START + 2000, START + 500):
        service.clock.now = now
        told.append((await service.ask(ONE)).json()["granted"])
    assert told == [False, True]


@pytest.mark.asyncio
async def test_a_store_that_is_out_of_reach_is_told_once(own_store: EmbeddedStore) -> None:
    """A customer who was never seen: 503, after one attempt, with the problem of every door."""
    async with serving(own_store.url) as service:
        await hearing(service)
        with frozen(own_store.pid):
            refused = await service.ask(ONE)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["request_id"] == refused.headers["x-request-id"]


@pytest.mark.asyncio
async def test_what_cannot_be_kept_is_read_once(own_store: EmbeddedStore) -> None:
    """While writes are not heard of, the framework reads each time, and nobody before it."""
    async with serving(own_store.url) as service:
        await service.deliver(event(PLAIN))
        await hearing(service)
        service.state["answers"].cache.hears(alive=False)
        with client(own_store.url) as redis:
            redis.config_resetstat()
            assert [(await service.ask(ONE)).json()["granted"] for _ in range(40)] == [True] * 40
            reads = redis.info("commandstats")["cmdstat_get"]["calls"]
    assert 40 <= reads < 60  # which policy is in force is looked at each second


@pytest.mark.asyncio
async def test_it_counts_and_names_like_the_framework(service: Service) -> None:
    """The caller, the call, each check; and the request has its name."""
    names = [
        'entitlements_requests_total{caller="reader"}',
        *(f'entitlements_queries_total{{call="{call}"}}' for call in ("one", "list", "checks")),
    ]
    before = await counted(service)
    first = await service.ask(ONE, x_request_id="mine")
    second = await service.ask(LIST, x_request_id="not a name")
    await service.check(*[{"customer": "cus_1", "feature": "pro"}] * 3)
    after = await counted(service)

    assert [after[name] - before.get(name, 0) for name in names] == [3, 1, 1, 3]
    assert first.headers["x-request-id"] == "mine"
    assert len(second.headers["x-request-id"]) == 32


@pytest.mark.asyncio
async def test_what_is_kept_is_bounded(service: Service) -> None:
    """Whoever asks for one feature after the other fills no memory."""
    for n in range(2 * kept.ROOM):
        assert not (await service.ask(f"{LIST}/none_{n}")).json()["granted"]
    held = service.state["answers"].cache.true.get("cus_1")
    assert held
    assert len(held.made) == kept.ROOM


@pytest.mark.asyncio
async def test_a_process_without_queries_has_none(store_url: str) -> None:
    """The public listener may carry webhooks alone."""
    async with serving(store_url, surfaces=("webhooks",)) as service:
        assert (await service.ask(ONE)).status_code == 404


@pytest.mark.asyncio
async def test_a_body_may_come_in_parts(service: Service) -> None:
    """Plain or not: each part is read once, and the rest is read where it is needed."""
    body = b'{"checks":[{"customer":"cus_1","feature":"pro"}]}'
    parts: list[Message] = [
        {"type": "http.request", "body": body[:9], "more_body": True},
        {"type": "http.request", "body": body[9:]},
    ]
    sent: list[Message] = []
    reads = iter(parts)

    async def receive() -> Message:
        return next(reads)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/v1/checks",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {READ}".encode())],
    }
    await Shortcut(service.app, service.state)(scope, receive, send)
    assert sent[0]["status"] == 200
    assert b'"granted":true' in sent[1]["body"]
