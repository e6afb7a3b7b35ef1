"""What passes is outlived; what lasts is raised."""

import asyncio

import pytest

from entitlements.errors import BadRequest, StoreUnavailable
from entitlements.ingest import Ingest
from entitlements.patience import patiently
from entitlements.policy import BUILT_IN
from entitlements.replay.run import Replay, new
from entitlements.replay.sources import FromLog
from entitlements.store.embedded import EmbeddedStore
from tests.replay.test_run import DEED, LOG, Stopping, people, whole
from tests.support.customers import NOW, opened
from tests.support.servers import client


@pytest.mark.asyncio
async def test_what_fails_is_asked_for_again_until_it_goes_through() -> None:
    """And no longer."""
    calls = 0

    async def twice() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreUnavailable("a failover")
        return calls

    assert await patiently(twice) == 2


@pytest.mark.asyncio
async def test_what_is_wrong_is_raised_at_once() -> None:
    """To ask again would not help."""
    calls = 0

    async def wrong() -> None:
        nonlocal calls
        calls += 1
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        await patiently(wrong)
    assert calls == 1


@pytest.mark.asyncio
async def test_what_lasts_is_raised_in_the_end() -> None:
    """After as many tries as there are waits, and one."""
    calls = 0

    async def never() -> None:
        nonlocal calls
        calls += 1
        raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        await patiently(never, (0.0, 0.0))
    assert calls == 3


@pytest.mark.asyncio
async def test_a_replay_outlives_a_store_that_stands_still(own_store: EmbeddedStore) -> None:
    """Frozen for longer than a call may take, in the middle of the log: every event is counted once."""
    async with opened(own_store.url) as store:
        ingest = Ingest(store, BUILT_IN)
        await asyncio.gather(*(ingest.deliver(body, NOW) for body in people(300)))

        def freeze() -> None:
            with client(own_store.url) as plain:
                plain.client_pause(1_500)

        run = new(LOG, DEED, dry_run=True)
        told = Stopping("previewing", 1, freeze)
        found = await whole(Replay(ingest, FromLog(store, LOG), run, lambda: NOW, told))

        assert (found.status, found.outcomes) == ("done", {"duplicate": 300})
