"""How the process is, for those who watch it."""

import time

import pytest

from entitlements.store.embedded import EmbeddedStore
from tests.support.servers import SOON, frozen
from tests.support.service import serving


@pytest.mark.asyncio
async def test_a_process_that_runs_is_healthy(own_store: EmbeddedStore) -> None:
    """Whatever becomes of the store: a restart of the process would not mend it."""
    async with serving(own_store.url) as service:
        assert (await service.http.get("/healthz")).json() == {"status": "ok"}
        with frozen(own_store.pid):
            assert (await service.http.get("/healthz")).status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(("durability", "durable"), [("fsync", True), ("memory", False)])
async def test_a_process_that_has_started_is_ready(
    store_url: str, durability: str, *, durable: bool
) -> None:
    """It says that the store is reachable, what a 2xx means there, and whether it keeps that."""
    async with serving(store_url, durability=durability) as service:
        found = await service.http.get("/readyz")
    assert found.status_code == 200
    assert found.json()["status"] == "ready"
    assert found.json()["store"] == {
        "reachable": True,
        "durability": durability,
        "durable": durable,
        "lag": None,
        "unsafe": [],
        "remarks": [],
    }


@pytest.mark.asyncio
async def test_a_store_that_is_gone_does_not_make_it_unready(own_store: EmbeddedStore) -> None:
    """All processes share the store, and would all be taken out at once: it is told, soon, and no more."""
    async with serving(own_store.url) as service:
        with frozen(own_store.pid):
            began = time.monotonic()
            found = await service.http.get("/readyz")
            assert time.monotonic() - began < SOON
        assert (found.status_code, found.json()["status"]) == (200, "ready")
        assert found.json()["store"] == {"reachable": False, "durable": None}
        assert (await service.http.get("/readyz")).json()["store"]["reachable"] is True


@pytest.mark.asyncio
async def test_a_process_that_drains_is_not_ready(store_url: str) -> None:
    """Load balancers look elsewhere, while requests are still answered."""
    async with serving(store_url) as service:
        service.state["readiness"].drain()
        found = await service.http.get("/readyz")
        assert (found.status_code, found.json()["status"]) == (503, "draining")
        assert (await service.http.get("/healthz")).status_code == 200


@pytest.mark.asyncio
async def test_counters_are_exposed_for_prometheus(store_url: str) -> None:
    """Every outcome is there from the start, so that a rate can be told from nothing."""
    async with serving(store_url) as service:
        found = await service.http.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'entitlements_webhooks_total{outcome="quarantined"}' in found.text
    assert "# TYPE entitlements_webhook_seconds histogram" in found.text


@pytest.mark.asyncio
async def test_health_is_on_every_process(store_url: str) -> None:
    """Whichever surfaces it serves."""
    async with serving(store_url, surfaces=frozenset({"webhooks"})) as service:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await service.http.get(path)).status_code == 200
        assert (await service.ask("/v1/customers/cus_1/entitlements")).status_code == 404


@pytest.mark.asyncio
async def test_counters_are_exposed_without_a_store(own_store: EmbeddedStore) -> None:
    """How many events wait is not known then, and is not said to be none."""
    async with serving(own_store.url) as service:
        with frozen(own_store.pid):
            found = await service.http.get("/metrics")
            ready = (await service.http.get("/readyz")).json()
    assert found.status_code == 200
    assert "\nentitlements_quarantined NaN\n" in found.text
    assert ready["quarantine"] == {"waiting": None}
