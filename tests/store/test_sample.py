"""Some subscriptions that are held, by chance: on every kind of server, of any account."""

import pytest

from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.store.sample import sample
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, subscription
from tests.support.histories import START
from tests.support.stores import opened


async def fill(store: Store, count: int) -> None:
    """Let a store hold some customers, every other of a connected account."""
    await store.policy(BUILT_IN)
    ingest = Ingest(store, BUILT_IN)
    for n in range(count):
        account = {"account": "acct_1"} if n % 2 else {}
        body = subscription(id=f"sub_{n}", customer=f"cus_{n}")
        await ingest.deliver(encoded(event(body, id=f"evt_{n}", **account)), START)


@pytest.mark.asyncio
async def test_each_is_of_another_customer(redis_url: str) -> None:
    """As many as are wanted, and with enough tries every one of a few."""
    async with opened(redis_url) as store:
        assert await sample(store, 3) == []
        await fill(store, 6)
        some, every = await sample(store, 3), await sample(store, 10)

    assert len(some) == len({subject for subject, _ in some}) == 3
    assert sorted(every, key=lambda pair: pair[1]) == [
        (Subject(f"cus_{n}", "acct_1" if n % 2 else None), f"sub_{n}") for n in range(6)
    ]
