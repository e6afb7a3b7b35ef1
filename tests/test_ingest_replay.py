"""What is replayed goes in as a delivery does, and is marked."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.cursor import START as BEGINNING
from entitlements.errors import StoreUnavailable
from entitlements.ingest import Ingest
from entitlements.model import Change, Subject
from entitlements.policy import BUILT_IN
from entitlements.store import audit, quarantine
from entitlements.store.audit import Deed
from entitlements.store.log import Log
from entitlements.store.store import Store
from entitlements.store.streams import Streams
from tests.simulation.life import bodies_of
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.customers import NOW, opened
from tests.support.histories import START
from tests.support.quarantined import leave
from tests.support.servers import client

DEED = Deed("ann", "the endpoint was down", NOW)
PLAIN = subscription()
PAUSED = PLAIN | pausing("void", START + 50)
LIFE = [encoded(event(PLAIN)), encoded(update(PLAIN, PAUSED))]
ODD = encoded(event(PLAIN | {"items": None}, id="evt_odd"))


def names(run: str) -> list[str]:
    """Return names for the deliveries of a run."""
    return [f"{run}.{n}" for n in range(500)]


async def told(store: Store) -> list[Change]:
    """Return all that the feed was told."""
    page = await Streams(store).page_of(range(store.partitions), (BEGINNING,) * store.partitions)
    return [entry.change for entry, _ in page.entries if entry.change]


@pytest.mark.asyncio
async def test_what_a_replay_changes_is_marked_in_the_feed(redis_url: str) -> None:
    """And what Stripe delivers, or the clock changes, is not."""
    async with opened(redis_url) as store:
        ingest = Ingest(store, BUILT_IN)
        await ingest.deliver(LIFE[0], START + 1)
        await ingest.replay(LIFE, START + 2, DEED, names("rp_1"))
        gone = PAUSED | {"status": "unpaid"}
        late = encoded(update(PAUSED, gone, id="evt_3", created=START + 90))
        await ingest.replay([late], START + 100, DEED, names("rp_2"))

        assert [(c.event, c.replayed) for c in await told(store)] == [
            ("evt_1", False),
            ("evt_2", True),
            (None, False),
            ("evt_3", True),
        ]
        entries = [e async for batch in Log(store).read() for e in batch.entries]
        assert [e.delivery.split(".")[0] for e in entries[1:]] == ["rp_1", "rp_2"]


@pytest.mark.asyncio
async def test_what_waited_in_the_quarantine_leaves_it_with_a_record(store_url: str) -> None:
    """Once it is understood; what still is not stays, and counts as known."""
    async with opened(store_url) as store:
        ingest = Ingest(store, BUILT_IN)
        await leave(store, event(PLAIN))
        found = await ingest.replay([LIFE[0], ODD, ODD], NOW, DEED, names("rp_1"))

        assert [r.outcome for r in found] == ["applied", "quarantined", "duplicate"]
        assert await quarantine.count(store) == 1
        (record,) = await audit.latest(store, 5)
        assert (record.by, record.action, record.about) == ("ann", "quarantine.replayed", "evt_1")


@pytest.mark.asyncio
async def test_the_first_event_pins_the_mode(store_url: str) -> None:
    """Whichever customer's is stored first."""
    live = encoded(event(subscription(customer="cus_2", id="sub_2"), id="evt_9", livemode=True))
    async with opened(store_url) as store:
        found = await Ingest(store, BUILT_IN).replay([ODD, LIFE[0], live], NOW, DEED, names("rp_1"))
        assert [r.outcome for r in found] == ["quarantined", "applied", "quarantined"]


@pytest.mark.asyncio
async def test_a_store_that_fails_is_told_of(store_url: str) -> None:
    """As one error; tried again under the same names it has the same outcome."""
    async with opened(store_url) as store:
        ingest = Ingest(store, BUILT_IN)
        with client(store_url) as plain:
            plain.config_set("maxmemory", 1)
            try:
                with pytest.raises(StoreUnavailable):
                    await ingest.replay(LIFE, NOW, DEED, names("rp_1"))
            finally:
                plain.config_set("maxmemory", 0)
        for _ in range(2):
            found = await ingest.replay(LIFE, NOW, DEED, names("rp_1"))
            assert [r.outcome for r in found] == ["applied", "applied"]
        again = await ingest.replay(LIFE, NOW, DEED, names("rp_2"))
        assert [r.outcome for r in again] == ["duplicate", "duplicate"]


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_replay_never_regresses_what_is_newer(store_url: str, data: st.DataObject) -> None:
    """Any part of what is held, in any order and as often as one likes, changes no record at all."""

    def choose(options: int) -> int:
        return data.draw(st.integers(0, options - 1))

    people = ("cus_1", "sub_a"), ("cus_1", "sub_b"), ("cus_2", "sub_c")
    bodies = bodies_of(people, choose)
    again = data.draw(st.lists(st.sampled_from(bodies), max_size=20))

    async def tried() -> None:
        with client(store_url) as plain:
            plain.flushall()
        policy = replace(BUILT_IN, log_retention=10**9)
        async with opened(store_url, policy) as store:
            ingest = Ingest(store, policy)
            await ingest.replay(data.draw(st.permutations(bodies)), NOW, DEED, names("rp_1"))
            subjects = [Subject("cus_1"), Subject("cus_2")]
            held = await store.wholes(subjects)
            found = await ingest.replay(again, NOW + 5, DEED, names("rp_2"))
            assert {receipt.outcome for receipt in found} <= {"duplicate"}
            assert await store.wholes(subjects) == held

    asyncio.run(tried())
