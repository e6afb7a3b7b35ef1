"""Hot records in memory: never older than what was heard of, and with their age where nothing can be heard."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from random import Random

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from entitlements.cache import LET_BE, Cache
from entitlements.errors import StoreUnavailable
from entitlements.ingest import Ingest
from entitlements.model import CustomerRecord, Subject
from entitlements.policy import BUILT_IN
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.histories import START
from tests.support.servers import frozen
from tests.support.service import Clock
from tests.support.stores import opened

ONE, OTHER = Subject("cus_1"), Subject("cus_2")
PLAIN = subscription()


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """Give an open store that holds one customer."""
    async with opened(store_url) as found:
        await Ingest(found, await found.policy(BUILT_IN)).deliver(encoded(event(PLAIN)), START)
        yield found


async def pause(store: Store) -> None:
    """Write the customer anew, without a word to any cache."""
    body = encoded(update(PLAIN, subscription(**pausing())))
    await Ingest(store, BUILT_IN).deliver(body, START + 5)


async def version(cache: Cache, subject: Subject = ONE, *, newest: bool = False) -> int:
    """Return the version of a customer's record, as the cache has it."""
    return (await cache.customers([subject], newest=newest))[subject].version


@pytest.mark.asyncio
async def test_what_is_heard_of_needs_no_store(store: Store) -> None:
    """A record that was read once is there, also one of nobody; a word of a write lets it go."""
    cache = Cache(store)
    cache.hears(alive=True)
    assert (await version(cache), await version(cache, OTHER)) == (1, 0)
    await pause(store)

    assert await version(cache) == 1
    cache.written(ONE, 1)
    assert await version(cache) == 1
    cache.written(ONE, 2)
    assert await version(cache) == 2


@pytest.mark.asyncio
async def test_the_newest_is_read(store: Store) -> None:
    """Whatever is held; and is held from then on."""
    cache = Cache(store)
    cache.hears(alive=True)
    await version(cache)
    await pause(store)

    assert await version(cache, newest=True) == 2
    assert await version(cache) == 2


@pytest.mark.asyncio
async def test_without_hearing_nothing_is_trusted(store: Store) -> None:
    """Not before, not after, and nothing from before once it hears again."""
    cache = Cache(store)
    await version(cache)
    cache.hears(alive=True)
    await pause(store)
    assert await version(cache) == 2
    cache.hears(alive=False)
    await store.redis.flushall()
    assert await version(cache) == 0


@pytest.mark.asyncio
async def test_what_was_read_before_a_gap_is_read_again(store: Store) -> None:
    """A write may have fallen into it."""
    cache = Cache(store)
    cache.hears(alive=True)
    await version(cache)
    cache.hears(alive=False)
    await pause(store)
    cache.hears(alive=True)

    assert await version(cache) == 2


@pytest.mark.asyncio
async def test_its_room_is_bounded(store: Store) -> None:
    """The one that came first goes first."""
    cache = Cache(store, room=2)
    cache.hears(alive=True)
    for name in ("cus_1", "cus_2", "cus_3"):
        await version(cache, Subject(name))
    await pause(store)

    assert await version(cache) == 2


@pytest.mark.asyncio
async def test_while_the_store_is_out_of_reach_what_was_seen_has_its_age(
    own_store: EmbeddedStore,
) -> None:
    """From the last instant at which it was known to hold; who was never seen is not made up."""
    clock = Clock(100.0)
    async with opened(own_store.url) as store:
        cache = Cache(store, clock=clock)
        cache.hears(alive=True)
        await version(cache)
        clock.now = 110.0
        cache.hears(alive=False)
        clock.now = 112.0
        with frozen(own_store.pid):
            found = await cache.customers([ONE])
            assert (found[ONE].version, found[ONE].age) == (0, 2.0)
            with pytest.raises(StoreUnavailable):
                await cache.customers([ONE, OTHER])
            cache.hears(alive=True)
            assert (await cache.customers([ONE]))[ONE].age == 12.0
        clock.now += LET_BE
        assert (await cache.customers([ONE]))[ONE].age is None


@pytest.mark.asyncio
async def test_a_store_that_was_out_of_reach_is_let_be_for_a_moment(
    own_store: EmbeddedStore,
) -> None:
    """Callers do not wait for it one after the other; what is not held is asked for all the same."""
    clock = Clock(100.0)
    async with opened(own_store.url) as store:
        cache = Cache(store, clock=clock)
        await version(cache)
        with frozen(own_store.pid):
            await cache.customers([ONE])
        assert (await cache.customers([ONE]))[ONE].age == 0.0
        assert (await cache.customers([OTHER]))[OTHER].age is None
        clock.now += LET_BE
        assert (await cache.customers([ONE]))[ONE].age is None


class _Torn:
    """A store that holds a record which nobody can read."""

    async def customers(self, subjects: Sequence[Subject | str]) -> list[CustomerRecord]:
        """Fail where that one is asked for."""
        if str(OTHER) in map(str, subjects):
            raise ValueError("a record of a later version")
        return [CustomerRecord(1) for _ in subjects]


@pytest.mark.asyncio
async def test_a_record_that_cannot_be_read_is_no_trouble_for_who_asks_beside_it() -> None:
    """Who asks for that one hears of it; the others of the same moment have theirs."""
    cache = Cache(_Torn())
    cache.hears(alive=True)
    asked = [str(ONE), str(OTHER), "cus_3"]
    found = await asyncio.gather(*map(cache.bring, asked), return_exceptions=True)
    assert [type(one) for one in found] == [type(None), ValueError, type(None)]
    assert sorted(cache.true) == [str(ONE), "cus_3"]


class _Slow:
    """A store of versions alone, whose reads take turns with other work between asking and answering."""

    def __init__(self, rng: Random) -> None:
        self.versions = {str(ONE): 0, str(OTHER): 0}
        self._rng = rng

    async def customers(self, subjects: Sequence[Subject | str]) -> list[CustomerRecord]:
        """Answer after a while with what was there in the middle of it."""
        await pausing_a_little(self._rng)
        found = [CustomerRecord(self.versions[str(subject)]) for subject in subjects]
        await pausing_a_little(self._rng)
        return found


async def pausing_a_little(rng: Random) -> None:
    """Let other work go on, a few times."""
    for _ in range(rng.randrange(4)):
        await asyncio.sleep(0)


@given(st.integers(0, 2**32))
def test_no_read_is_older_than_what_was_heard_of_before_it(seed: int) -> None:
    """Whatever races: writes between a read and its keeping, gaps in hearing, and several readers at once."""
    rng = Random(seed)  # noqa: S311  a test's own
    slow = _Slow(rng)
    cache = Cache(slow, room=1)
    heard = dict.fromkeys((ONE, OTHER), 0)

    async def write() -> None:
        for _ in range(10):
            await pausing_a_little(rng)
            subject = rng.choice([ONE, OTHER])
            slow.versions[str(subject)] += 1
            if rng.randrange(5):
                cache.written(subject, slow.versions[str(subject)])
            else:  # the word of it is lost, which is noticed
                cache.hears(alive=False)
                cache.hears(alive=True)
            heard[subject] = slow.versions[str(subject)]

    async def read() -> None:
        for _ in range(10):
            await pausing_a_little(rng)
            before = dict(heard)
            for subject, record in (await cache.customers([ONE, OTHER])).items():
                assert record.version >= before[subject]

    async def bring() -> None:
        for _ in range(10):
            await pausing_a_little(rng)
            subject = rng.choice([ONE, OTHER])
            before = heard[subject]
            await cache.bring(str(subject))
            held = cache.true.get(str(subject))
            assert held is None or held.record.version >= before

    async def race() -> None:
        cache.hears(alive=True)
        await asyncio.gather(write(), read(), read(), bring(), bring())

    asyncio.run(race())
