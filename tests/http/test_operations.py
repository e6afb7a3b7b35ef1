"""A policy posted to be previewed: by whoever may operate, as JSON or as CSV; nothing is written."""

import csv
import io

import msgspec
import pytest
from httpx2 import Response

from entitlements.http.operations import LISTED
from entitlements.policy import BUILT_IN
from entitlements.policy_file import parse
from entitlements.preview import COLUMNS
from entitlements.sandbox.shapes import Body
from tests.support.bodies import event, pausing, subscription, update
from tests.support.customers import settle
from tests.support.histories import START
from tests.support.servers import client
from tests.support.service import OPERATE, READ, Service, bearer, serving

PATH = "/ops/v1/policy/preview"
STRICT = 'pause_collection.keep_as_draft = "revoke"\n[features]\npro = ["pro", "more"]\n'
PLAIN, PAUSED = subscription(), subscription(**pausing("keep_as_draft"))
CSV = {"Accept": "text/csv"}


async def post(
    service: Service, body: str | bytes = STRICT, token: str | None = OPERATE, **headers: str
) -> Response:
    """Post a policy as a person does."""
    return await service.http.post(PATH, content=body, headers=bearer(token) | headers)


async def pause(service: Service) -> None:
    """Deliver the events of one paused subscription."""
    assert (await service.deliver(event(PLAIN))).status_code == 200
    assert (await service.deliver(update(PLAIN, PAUSED))).status_code == 200


def refused(response: Response, status: int, name: str) -> Body:
    """Return the problem document of a refusal; fail if it is not that one."""
    found: Body = response.json()
    assert (response.status_code, found["status"]) == (status, status)
    assert found["type"] == f"urn:problem-type:entitlements:{name}"
    return found


@pytest.mark.asyncio
async def test_the_sums_and_who_is_concerned(store_url: str) -> None:
    """Counts of customers, answers and features, with every difference as it was and would be."""
    async with serving(store_url) as service:
        await pause(service)
        with client(store_url) as plain:
            held = {key: plain.dump(key) for key in plain.scan_iter()}
            found = await post(service)
            assert held == {key: plain.dump(key) for key in plain.scan_iter()}

    assert (found.status_code, found.headers["content-type"]) == (200, "application/json")
    body = found.json()
    (lost,) = body.pop("data")
    assert body == {
        "object": "policy_preview",
        "policy": parse(STRICT).digest,
        "in_force": BUILT_IN.digest,
        "customers": 1,
        "concerned": {"gains": 0, "loses": 1, "flips": 0},
        "answers": {"gains": 0, "loses": 1, "flips": 0},
        "features": {"pro": {"gains": 0, "loses": 1, "flips": 0}},
        "has_more": False,
    }
    assert (lost["customer"], lost["account"], lost["feature"]) == ("cus_1", None, "pro")
    assert (lost["kind"], lost["flip_was"], lost["flip_becomes"]) == ("loses", None, None)
    assert lost["was"]["reason"] == lost["becomes"]["reason"] == "paused_keep_as_draft"
    assert (lost["was"]["granted"], lost["becomes"]["granted"]) == (True, False)


@pytest.mark.asyncio
async def test_as_csv_everybody_is_named(store_url: str) -> None:
    """A row for each difference, however many there are; a JSON answer names the first and says that there are more."""
    settle(store_url, BUILT_IN, LISTED)
    every = 'features.pro = "plus"\nfeatures.lite = "plus"'
    async with serving(store_url) as service:
        found = await post(service, every, **CSV)
        summed = (await post(service, every)).json()

    assert (found.status_code, found.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    head, *rows = csv.reader(io.StringIO(found.text))
    assert head == list(COLUMNS)
    assert len(rows) == sum(summed["answers"].values()) > LISTED
    assert {row[1] for row in rows} == {f"cus_{n}" for n in range(LISTED)}
    assert (len(summed["data"]), summed["has_more"]) == (LISTED, True)


@pytest.mark.asyncio
async def test_the_clock_of_the_service_is_the_instant_compared(store_url: str) -> None:
    """The same policy takes access from nobody any more once the built-in one has."""
    async with serving(store_url) as service:
        await service.deliver(event(subscription(status="past_due")))
        now = (await post(service, 'status.past_due = "revoke"')).json()["concerned"]
        service.clock.now = START + 8 * 86_400
        later = (await post(service, 'status.past_due = "revoke"')).json()["concerned"]

    assert (now["loses"], later["loses"]) == (1, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("accept", [{}, CSV])
async def test_a_policy_that_cannot_be_used_is_a_400_with_the_line(
    store_url: str, accept: dict[str, str]
) -> None:
    """And the nearest valid name, before anything is walked."""
    async with serving(store_url) as service:
        found = refused(await post(service, "\n[stauts]", **accept), 400, "policy-invalid")

    assert found["detail"] == "policy.toml:2: stauts: is not known here: did you mean status?"


@pytest.mark.asyncio
async def test_what_is_no_text_is_a_400(store_url: str) -> None:
    """TOML is UTF-8."""
    async with serving(store_url) as service:
        found = refused(await post(service, b"\xff"), 400, "bad-request")

    assert found["detail"].startswith("The body is not text.")


@pytest.mark.asyncio
async def test_only_who_may_operate_previews(store_url: str) -> None:
    """A preview names customers."""
    async with serving(store_url) as service:
        refused(await post(service, token=None), 401, "unauthenticated")
        refused(await post(service, token=READ), 403, "forbidden")


@pytest.mark.asyncio
async def test_a_process_without_the_surface_has_no_such_address(store_url: str) -> None:
    """The public listener can do without."""
    async with serving(store_url, surfaces=frozenset({"webhooks", "queries"})) as service:
        refused(await post(service), 404, "not-found")


@pytest.mark.asyncio
async def test_a_preview_is_as_a_struct_reads_it(store_url: str) -> None:
    """An empty store has nobody; JSON is JSON."""
    async with serving(store_url) as service:
        found = await post(service, "")

    assert msgspec.json.decode(found.content)["customers"] == 0
