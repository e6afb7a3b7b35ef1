"""Reviews over HTTP: what waits, decided and undone, for as long as a pause lasts."""

from typing import Any

import pytest
from httpx2 import Response

from entitlements.policy_file import parse
from entitlements.store import audit
from tests.http.test_operations import refused
from tests.http.test_overrides import told
from tests.support.bodies import event, pausing, subscription, update
from tests.support.histories import START
from tests.support.service import OPERATE, READ, Service, bearer, serving

NOW = START + 10
PATH = "/ops/v1/reviews"
POLICY = parse('pause_collection.void = { access = "review", while_pending = "revoke" }')
PLAIN = subscription()
PAUSED = PLAIN | pausing("void")
REVOKE = {"decision": "revoke", "reason": "abuse"}
GRANT = {"decision": "grant", "reason": "on leave"}


async def paused(service: Service, *, account: str | None = None) -> None:
    """Put a policy in force that leaves a pause to a person, and deliver one."""
    await service.state["store"].enforce(POLICY)
    service.state["ingest"].policy = service.state["answers"].policy = POLICY
    more = {"account": account} if account else {}
    await service.deliver(event(PLAIN) | more)
    await service.deliver(update(PLAIN, PAUSED, created=START + 5) | more)


async def listed(service: Service, query: str = "") -> Any:  # noqa: ANN401  any JSON
    """List."""
    found = await service.ask(f"{PATH}{query}", OPERATE)
    assert found.status_code == 200, found.text
    return found.json()


async def post(service: Service, said: object, name: str = "sub_1", **headers: str) -> Response:
    """Decide."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return await service.http.post(f"{PATH}/{name}", json=said, headers=bearer(OPERATE) | named)


async def undo(service: Service, name: str = "sub_1") -> Response:
    """Take back."""
    return await service.http.delete(f"{PATH}/{name}?reason=a+slip", headers=bearer(OPERATE))


async def reason(service: Service, query: str = "") -> str:
    """Ask what product services are told."""
    found = (await service.ask(f"/v1/customers/cus_1/entitlements/pro{query}")).json()
    assert isinstance(found["reason"], str)
    return found["reason"]


@pytest.mark.asyncio
async def test_what_waits_is_listed_with_what_holds_meanwhile(store_url: str) -> None:
    """Why it waits, since when, and where the story is told."""
    async with serving(store_url) as service:
        await paused(service)
        found = await listed(service)

    (entry,) = found["data"]
    assert (found["object"], found["has_more"], found["next"], found["url"]) == (
        "list",
        False,
        None,
        PATH,
    )
    assert {k: v for k, v in entry.items() if k != "features"} == {
        "object": "review",
        "id": f"cus_1/sub_1@{START + 5}",
        "customer": "cus_1",
        "account": None,
        "subscription": "sub_1",
        "since": START + 5,
        "reason": "review_pending",
        "rule": "pause_collection.void",
        "begins": START + 5,
        "ends": None,
        "flags": [],
        "decided": None,
        "explain": "/ops/v1/customers/cus_1/explain",
    }
    assert [(f["feature"], f["granted"]) for f in entry["features"]] == [("pro", False)]


@pytest.mark.asyncio
async def test_a_decision_lasts_as_long_as_the_pause(store_url: str) -> None:
    """It leaves the list, is found as decided, can be changed and undone; another pause waits again."""
    async with serving(store_url) as service:
        await paused(service)
        made = (await post(service, GRANT)).json()
        waits, decided = await listed(service), await listed(service, "?status=decided")
        service.clock.now = NOW + 5
        assert (await post(service, REVOKE)).json()["features"][0]["reason"] == "review_revoke"
        service.clock.now = NOW + 6
        assert (await undo(service)).json()["decision"] is None
        again = await listed(service)
        past = [await reason(service, f"?at={NOW + t}") for t in (-1, 0, 5, 6)]
        customer = (await service.ask("/v1/customers/cus_1")).json()
        await post(service, GRANT)
        await service.deliver(update(PAUSED, PLAIN, id="evt_3", created=NOW + 7))
        await service.deliver(update(PLAIN, PAUSED, id="evt_4", created=NOW + 8))
        service.clock.now = NOW + 9
        new = await reason(service)
        deeds = await audit.latest(service.state["store"], 9)
        feed = await told(service)

    assert (made["decision"], made["by"], made["since"]) == ("grant", "operator", START + 5)
    assert (waits["data"], [e["decided"]["access"] for e in decided["data"]]) == ([], ["grant"])
    assert [e["subscription"] for e in again["data"]] == ["sub_1"]
    assert past == ["review_pending", "review_grant", "review_revoke", "review_pending"]
    assert (customer["reviews"], new) == ({}, "review_pending")
    assert sorted(d.action for d in deeds) == [*["review.decide"] * 3, "review.undo"]
    assert [why for _, why, _ in feed] == [
        *("active", "review_pending", "review_grant", "review_revoke", "review_pending"),
        *("review_grant", "active", "review_pending"),
    ]


@pytest.mark.asyncio
async def test_what_cannot_be_decided_is_refused(store_url: str) -> None:
    """What is not known, what policy has decided, what says no reason, another account's."""
    async with serving(store_url) as service:
        await paused(service)
        refused(await post(service, GRANT, "sub_9"), 404, "not-found")
        refused(await post(service, GRANT, Stripe_Account="acct_1"), 404, "not-found")
        refused(await undo(service), 404, "not-found")
        for said in ({}, {"decision": "deny", "reason": "x"}, {"decision": "grant", "reason": " "}):
            refused(await post(service, said), 400, "bad-request")
        refused(await service.ask(PATH, READ), 403, "forbidden")
        odd = subscription(id="sub_2", customer="cus_2", **pausing("postpone"))
        ambiguous = event(odd | {"items": {**odd["items"], "has_more": True}}, id="evt_8")
        await service.deliver(ambiguous)
        assert (await post(service, GRANT, "sub_2")).is_success
        flagged = subscription(id="sub_3", customer="cus_3")
        await service.deliver(
            event(flagged | {"items": {**flagged["items"], "has_more": True}}, id="evt_9")
        )
        refused(await post(service, GRANT, "sub_3"), 409, "conflict")
        found = await listed(service)
    assert [(e["subscription"], e["reason"], e["flags"]) for e in found["data"]] == [
        ("sub_3", None, ["has_more_items"]),
        ("sub_1", "review_pending", []),
    ]


@pytest.mark.asyncio
async def test_pages_follow_one_another_oldest_first(store_url: str) -> None:
    """Past those that are decided."""
    async with serving(store_url) as service:
        await paused(service)
        for n in range(2, 8):
            plain = subscription(id=f"sub_{n}", customer=f"cus_{n}")
            await service.deliver(event(plain, id=f"evt_{n}_a"))
            changed = update(
                plain, plain | pausing("void"), id=f"evt_{n}_b", created=START + 10 - n
            )
            await service.deliver(changed)
        await post(service, GRANT, "sub_6")
        names, query = list[str](), "?limit=2"
        while query:
            found = await listed(service, query)
            names += [e["subscription"] for e in found["data"]]
            query = found["next"] and f"?limit=2&starting_after={found['next']}"
    assert names == ["sub_7", "sub_1", "sub_5", "sub_4", "sub_3", "sub_2"]


@pytest.mark.asyncio
async def test_connected_accounts_are_named(store_url: str) -> None:
    """By the header, as everywhere."""
    async with serving(store_url) as service:
        await paused(service, account="acct_1")
        refused(await post(service, GRANT), 404, "not-found")
        made = await post(service, GRANT, Stripe_Account="acct_1")
    assert (made.status_code, made.json()["account"]) == (200, "acct_1")
