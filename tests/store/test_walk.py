"""A walk past all customers, in steps that lie as far apart as the walker likes."""

from itertools import cycle

import pytest

from entitlements.model import Subject
from entitlements.store import keys
from entitlements.store.walk import CURSORS, walk
from tests.support.servers import client
from tests.support.stores import opened


def hold(url: str, subjects: set[Subject]) -> None:
    """Put empty records of customers into a store."""
    with client(url) as plain, plain.pipeline(transaction=False) as pipe:
        for subject in subjects:
            p = keys.partition(str(subject), keys.PARTITIONS)
            pipe.set(keys.customer(p, subject), b'{"version":1}')
            pipe.set(keys.subscription(p, subject, f"sub_{subject.customer}"), b"{}")
        pipe.execute()


def drop(url: str, subjects: set[Subject]) -> None:
    """Take customers out of a store."""
    with client(url) as plain:
        names = [keys.customer(keys.partition(str(s), keys.PARTITIONS), s) for s in subjects]
        plain.delete(*names)


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [1, 7, 500])
async def test_whoever_is_there_all_the_time_is_come_past(redis_url: str, count: int) -> None:
    """Although the store grows and shrinks between the steps, and another connection takes each of them."""
    staying = {Subject(f"cus_{n}", account) for n in range(150) for account in (None, "acct_1")}
    hold(redis_url, staying)
    seen, cursor, step = set[Subject](), 0, 0
    async with opened(redis_url) as one, opened(redis_url) as other:
        for store in cycle((one, other)):
            found, following = await walk(store, cursor, count)
            seen |= set(found)
            if following is None:
                break
            assert 0 < following < CURSORS
            if step < 40:
                passing = {Subject(f"cus_{step % 2}_{n}") for n in range(300)}
                (drop if step % 4 >= 2 else hold)(redis_url, passing)
            cursor, step = following, step + 1
    assert seen >= staying
    assert {subject.account for subject in seen} == {None, "acct_1"}


@pytest.mark.asyncio
async def test_any_cursor_is_taken(redis_url: str) -> None:
    """One that somebody made up leads somewhere, and does no harm."""
    hold(redis_url, {Subject("cus_1")})
    async with opened(redis_url) as store:
        for cursor in (1, 12_345, CURSORS - 1):
            found, _ = await walk(store, cursor, 10)
            assert set(found) <= {Subject("cus_1")}
