"""How the service is put together: on which store, and by which policy."""

import asyncio
import io
import json
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from entitlements.errors import PolicyError, StoreUnavailable, StoreUnsafe
from entitlements.http.app import open_state
from entitlements.policy import BUILT_IN, REVOKE
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import event, subscription
from tests.support.servers import client, frozen
from tests.support.service import serving, settings
from tests.support.stores import opened

PRO = "/v1/customers/cus_1/entitlements/pro"
STRICT = replace(BUILT_IN, status={**BUILT_IN.status, "past_due": REVOKE})


@pytest.mark.asyncio
async def test_writes_and_reads_have_connections_of_their_own(store_url: str) -> None:
    """One kind of caller cannot starve the other; an operator sees which is which."""
    async with serving(store_url):
        with client(store_url) as plain:
            names = {found["name"] for found in plain.client_list()}
    assert {"entitlements-webhooks", "entitlements-queries"} <= names


@pytest.mark.asyncio
async def test_without_a_usable_store_nothing_starts(own_store: EmbeddedStore) -> None:
    """One that cannot be reached, or would lose decisions, is said at once."""
    with frozen(own_store.pid), pytest.raises(StoreUnavailable):
        async with open_state(settings(), own_store.url):
            pass
    with client(own_store.url) as plain:
        plain.config_set("appendfsync", "everysec")
    with pytest.raises(StoreUnsafe):
        async with open_state(settings(), own_store.url):
            pass


@pytest.mark.asyncio
async def test_without_a_usable_policy_nothing_starts(store_url: str, tmp_path: Path) -> None:
    """A file that cannot be read as one is no reason to fall back to another."""
    path = tmp_path / "policy.toml"
    path.write_text("nonsense = 1\n")
    with pytest.raises(PolicyError):
        async with open_state(settings(policy_file=path), store_url):
            pass


@pytest.mark.asyncio
async def test_a_policy_that_is_not_in_force_is_reported_and_not_used(
    store_url: str, log_lines: io.StringIO
) -> None:
    """No deploy changes decisions by surprise: the one that the store holds goes on."""
    async with opened(store_url) as store:
        await store.policy(STRICT)
    async with serving(store_url) as service:
        answer = await service.ask(PRO)
    assert answer.json()["policy"] == STRICT.digest
    (line,) = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    assert line["event"] == "policy_differs"
    assert (line["in_force"], line["configured"]) == (STRICT.digest, BUILT_IN.digest)


@pytest.mark.asyncio
async def test_a_policy_that_is_put_in_force_is_followed(own_store: EmbeddedStore) -> None:
    """Every process decides by it soon, also after the store was away for a while."""
    async with serving(own_store.url) as service, opened(own_store.url) as store:
        with frozen(own_store.pid):
            assert (await service.ask(PRO)).status_code == 503
        await store.enforce(STRICT)
        deadline = time.monotonic() + 10
        while service.state["ingest"].policy != STRICT:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await service.deliver(event(subscription(status="past_due")))
        answer = (await service.ask(PRO)).json()
    assert (answer["granted"], answer["policy"]) == (False, STRICT.digest)
