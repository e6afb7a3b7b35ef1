"""Which signing secrets are in use is remembered, and costs no delivery anything to speak of."""

import pytest

from entitlements.http.signing import EVERY, Signing
from entitlements.store import secrets
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import SECRET, event, subscription
from tests.support.histories import START
from tests.support.service import Clock, Service, serving
from tests.support.stores import opened

OTHER = "whsec_another"
CREATED = event(subscription())


async def noted(service: Service) -> dict[str, int]:
    """Return what is remembered."""
    return await secrets.seen(service.state["store"])


@pytest.mark.asyncio
async def test_the_secret_that_verified_is_remembered_by_its_fingerprint(redis_url: str) -> None:
    """Each that did, and none that is only configured."""
    async with serving(redis_url, webhook_secrets=(SECRET, OTHER, "whsec_idle")) as service:
        assert await noted(service) == {}
        await service.deliver(CREATED)
        service.clock.now += 5
        await service.deliver(CREATED, OTHER)
        found = await noted(service)

    assert found == {
        secrets.fingerprint(SECRET): START + 10,
        secrets.fingerprint(OTHER): START + 15,
    }
    assert all(len(name) == 8 and name not in (SECRET, OTHER) for name in found)


@pytest.mark.asyncio
async def test_it_is_noted_once_an_hour(store_url: str) -> None:
    """Whatever comes between costs no write."""
    clock = Clock(START + 10)
    async with serving(store_url, clock=clock) as service:
        await service.deliver(CREATED)
        for _ in range(3):
            clock.now += EVERY / 3 - 1
            await service.deliver(CREATED)
        assert await noted(service) == {secrets.fingerprint(SECRET): START + 10}
        clock.now += 3
        await service.deliver(CREATED)
        assert await noted(service) == {secrets.fingerprint(SECRET): int(clock.now)}


@pytest.mark.asyncio
async def test_what_is_refused_is_not_noted(store_url: str) -> None:
    """A signature that no secret made says nothing about any."""
    async with serving(store_url) as service:
        assert (await service.deliver(CREATED, OTHER)).status_code == 400
        assert await noted(service) == {}


@pytest.mark.asyncio
async def test_a_note_that_fails_costs_nobody_anything(own_store: EmbeddedStore) -> None:
    """The store may fail between a delivery and the note."""
    async with opened(own_store.url) as store:
        own_store.stop()
        await Signing(store).verified(SECRET, START)
