"""The lists of what stands out: one order over all partitions, read in pages while entries come and go."""

from collections.abc import AsyncGenerator
from random import Random

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from entitlements.errors import BadRequest
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.store import keys, places, standing
from entitlements.store.places import Place
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, subscription
from tests.support.histories import START
from tests.support.stores import opened


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncGenerator[Store]:
    """Give an open, empty store of each kind."""
    async with opened(redis_url) as found:
        yield found


async def put(store: Store, *places: Place) -> None:
    """Put subscriptions on the list, as commits do."""
    pipeline = store.redis.pipeline(transaction=False)
    for since, member in places:
        p = store.partition(member.rpartition(" ")[0])
        pipeline.zadd(keys.shared(p, "paused"), {member: since})
    await pipeline.execute()


async def take(store: Store, place: Place) -> None:
    """Take one off the list."""
    await store.redis.zrem(keys.shared(store.partition(str(place.subject)), "paused"), place.member)


async def listed(store: Store, after: Place | None = None, batch: int = 3) -> list[Place]:
    """Return all of the list."""
    return [place async for some in standing.walk(store, "paused", after, batch) for place in some]


def many(count: int, seconds: int, seed: int = 1) -> list[Place]:
    """Return places in their order, many of which share a second, with names that begin alike and in any alphabet."""
    rng = Random(seed)  # noqa: S311  a test's own
    names = [rng.choice(["cus", "cüs", "acct_1/cus", "Cus"]) for _ in range(count)]
    found = {
        Place(START + rng.randrange(seconds), f"{name}_{rng.randrange(count)} sub_{n}")
        for n, name in enumerate(names)
    }
    return sorted(found, reverse=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [1, 7, 10_000])
async def test_all_partitions_are_one_list(store: Store, seconds: int) -> None:
    """The newest first, by name within a second; from behind any place on, whether or not it is on the list."""
    whole = many(400, seconds)
    await put(store, *whole)

    assert await places.count(store, "paused") == len(whole)
    assert await listed(store) == whole
    assert await listed(store, batch=500) == whole
    for n in (0, 1, 199, len(whole) - 1):
        assert await listed(store, whole[n]) == whole[n + 1 :]
    gone = whole[200]
    await take(store, gone)
    assert await listed(store, gone) == whole[201:]
    assert await listed(store, Place(START - 1, "")) == []


@pytest.mark.asyncio
async def test_an_empty_list_has_nothing(store: Store) -> None:
    """And is read to its end all the same."""
    assert (await places.count(store, "paused"), await listed(store)) == (0, [])


@pytest.mark.asyncio
async def test_what_is_there_all_the_time_comes_once_whatever_comes_and_goes(store: Store) -> None:
    """Entries leave before and behind the reader, and others come."""
    rng, stay, go = Random(3), many(300, 5), many(300, 5, seed=2)  # noqa: S311  a test's own
    go = [Place(since, f"{member}_of_others") for since, member in go]
    await put(store, *stay, *go)
    seen = list[Place]()
    async for some in standing.walk(store, "paused", None, 2):
        seen += some
        for _ in range(10):
            await take(store, rng.choice(go))
            await put(store, rng.choice(go))

    assert [place for place in seen if place in set(stay)] == stay


@pytest.mark.asyncio
async def test_what_is_held_of_many_comes_in_their_order(store: Store) -> None:
    """Of accounts too; what is not held is empty."""
    ingest = Ingest(store, BUILT_IN)
    await ingest.deliver(encoded(event(subscription())), START + 1)
    await ingest.deliver(encoded(event(subscription(), id="evt_2", account="acct_1")), START + 1)
    pairs = [
        (Subject("cus_1", "acct_1"), "sub_1"),
        (Subject("cus_9"), "sub_9"),
        (Subject("cus_1"), "sub_1"),
    ]
    found = await standing.held(store, pairs)
    assert [[fact.event for fact in one.subscription.facts] for one in found] == [
        ["evt_2"],
        [],
        ["evt_1"],
    ]
    assert [one.customer.version for one in found] == [1, 0, 1]


names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=255)


accounts = st.none() | names.filter(lambda name: "/" not in name)


@given(st.builds(Subject, names, accounts), names, st.integers(0, 10**11))
def test_an_id_says_all_of_a_place(subject: Subject, name: str, since: int) -> None:
    """Whatever characters names have that can be names: where a list goes on, nothing has to be looked up."""
    place = Place(since, f"{subject} {name}")

    assert Place.named(place.id) == place
    assert place.id.isascii()
    assert (place.subject.customer, place.subject.account) == (subject.customer, subject.account)


NO_PLACES = (
    *("", "sub_1", "cus_1/sub_1", "cus_1/sub_1@", "cus_1/sub_1@soon", "cus_1/sub_1@-1", "/sub_1@1"),
    *("sub_1@1", "a/b/c/d@1", "cus%201/sub_1@1", "cus_1/sub_1@999999999999"),
)


@pytest.mark.parametrize("said", NO_PLACES)
def test_what_is_no_place_is_refused(said: str) -> None:
    """With an example of one."""
    with pytest.raises(BadRequest, match="cus_1/sub_1@1800000000"):
        Place.named(said)
