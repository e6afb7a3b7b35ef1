"""What is rehearsed is what happens then, and rehearsing it leaves no trace."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements import overrides
from entitlements.consequences import consequences
from entitlements.errors import BadRequest
from entitlements.ingest import TOO_OLD, WRONG_MODE, Ingest, Receipt
from entitlements.model import Subject
from entitlements.policy import BUILT_IN, DAY, Policy
from entitlements.policy_file import parse
from entitlements.redecide import Difference, Whole, latest
from entitlements.rehearse import Rehearsal
from entitlements.store.audit import Deed
from entitlements.store.store import Store
from entitlements.words import NOTHING_SAID
from tests.simulation.life import bodies_of
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.customers import opened
from tests.support.histories import START
from tests.support.servers import client

NOW = START + 40 * DAY
PLAIN = subscription()
PAUSED = PLAIN | pausing("void")
OTHER = encoded(event({"id": "in_1"}, "invoice.paid", id="evt_other"))
ODD = encoded(event(PLAIN | {"items": None}, id="evt_odd"))
NAMELESS = b'{"object":"event","data":[1]}'
LIVE = encoded(event(PLAIN, id="evt_live", livemode=True))
STRICT = parse('pause_collection.void = "revoke"\nstatus.past_due = "revoke"')
PEOPLE = [("cus_1", "sub_a"), ("cus_1", "sub_b"), ("cus_2", "sub_c"), ("cus_3", "sub_d")]


class Case(NamedTuple):
    """What is held already, and what comes then; `changed` is a policy that is put in force in between."""

    prior: list[bytes]
    bodies: list[bytes]
    policy: Policy
    changed: Policy | None
    batch: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw lives of a few customers, any part of which is held, and any part of which comes, in any order and twice."""

    def choose(options: int) -> int:
        return draw(st.integers(0, options - 1))

    bodies = bodies_of(PEOPLE[: choose(len(PEOPLE)) + 1], choose)
    arrivals = draw(st.permutations([*bodies, OTHER, ODD, NAMELESS, LIVE]))
    held = choose(len(arrivals))
    again = draw(st.lists(st.sampled_from(arrivals), max_size=5))
    return Case(
        prior=list(arrivals[:held]),
        bodies=draw(st.permutations([*arrivals[choose(held + 1) :], *again])),
        policy=replace(BUILT_IN, log_retention=draw(st.sampled_from([DAY, 35 * DAY, 10**9]))),
        changed=draw(st.none() | st.just(replace(STRICT, log_retention=10**9))),
        batch=draw(st.sampled_from([1, 3, 500])),
    )


class Found(NamedTuple):
    """What became of events: of each, and of everybody."""

    receipts: list[Receipt]
    differences: dict[Subject, list[Difference]]
    ambiguous: set[str]


async def rehearsed(store: Store, bodies: Sequence[bytes], batch: int = 500) -> Found:
    """Return what is foreseen; all but one customer at a time lie on the disk."""
    policy = await store.policy_in_force()
    with Rehearsal(store, policy, NOW, livemode=None, most=1) as rehearsal:
        receipts = [
            foreseen.receipt
            for n in range(0, len(bodies), batch)
            for foreseen in await rehearsal.take(bodies[n : n + batch])
        ]
        found = [customer async for customer in rehearsal.consequences()]
    assert len({customer.subject for customer in found}) == len(found)
    return Found(
        receipts,
        {customer.subject: customer.differences for customer in found if customer.differences},
        {name for customer in found for name in customer.ambiguous},
    )


async def done(store: Store, bodies: Sequence[bytes]) -> Found:
    """Return what then happens."""
    policy = await store.policy_in_force()
    subjects = [Subject(customer) for customer in dict(PEOPLE)]
    before = await store.wholes(subjects)
    ingest = Ingest(store, policy)
    receipts = [await ingest.deliver(body, NOW) for body in bodies]
    pairs = list(zip(before, await store.wholes(subjects), strict=True))
    moved = [(was, now) for was, now in pairs if was.record.version != now.record.version]
    differences = {
        was.subject: list(consequences(was, now, policy, latest(now, NOW), NOTHING_SAID))
        for was, now in moved
    }
    doubts = {name for was, now in moved for name in doubtful(was, now)}
    return Found(receipts, {who: told for who, told in differences.items() if told}, doubts)


def doubtful(was: Whole, now: Whole) -> list[str]:
    """Return the subscriptions of a customer that moved and are in doubt."""
    return [
        name
        for name, cold in now.subscriptions.items()
        if cold != was.subscriptions.get(name) and cold.state and cold.state.ambiguous
    ]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(case=cases())
def test_what_is_foreseen_is_what_happens(store_url: str, case: Case) -> None:
    """Each outcome and version, who gains and who loses, and what stays in doubt: over anything that may be held."""

    async def tried() -> None:
        with client(store_url) as plain:
            plain.flushall()
        async with opened(store_url, case.policy) as store:
            ingest = Ingest(store, case.policy)
            for body in case.prior:
                await ingest.deliver(body, NOW - 3 * DAY)
            if case.changed:
                await store.enforce(case.changed)
            with client(store_url) as plain:
                held = {key: plain.dump(key) for key in plain.scan_iter()}
                foreseen = await rehearsed(store, case.bodies, case.batch)
                assert held == {key: plain.dump(key) for key in plain.scan_iter()}
            assert foreseen == await done(store, case.bodies)

    asyncio.run(tried())


@pytest.mark.asyncio
async def test_events_of_one_customer_build_on_each_other(store_url: str) -> None:
    """Together they change nothing now; the time between them is told. One by one, each would have."""
    unpaid = PLAIN | {"status": "unpaid"}
    lost = update(PLAIN, unpaid, id="evt_2", created=START + 1)
    back = update(unpaid, PLAIN, id="evt_3", created=START + 60)
    async with opened(store_url) as store:
        await Ingest(store, BUILT_IN).deliver(encoded(event(PLAIN)), NOW)
        found = await rehearsed(store, [encoded(back), encoded(lost), encoded(back)])

    assert [receipt.outcome for receipt in found.receipts] == ["unchanged", "stale", "duplicate"]
    (past,) = found.differences[Subject("cus_1")]
    assert (past.kind, past.since, past.flip_becomes) == ("past", START + 1, START + 60)


@pytest.mark.asyncio
async def test_what_could_not_be_taken_in_is_told_with_the_reason(store_url: str) -> None:
    """And counted once, however often it comes."""
    old = encoded(event(PLAIN, id="evt_old", created=START - 40 * DAY))
    async with opened(store_url, replace(BUILT_IN, log_retention=DAY)) as store:
        policy = await store.policy_in_force()
        ingest = Ingest(store, policy)
        await ingest.deliver(encoded(event(PLAIN)), START)
        await ingest.deliver(encoded(update(PLAIN, PAUSED)), START)
        await ingest.deliver(encoded(update(PAUSED, PLAIN, id="evt_3", created=NOW)), NOW)
        with Rehearsal(store, policy, NOW) as rehearsal:
            once = await rehearsal.take([ODD, NAMELESS, LIVE, OTHER, old])
            twice = await rehearsal.take([ODD, NAMELESS, LIVE, OTHER, old])
            assert [c async for c in rehearsal.consequences()] == []

    assert [one.receipt.outcome for one in once] == [
        *("quarantined", "quarantined", "quarantined"),
        *("ignored", "stale"),
    ]
    assert [one.why for one in once[2:]] == [WRONG_MODE, "", TOO_OLD]
    assert "items" in once[0].why
    assert [one.receipt.first for one in twice] == [one.receipt.outcome for one in once]


@pytest.mark.asyncio
async def test_the_first_event_pins_the_mode_of_an_empty_store(store_url: str) -> None:
    """As far as the rehearsal goes; the store pins nothing by it."""
    async with opened(store_url) as store:
        found = await rehearsed(store, [LIVE, encoded(event(PLAIN))])
        assert await store.livemode() is None

    assert [receipt.outcome for receipt in found.receipts] == ["applied", "quarantined"]


@pytest.mark.asyncio
async def test_what_is_not_json_is_refused(store_url: str) -> None:
    """As it is at the door."""
    async with opened(store_url) as store:
        with pytest.raises(BadRequest, match="not JSON"):
            await rehearsed(store, [b"{"])


@pytest.mark.asyncio
async def test_nobody_is_said_to_have_lost_what_a_person_had_granted(store_url: str) -> None:
    """Also where the override has been taken back: then access is lost since that, and not since the event."""
    unpaid = update(PLAIN, PLAIN | {"status": "unpaid"}, id="evt_lost", created=START + DAY)
    paid = update(PLAIN | {"status": "unpaid"}, PLAIN, id="evt_paid", created=START + 2 * DAY)
    promise, over = START + DAY, START + 3 * DAY
    pro = overrides.Wish(Subject("cus_1"), "pro", "grant")
    async with opened(store_url) as store:
        await Ingest(store, BUILT_IN).deliver(encoded(event(PLAIN)), NOW)
        await overrides.write(store, pro, Deed("ann", "a promise", promise))
        await overrides.write(store, replace(pro, access=None), Deed("ann", "kept", over))

        assert (await rehearsed(store, [encoded(unpaid), encoded(paid)])).differences == {}
        ((found,),) = (await rehearsed(store, [encoded(unpaid)])).differences.values()
        assert (found.kind, found.since) == ("loses", over)


@pytest.mark.asyncio
async def test_nothing_is_held_in_memory_of_those_whom_nothing_changes(store_url: str) -> None:
    """A rehearsal of what is held already concerns nobody."""
    bodies = [encoded(event(PLAIN)), encoded(update(PLAIN, PAUSED))]
    async with opened(store_url) as store:
        ingest = Ingest(store, BUILT_IN)
        for body in bodies:
            await ingest.deliver(body, NOW)
        with Rehearsal(store, BUILT_IN, NOW) as rehearsal:
            found = await rehearsal.take(bodies)
            assert [c async for c in rehearsal.consequences()] == []

    assert [one.receipt.outcome for one in found] == ["duplicate"] * 2
    assert [one.receipt.version for one in found] == [2, 2]
