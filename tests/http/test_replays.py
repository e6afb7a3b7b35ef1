"""Replays over HTTP: begun beside other work, looked at, cancelled, and a preview applied as it was."""

import asyncio
import csv
import io
from typing import Any

import pytest
from httpx2 import Response

from entitlements.http.replays import PATH
from entitlements.model import Subject
from entitlements.replay.background import MOST
from entitlements.replay.run import new
from entitlements.sandbox.shapes import Body
from entitlements.store import audit, keys, replays
from entitlements.store.audit import Deed
from entitlements.store.replays import Asked
from tests.support.bodies import event, pausing, subscription, update
from tests.support.histories import START
from tests.support.service import OPERATE, READ, Service, bearer, serving

PLAIN = subscription()
LIFE = [event(PLAIN), update(PLAIN, PLAIN | pausing("void"))]
WHY = {"reason": "webhooks failed"}
LOG = WHY | {"source": "log"}


async def post(service: Service, said: object = LOG, **headers: str) -> Response:
    """Begin a replay."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.http.post(PATH, json=said, headers=bearer(OPERATE) | named)


async def ask(service: Service, path: str = "", **headers: str) -> Response:
    """Look at replays."""
    return await service.http.get(f"{PATH}{path}", headers=bearer(OPERATE) | headers)


def refused(response: Response, status: int, why: str) -> None:
    """Fail where a call was not refused, for this reason."""
    assert response.status_code == status, response.text
    assert why in response.json()["detail"]


async def ended(service: Service, begun: Response) -> Any:  # noqa: ANN401  JSON
    """Return a replay once it does not run any more."""
    assert begun.status_code == 202, begun.text
    assert begun.headers["location"] == f"{PATH}/{begun.json()['id']}"
    name = begun.json()["id"]
    async with asyncio.timeout(20):
        while True:  # as its callers do
            found = (await ask(service, f"/{name}")).json()
            if found["status"] != "running":
                return found
            await asyncio.sleep(0.02)


async def lose(service: Service, *events: Body) -> None:
    """Let what the events left be lost, but for the log."""
    for one in events:
        assert (await service.deliver(one)).status_code == 200
    store, subject = service.state["store"], Subject("cus_1")
    p = store.partition("cus_1")
    for name in (keys.customer(p, subject), keys.subscription(p, subject, "sub_1")):
        await store.redis.delete(name)


@pytest.mark.asyncio
async def test_a_preview_is_made_unless_it_is_said_otherwise(store_url: str) -> None:
    """Then exactly what was previewed is done; and both say who gains what."""
    async with serving(store_url) as service:
        await lose(service, *LIFE)
        preview = await ended(service, await post(service))
        listed = await service.ask("/v1/customers/cus_1/entitlements/pro")
        done = await ended(
            service, await post(service, WHY | {"preview": preview["id"], "dry_run": False})
        )

        assert not listed.json()["granted"]
        for run in (preview, done):
            assert (run["object"], run["status"], run["by"]) == ("replay", "done", "operator")
            assert (run["events"], run["outcomes"]) == (2, {"applied": 2})
            (gained,) = run["data"]
            assert (gained["kind"], gained["customer"], gained["since"]) == (
                "gains",
                "cus_1",
                START,
            )
            assert not run["has_more"]
        assert (preview["dry_run"], done["dry_run"], done["resumes"]) == (
            True,
            False,
            preview["id"],
        )
        assert (await service.ask("/v1/customers/cus_1/entitlements/pro")).json()["granted"]
        (record,) = await audit.latest(service.state["store"], 5)
        assert (record.by, record.action, record.reason) == (
            "operator",
            "replay.apply",
            "webhooks failed",
        )


@pytest.mark.asyncio
async def test_they_are_listed_the_newest_first_and_shown_as_csv(store_url: str) -> None:
    """In Stripe's shape, page by page."""
    async with serving(store_url) as service:
        await lose(service, LIFE[0])
        first = await ended(service, await post(service))
        service.clock.now += 1
        second = await ended(service, await post(service))
        page = (await ask(service, "?limit=1")).json()
        rest = (await ask(service, f"?starting_after={second['id']}")).json()
        sheet = await ask(service, f"/{first['id']}", Accept="text/csv")

    assert ([run["id"] for run in page["data"]], page["has_more"]) == ([second["id"]], True)
    assert ([run["id"] for run in rest["data"]], rest["has_more"]) == ([first["id"]], False)
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert [(row["customer"], row["kind"], row["since"]) for row in rows] == [
        ("cus_1", "gains", str(START))
    ]


@pytest.mark.asyncio
async def test_pages_lose_none_of_one_second(store_url: str) -> None:
    """A preview and what does it may begin within one: the names of runs stand in the order of the list."""
    async with serving(store_url) as service:
        await lose(service, LIFE[0])
        for _ in range(4):
            preview = await ended(service, await post(service))
            apply = WHY | {"preview": preview["id"], "dry_run": False}
            await ended(service, await post(service, apply))
        whole = (await ask(service)).json()["data"]
        found, after = list[str](), ""
        while len(found) < len(whole):
            page = (await ask(service, f"?limit=1{after}")).json()
            (run,) = page["data"]
            found.append(run["id"])
            after = f"&starting_after={run['id']}"

    assert not page["has_more"]
    assert found == [run["id"] for run in whole]
    assert [run["dry_run"] for run in whole] == [False] * 4 + [True] * 4


@pytest.mark.asyncio
async def test_one_that_runs_elsewhere_is_cancelled_by_its_id(store_url: str) -> None:
    """With a reason, on the record. While it writes no other one does."""
    async with serving(store_url) as service:
        store, now = service.state["store"], int(service.clock.now)
        other = new(Asked(source="log"), Deed("bob", "first", now), dry_run=False)
        await replays.begin(store, other)

        refused(await post(service, LOG | {"dry_run": False}), 409, other.id)
        unreasoned = await service.http.delete(f"{PATH}/{other.id}", headers=bearer(OPERATE))
        refused(unreasoned, 400, "reason")
        told = await service.http.delete(
            f"{PATH}/{other.id}?reason=not+now", headers=bearer(OPERATE)
        )
        assert told.json()["id"] == other.id
        assert await replays.tell(store, other) == ("cancelled", "cancelled by operator")
        refused(await post(service, WHY | {"preview": other.id}), 409, "still runs")
        other.status = "cancelled"
        await replays.end(store, other)
        again = await service.http.delete(f"{PATH}/{other.id}?reason=x", headers=bearer(OPERATE))
        refused(again, 409, "does not run")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ({"source": "log"}, 400, "reason"),
        (WHY, 400, "source"),
        (WHY | {"source": "file"}, 400, "source"),
        (LOG | {"undelivered": True}, 400, "undelivered"),
        (LOG | {"preview": "rp_1"}, 400, "one of them"),
        (WHY | {"preview": "rp_1", "since": 5}, 400, "nothing else"),
        (WHY | {"preview": "rp_1"}, 404, "rp_1"),
        (WHY | {"source": "stripe"}, 409, "ENTITLEMENTS_STRIPE_API_KEY"),
        (LOG | {"odd": 1}, 400, "odd"),
    ],
)
async def test_what_cannot_be_begun_is_refused(
    store_url: str, said: "dict[str, object]", status: int, why: str
) -> None:
    """With what to do instead."""
    async with serving(store_url) as service:
        refused(await post(service, said), status, why)
        assert (await ask(service, "/rp_1")).status_code == 404
        assert (await service.ask(PATH, READ)).status_code == 403


@pytest.mark.asyncio
async def test_that_of_a_file_goes_on_where_it_was_run(store_url: str) -> None:
    """This process has no such file."""
    async with serving(store_url) as service:
        store, now = service.state["store"], int(service.clock.now)
        run = new(Asked(source="file", path="x"), Deed("bob", "first", now), dry_run=True)
        await replays.begin(store, run)
        run.status = "done"
        await replays.end(store, run)
        refused(await post(service, WHY | {"preview": run.id}), 400, "of a file")


@pytest.mark.asyncio
async def test_a_process_makes_a_few_at_a_time_and_ends_them_with_itself(store_url: str) -> None:
    """What it could not finish is shown as stopped."""
    async with serving(store_url) as service:
        await lose(service, *LIFE)
        begun = [await post(service) for _ in range(MOST + 1)]
        names = [one.json()["id"] for one in begun if one.status_code == 202]
        refused(begun[-1], 409, f"{MOST} replays")
        assert len(names) == MOST
    async with serving(store_url) as service:
        store = service.state["store"]
        found = [await replays.one(store, name, service.clock.now) for name in names]
    assert {run.status for run in found} <= {"done", "stopped"}


@pytest.mark.asyncio
async def test_what_a_replay_changes_is_marked_in_the_feed(store_url: str) -> None:
    """And nothing else is."""
    async with serving(store_url) as service:
        await lose(service, LIFE[0])
        await ended(service, await post(service, LOG | {"dry_run": False}))
        stream = service.state["feed"].streams
        upto = tuple(head.last for head in await stream.heads())
        page = await stream.page(tuple(type(at)(0, 0) for at in upto), upto)
    assert [entry.change.replayed for entry, _ in page.entries if entry.change] == [False, True]
