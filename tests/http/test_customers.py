"""One customer whole, and what was known when."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from entitlements.policy import BUILT_IN, DAY
from entitlements.policy_file import parse
from entitlements.preview import apply
from tests.support.bodies import event, pausing, subscription, update
from tests.support.histories import MONTH, START
from tests.support.service import READ, Clock, Service, bearer, serving

CUSTOMER = "/v1/customers/cus_1"
PRO = f"{CUSTOMER}/entitlements/pro"
PLAIN = subscription()
PAUSED = subscription(**pausing("void"))
RETENTION = BUILT_IN.log_retention


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give the service with one customer, whose pause of START + 5 came a minute late."""
    async with serving(store_url) as found:
        await found.deliver(event(PLAIN))
        found.clock.now = START + 65
        await found.deliver(update(PLAIN, PAUSED, created=START + 5))
        yield found


async def reason(service: Service, query: str = "") -> str:
    """Ask for a reason."""
    response = await service.ask(PRO + query)
    assert response.status_code == 200, response.text
    return str(response.json()["reason"])


@pytest.mark.asyncio
async def test_a_customer_is_told_whole(service: Service) -> None:
    """What is held, the timeline that was made of it, and the answers that follow."""
    told = (await service.ask(CUSTOMER)).json()

    assert told | {"entitlements": None, "subscriptions": None} == {
        "object": "customer",
        "id": "cus_1",
        "as_of": START + 65,
        "version": 2,
        "policy": BUILT_IN.digest,
        "subscriptions": None,
        "overrides": {},
        "reviews": {},
        "entitlements": None,
    }
    common = {"rule": "pause_collection.void", "reason": "paused_void", "quantity": 1}
    assert told["subscriptions"] == [
        {
            "object": "subscription",
            "id": "sub_1",
            "status": "active",
            "pause_collection": {"behavior": "void"},
            "since": START + 5,
            "flags": [],
            "features": {
                "pro": [
                    {"from": START + 5, "until": START + MONTH, "granted": True, **common},
                    {"from": START + MONTH, "until": None, "granted": False, **common},
                ]
            },
        }
    ]
    assert told["entitlements"] == [(await service.ask(PRO)).json()]


@pytest.mark.asyncio
async def test_a_customer_is_told_as_they_were(service: Service) -> None:
    """At an instant in the past the subscription is what it was, and its whole life is there to see."""
    (then,) = (await service.ask(f"{CUSTOMER}?at={START + 3}")).json()["subscriptions"]
    (life,) = then["features"].values()

    assert (then["pause_collection"], then["status"]) == (None, "active")
    assert [(s["from"], s["reason"]) for s in life][:2] == [
        (START, "active"),
        (START + 5, "paused_void"),
    ]


@pytest.mark.asyncio
async def test_of_nobody_there_is_nothing_to_tell(service: Service) -> None:
    """It is an answer all the same, with version 0."""
    told = (await service.ask("/v1/customers/cus_2", Stripe_Account="acct_1")).json()

    assert (told["id"], told["account"], told["version"]) == ("cus_2", "acct_1", 0)
    assert (told["subscriptions"], told["entitlements"]) == ([], [])


@pytest.mark.asyncio
async def test_a_customer_that_is_unchanged_is_not_sent_again(service: Service) -> None:
    """Its ETag is that of its answers."""
    etag = (await service.ask(CUSTOMER)).headers["etag"]

    assert (await service.ask(CUSTOMER, If_None_Match=etag)).status_code == 304


@pytest.mark.asyncio
async def test_what_was_known_then_is_told_again(service: Service) -> None:
    """The late pause counts for its own time by all that is known now, and not by what was known then."""
    assert await reason(service, f"?at={START + 30}") == "paused_void"
    assert await reason(service, f"?at={START + 30}&known_at={START + 30}") == "active"
    assert await reason(service, f"?known_at={START + 64}") == "active"
    assert await reason(service, f"?known_at={START + 65}") == "paused_void"
    assert await reason(service, f"?known_at={START + 9}") == "unknown_customer"


@pytest.mark.asyncio
async def test_the_whole_of_what_was_known_is_told(service: Service) -> None:
    """List and customer go back on both axes as well."""
    when = f"?at={START + 30}&known_at={START + 30}"
    listed = (await service.ask(f"{CUSTOMER}/entitlements{when}")).json()["data"]
    told = (await service.ask(f"{CUSTOMER}{when}")).json()

    assert [e["reason"] for e in listed] == ["active"]
    assert told["entitlements"] == listed
    assert told["subscriptions"][0]["pause_collection"] is None


@pytest.mark.asyncio
async def test_the_policy_that_held_then_is_what_counts(store_url: str) -> None:
    """After another one is applied, the old answers are told by the old one."""
    async with serving(store_url) as service:
        await service.deliver(event(PLAIN))
        await service.deliver(update(PLAIN, PAUSED))
        service.clock.now = START + DAY
        strict = service.state["configured"]
        await _apply(service, 'pause_collection.void = "revoke"')
        now, then = f"?at={START + DAY}", f"?at={START + 60}&known_at={START + 60}"
        found = [(await service.ask(PRO + query)).json() for query in (now, then)]

    assert [(f["granted"], f["policy"] == strict.digest) for f in found] == [
        (False, False),
        (True, True),
    ]


async def _apply(service: Service, text: str) -> None:
    async for _ in apply(service.state["store"], parse(text), START + DAY, lag=0):
        pass


@pytest.mark.asyncio
async def test_beyond_what_is_kept_an_answer_is_refused(store_url: str) -> None:
    """On both axes, in a batch too: not guessed, and not taken for a denial."""
    async with serving(store_url, clock=Clock(START)) as service:
        await service.deliver(event(PLAIN))
        service.clock.now = later = START + RETENTION + DAY
        await service.deliver(update(PLAIN, PAUSED, created=later))
        await service.deliver(update(PAUSED, PLAIN, created=later + 5, id="evt_3"))
        past = await service.ask(f"{PRO}?at={START - 1}")
        unknown = await service.ask(f"{PRO}?at={later}&known_at={START - 1}")
        batch = await service.check(
            {"customer": "cus_1", "feature": "pro", "at": START - 1},
            {"customer": "cus_1", "feature": "pro", "at": START},
        )

    for refused in (past, unknown):
        assert refused.status_code == 410
        assert refused.json()["type"] == "urn:problem-type:entitlements:beyond-retention"
        assert str(START) in refused.json()["detail"]
    assert [one.get("status", one.get("reason")) for one in batch.json()["data"]] == [410, "active"]


@pytest.mark.asyncio
async def test_an_event_before_all_that_is_kept_is_history(store_url: str) -> None:
    """It is kept in the log, once, and moves nothing."""
    async with serving(store_url, clock=Clock(START)) as service:
        await service.deliver(event(PLAIN))
        service.clock.now = later = START + RETENTION + DAY
        await service.deliver(update(PLAIN, PAUSED, created=later))
        before = (await service.ask(PRO)).json()
        old = update(PLAIN, PLAIN | {"status": "unpaid"}, id="evt_old", created=START - 5)
        told = [(await service.deliver(old)).json() for _ in range(2)]

        assert [t["outcome"] for t in told] == ["stale", "duplicate"]
        assert (await service.ask(PRO)).json() == before


@pytest.mark.asyncio
async def test_a_customer_is_told_to_readers_alone(service: Service) -> None:
    """Like every query."""
    assert (await service.ask(CUSTOMER, token=None)).status_code == 401
    assert (await service.http.get(CUSTOMER, headers=bearer(READ))).status_code == 200
