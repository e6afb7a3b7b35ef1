"""The lease of the walk that workers make, and how far it is: both or nothing, on every kind of store."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from msgspec.structs import replace

from entitlements.store import keys, walks
from entitlements.store.store import Store
from entitlements.store.walks import LEASE, Walk
from tests.support.histories import START
from tests.support.stores import opened

WALK = Walk(began_at=START)


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncGenerator[Store]:
    """Give an open, empty store of each kind."""
    async with opened(redis_url) as found:
        yield found


@pytest.mark.asyncio
async def test_one_holds_it_and_tells_how_far_it_is(store: Store) -> None:
    """What another one tells meanwhile is not recorded."""
    assert await walks.latest(store) is None
    assert await walks.hold(store, "one", WALK)
    further = replace(WALK, cursor="sub_1", looked=100, healed=3)
    assert await walks.hold(store, "one", further)
    assert not await walks.hold(store, "other", WALK)
    assert not await walks.release(store, "other", WALK)
    assert await walks.latest(store) == further
    assert 0 < await store.redis.pttl(keys.reconcile("lease")) <= LEASE * 1000


@pytest.mark.asyncio
async def test_what_is_given_back_is_anybodys(store: Store) -> None:
    """With what was told last; taking it alone leaves that as it is."""
    done = replace(WALK, ended_at=START + 60)
    assert await walks.hold(store, "one", WALK)
    assert await walks.release(store, "one", done)
    assert await walks.hold(store, "other")
    assert await walks.latest(store) == done
