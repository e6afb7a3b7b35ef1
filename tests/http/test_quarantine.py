"""The quarantine over HTTP: listed in pages, shown without secrets, tried again and discarded by who may operate."""

import pytest
from httpx2 import Response

from entitlements.http.deeds import REASON
from entitlements.http.pages import MOST
from entitlements.http.quarantine import PATH
from entitlements.store import audit
from tests.http.test_operations import refused
from tests.support.bodies import event, subscription
from tests.support.histories import START
from tests.support.quarantined import OLD_WHY, leave
from tests.support.service import OPERATE, READ, Service, bearer, serving

PLAIN = subscription()
BROKEN = event(PLAIN | {"items": None, "client_secret": "sub_secret_1"})
REASONED = {"reason": "the new version reads it"}


async def ask(service: Service, path: str = "", **parameters: str | int) -> Response:
    """Ask as a person does."""
    return await service.http.get(f"{PATH}{path}", params=parameters, headers=bearer(OPERATE))


async def post(service: Service, path: str, said: object = REASONED) -> Response:
    """Do something about an event."""
    return await service.http.post(f"{PATH}/{path}", json=said, headers=bearer(OPERATE))


@pytest.mark.asyncio
async def test_it_is_listed_in_stripes_shape(store_url: str) -> None:
    """The newest first; each with what is known of it. Pages follow one another."""
    async with serving(store_url) as service:
        for n in range(12):
            await leave(service.state["store"], event(PLAIN, id=f"evt_{n}"), at=START + n)
        first = (await ask(service)).json()
        rest = (await ask(service, starting_after="evt_2")).json()
        few = (await ask(service, limit=5, starting_after="evt_9")).json()

    assert (first["object"], first["url"], first["has_more"]) == ("list", PATH, True)
    assert [entry["id"] for entry in first["data"]] == [f"evt_{n}" for n in range(11, 1, -1)]
    assert first["data"][0] == {
        "object": "quarantine_entry",
        "id": "evt_11",
        "event": "evt_11",
        "type": "customer.subscription.created",
        "customer": None,
        "received_at": START + 11,
        "why": OLD_WHY,
        "attempts": 0,
    }
    assert ([entry["id"] for entry in rest["data"]], rest["has_more"]) == (
        ["evt_1", "evt_0"],
        False,
    )
    assert [entry["id"] for entry in few["data"]] == [f"evt_{n}" for n in range(8, 3, -1)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "parameters", [{"limit": 0}, {"limit": MOST + 1}, {"starting_after": "evt_9"}, {"after": "x"}]
)
async def test_a_page_that_cannot_be_is_refused(
    store_url: str, parameters: dict[str, str | int]
) -> None:
    """With a sentence on what it takes."""
    async with serving(store_url) as service:
        refused(await ask(service, "", **parameters), 400, "bad-request")


@pytest.mark.asyncio
async def test_one_is_shown_with_its_body_and_what_a_retry_would_do(store_url: str) -> None:
    """Secrets are left out of the body."""
    async with serving(store_url) as service:
        await service.deliver(BROKEN)
        await leave(service.state["store"], event(PLAIN, id="evt_2"))
        broken = await ask(service, "/evt_1")
        readable = (await ask(service, "/evt_2")).json()

    assert "sub_secret_1" not in broken.text
    assert broken.json()["body"]["data"]["object"]["id"] == "sub_1"
    assert broken.json()["retry"]["outcome"] == "quarantined"
    assert readable["retry"]["outcome"] == "applied"
    assert [found["kind"] for found in readable["retry"]["data"]] == ["gains"]


@pytest.mark.asyncio
async def test_a_retry_takes_it_in(store_url: str) -> None:
    """The caller's token is who did it; queries answer by it from then on."""
    async with serving(store_url) as service:
        await leave(service.state["store"], event(PLAIN))
        found = await post(service, "evt_1/retry")
        listed = (await ask(service)).json()
        answer = (await service.ask("/v1/customers/cus_1/entitlements/pro")).json()
        (record,) = await audit.latest(service.state["store"], 10)

    assert (found.status_code, found.json()["outcome"], found.json()["version"]) == (
        200,
        "applied",
        1,
    )
    assert (listed["data"], answer["granted"]) == ([], True)
    assert (record.by, record.reason, record.at) == ("operator", REASONED["reason"], START + 10)


@pytest.mark.asyncio
async def test_what_is_still_not_understood_stays(store_url: str) -> None:
    """The answer says so, and why."""
    async with serving(store_url) as service:
        await service.deliver(BROKEN)
        found = (await post(service, "evt_1/retry")).json()
        (entry,) = (await ask(service)).json()["data"]

    assert (found["outcome"], entry["attempts"]) == ("quarantined", 1)
    assert found["why"] == entry["why"]


@pytest.mark.asyncio
async def test_the_wrong_mode_is_a_conflict(store_url: str) -> None:
    """Until the service is for that mode."""
    async with serving(store_url, livemode=True) as service:
        await service.deliver(event(PLAIN))
        problem = refused(await post(service, "evt_1/retry"), 409, "conflict")
        (entry,) = (await ask(service)).json()["data"]
    assert "ENTITLEMENTS_LIVEMODE" in problem["detail"]
    assert entry["customer"] == "cus_1"


@pytest.mark.asyncio
async def test_what_is_discarded_is_gone(store_url: str) -> None:
    """A second time it is not there."""
    async with serving(store_url) as service:
        await service.deliver(BROKEN)
        found = await post(service, "evt_1/discard")
        assert (found.status_code, found.json()["entry"]["id"]) == (200, "evt_1")
        refused(await post(service, "evt_1/discard"), 404, "not-found")
        refused(await post(service, "evt_1/retry"), 404, "not-found")
        refused(await ask(service, "/evt_1"), 404, "not-found")


@pytest.mark.asyncio
@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize(
    "said", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * (REASON + 1)}, {"why": "x"}, []]
)
async def test_every_write_says_why(store_url: str, verb: str, said: object) -> None:
    """Nothing happens without a reason."""
    async with serving(store_url) as service:
        await service.deliver(BROKEN)
        refused(await post(service, f"evt_1/{verb}", said), 400, "bad-request")
        (entry,) = (await ask(service)).json()["data"]
    assert entry["attempts"] == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["", "/evt_1", "/evt_1/retry", "/evt_1/discard"])
async def test_only_who_may_operate_sees_or_touches_it(store_url: str, path: str) -> None:
    """Bodies name customers."""
    async with serving(store_url) as service:
        method = "POST" if path.count("/") == 2 else "GET"
        for token, status, name in ((None, 401, "unauthenticated"), (READ, 403, "forbidden")):
            found = await service.http.request(method, f"{PATH}{path}", headers=bearer(token))
            refused(found, status, name)


@pytest.mark.asyncio
async def test_how_many_wait_is_told_to_who_watches(store_url: str) -> None:
    """In `/readyz`, and to Prometheus."""
    async with serving(store_url) as service:
        await service.deliver(BROKEN)
        ready = (await service.http.get("/readyz")).json()
        counted = (await service.http.get("/metrics")).text
    assert ready["quarantine"] == {"waiting": 1}
    assert "\nentitlements_quarantined 1.0\n" in counted
