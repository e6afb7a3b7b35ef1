"""Pause, resume and portal sessions over HTTP, with a sandbox Stripe behind the service."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from httpx2 import Response

from entitlements.cli.dev import KEY
from entitlements.store import audit
from tests.http.test_operations import refused
from tests.support.histories import MONTH, START
from tests.support.service import OPERATE, READ, Service, bearer, serving
from tests.support.stripes import SUBSCRIPTION, Stripe, stripe

PAUSE, RESUME = "/ops/v1/subscriptions/sub_1/pause", "/ops/v1/subscriptions/sub_1/resume"
PORTAL = "/ops/v1/portal-sessions"
WHY = "asked for a break"
VOID = {"behavior": "void", "resumes_at": START + MONTH, "reason": WHY}


@asynccontextmanager
async def at(url: str) -> AsyncGenerator[tuple[Service, Stripe]]:
    """Give a service whose Stripe holds a subscription."""
    async with (
        stripe() as found,
        serving(url, stripe_api_key=KEY, stripe_api_base=found.url) as service,
    ):
        found.holds(SUBSCRIPTION)
        yield service, found


async def post(
    service: Service, path: str, said: object, token: str | None = OPERATE, **headers: str
) -> Response:
    """Have something done. `headers` as keywords, with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.http.post(path, json=said, headers=bearer(token) | named)


@pytest.mark.asyncio
async def test_collection_is_paused_and_resumed(store_url: str) -> None:
    """The answer is what Stripe holds now; decisions wait for its webhook."""
    async with at(store_url) as (service, found):
        paused = await post(service, PAUSE, VOID, idempotency_key="once")
        again = await post(service, PAUSE, VOID, idempotency_key="once")
        resumed = (await post(service, RESUME, {"reason": "is back"})).json()
        records = await audit.latest(service.state["store"], 100)
        version = (await service.ask("/v1/customers/cus_1")).json()["version"]

    assert paused.json() == {
        "object": "collection",
        "subscription": "sub_1",
        "customer": "cus_1",
        "status": "active",
        "was": None,
        "pause_collection": {"behavior": "void", "resumes_at": START + MONTH},
        "as_of": paused.json()["as_of"],
        "applied": True,
        "idempotency_key": "once",
    }
    assert again.json()["pause_collection"] == paused.json()["pause_collection"]
    assert (resumed["was"], resumed["pause_collection"]) == (
        {"behavior": "void", "resumes_at": START + MONTH},
        None,
    )
    assert paused.headers["cache-control"] == "no-store"
    assert len(found.sandbox.account.held["event"]) == 2
    assert {(r.by, r.reason) for r in records} == {("operator", WHY), ("operator", "is back")}
    assert version == 0


@pytest.mark.asyncio
async def test_a_portal_session_is_made(store_url: str) -> None:
    """With the configuration meant for that customer."""
    async with at(store_url) as (service, _):
        asked = {"customer": "cus_1", "configuration": "bpc_1", "reason": WHY}
        more = {"return_url": "https://here.test/", "flow": "subscription_pause"}
        made = await post(service, PORTAL, asked | more | {"subscription": "sub_1"})
        bare = await post(service, PORTAL, {"customer": "cus_1", "reason": WHY})

    said = made.json()
    assert said == {
        "object": "billing_portal.session",
        "id": said["id"],
        "url": said["url"],
        "customer": "cus_1",
        "configuration": "bpc_1",
        "return_url": "https://here.test/",
    }
    assert said["url"].startswith("https://")
    assert made.headers["cache-control"] == "no-store"
    assert (bare.status_code, bare.json()["configuration"]) == (200, None)


@pytest.mark.asyncio
async def test_a_connected_account_is_named_as_at_stripe(store_url: str) -> None:
    """By the same header."""
    async with at(store_url) as (service, found):
        found.sandbox.connect("acct_1")
        found.holds(SUBSCRIPTION, account="acct_1")
        paused = await post(service, PAUSE, VOID, stripe_account="acct_1")
        made = await post(
            service, PORTAL, {"customer": "cus_1", "reason": WHY}, stripe_account="acct_1"
        )
        assert found.held()["pause_collection"] is None

    assert (paused.json()["account"], made.status_code) == ("acct_1", 200)


@pytest.mark.asyncio
async def test_stripes_words_are_passed_on(store_url: str) -> None:
    """What it has not is not found, what it refuses is a conflict, what it limits may be sent again."""
    async with at(store_url) as (service, found):
        absent = "/ops/v1/subscriptions/sub_9/resume"
        problem = refused(await post(service, absent, {"reason": WHY}), 404, "stripe-missing")
        await post(service, RESUME, {"reason": WHY}, idempotency_key="once")
        other = await post(service, PAUSE, VOID, idempotency_key="once")
        refused(other, 409, "stripe-refused")
        found.sandbox.refuse = 1
        limited = await post(service, RESUME, {"reason": WHY})
        refused(limited, 503, "stripe-unavailable")

    assert "No such subscription: 'sub_9'" in problem["detail"]
    assert limited.headers["retry-after"]
    assert KEY not in limited.text + other.text + problem["detail"]


@pytest.mark.asyncio
async def test_without_a_key_it_says_what_is_needed(store_url: str) -> None:
    """After whatever is wrong with the call itself."""
    async with serving(store_url) as service:
        problem = refused(await post(service, RESUME, {"reason": WHY}), 409, "stripe-key-missing")
        refused(await post(service, RESUME, {}), 400, "bad-request")
    assert "ENTITLEMENTS_STRIPE_API_KEY" in problem["detail"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "said"),
    [
        (PAUSE, {"behavior": "void"}),
        (PAUSE, {"reason": WHY}),
        (PAUSE, VOID | {"behavior": "forget"}),
        (PAUSE, VOID | {"resumes_at": "soon"}),
        (PAUSE, VOID | {"resumes_at": START}),
        (PAUSE, VOID | {"resume_at": 1}),
        (PAUSE, VOID | {"reason": " "}),
        (RESUME, {"reason": ""}),
        (PORTAL, {"customer": "cus_1"}),
        (PORTAL, {"customer": "cus 1", "reason": WHY}),
        (PORTAL, {"customer": "cus_1", "reason": WHY, "flow": "elsewhere"}),
        (f"{RESUME}?force=1", {"reason": WHY}),
        ("/ops/v1/subscriptions/a%20b/resume", {"reason": WHY}),
    ],
)
async def test_an_order_that_cannot_be_is_refused(store_url: str, path: str, said: object) -> None:
    """And nothing reaches Stripe."""
    async with at(store_url) as (service, found):
        refused(await post(service, path, said), 400, "bad-request")
        assert not found.sandbox.account.held["event"]
        assert await audit.latest(service.state["store"], 1) == []


@pytest.mark.asyncio
async def test_a_key_that_is_none_is_refused(store_url: str) -> None:
    """As one that is too long for Stripe."""
    async with at(store_url) as (service, _):
        for key in ("", "x" * 256):
            answer = await post(service, PAUSE, VOID, idempotency_key=key)
            assert "Idempotency-Key" in refused(answer, 400, "bad-request")["detail"]


@pytest.mark.asyncio
@pytest.mark.parametrize("path", [PAUSE, RESUME, PORTAL])
async def test_only_who_may_operate_does_it(store_url: str, path: str) -> None:
    """It changes what customers pay."""
    async with at(store_url) as (service, _):
        refused(await post(service, path, VOID, None), 401, "unauthenticated")
        refused(await post(service, path, VOID, READ), 403, "forbidden")
