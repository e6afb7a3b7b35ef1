"""What another policy would change, and changes: for every customer held, once, and nothing else."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, suppress
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from entitlements.errors import StoreBusy
from entitlements.ingest import Ingest
from entitlements.model import Change, CustomerRecord, Subject
from entitlements.policy import BUILT_IN, Policy
from entitlements.policy_file import parse
from entitlements.preview import COLUMNS, Step, Tally, apply, preview, row
from entitlements.redecide import Difference, Kind, Whole
from entitlements.resolve import entitlement, features
from entitlements.store import keys
from entitlements.store.seen import Seen
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, subscription
from tests.support.customers import decided, mixed, settle, wholes
from tests.support.histories import START
from tests.support.servers import client
from tests.support.stores import opened

NOW = START + 20_000
"""In the middle of the lives: some of their events are still to come by this clock."""

STATED = parse("""
    features.lite = ["lite", { feature = "seats", quantity = 3 }]
    status.past_due = "revoke"
    pause_collection.void = { access = "review", from = "period_end", while_pending = "revoke" }
    pause_collection.keep_as_draft = { access = "revoke", grace = "1d" }
    [[scope]]
    product = "lite"
    status.past_due = "grant"
    pause_collection.void = "revoke"
""")
POLICIES = (BUILT_IN, STATED)


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """Give an open store, in which the built-in policy is in force."""
    async with opened(store_url) as found:
        await found.policy(BUILT_IN)
        yield found


def dump(url: str) -> dict[bytes, bytes]:
    """Return all that a store holds, byte for byte."""
    with client(url) as plain:
        return {key: plain.dump(key) or b"" for key in plain.scan_iter()}


async def all_of(steps: AsyncIterator[Step]) -> tuple[Tally, list[Difference]]:
    """Return the sum of a walk and all that it found."""
    tally, found, share = Tally(), list[Difference](), 0.0
    async for step in steps:
        assert share <= step.share <= 1
        share = 0.0 if step.share == 1 else step.share
        tally.add(step)
        found += step.found
    return tally, found


# -- What it would change: an oracle that asks at every instant


def oracle(whole: Whole, policy: Policy) -> Iterator[tuple[str, Kind, int | None, int | None]]:
    """Yield the differences of one customer, the plain way."""
    record = whole.record
    other = CustomerRecord(99, policy.digest, decided(dict(whole.subscriptions), policy))
    at = max([NOW, *(d.as_of for d in record.decisions.values())])
    for feature in {*features(record), *features(other)}:
        (was, flip_was), (becomes, flip_becomes) = (life(r, feature, at) for r in (record, other))
        if was != becomes:
            yield feature, "gains" if becomes else "loses", flip_was, flip_becomes
        elif flip_was != flip_becomes:
            yield feature, "flips", flip_was, flip_becomes


def life(record: CustomerRecord, feature: str, at: int) -> tuple[bool, int | None]:
    """Return whether a feature is granted, and when that is first another way."""
    starts = {s.start for d in record.decisions.values() for s in d.features.get(feature, ())}
    now = entitlement(record, feature, at).granted
    flips = (t for t in sorted(starts) if t > at and entitlement(record, feature, t).granted != now)
    return now, next(flips, None)


@pytest.mark.asyncio
async def test_every_difference_is_found_and_nothing_is_written(
    store: Store, store_url: str
) -> None:
    """Who gains, loses or changes later, exactly; and the store is byte for byte what it was."""
    subjects = settle(store_url, BUILT_IN, 300)
    before = dump(store_url)

    tally, found = await all_of(preview(store, STATED, NOW))

    assert dump(store_url) == before
    expected = {
        (whole.subject, *difference)
        for whole in (await wholes(store)).values()
        for difference in oracle(whole, STATED)
    }
    assert len(found) == len(expected)
    assert {
        (Subject(d.customer, d.account), d.feature, d.kind, d.flip_was, d.flip_becomes)
        for d in found
    } == expected
    assert tally.customers == len(subjects)
    assert tally.answers == Counter(kind for _, _, kind, _, _ in expected)
    for kind in tally.concerned:
        who = {subject for subject, _, of_kind, _, _ in expected if of_kind == kind}
        assert tally.concerned[kind] == len(who) > 0
    for name, counts in tally.features.items():
        named = Counter(kind for _, feature, kind, _, _ in expected if feature == name)
        assert counts == {"gains": 0, "loses": 0, "flips": 0} | named
    assert tally.loss == tally.concerned["loses"] / len(subjects)


@pytest.mark.asyncio
async def test_the_policy_in_force_would_change_nothing(store: Store, store_url: str) -> None:
    """Everybody is looked at all the same."""
    settle(store_url, BUILT_IN, 20)

    tally, found = await all_of(preview(store, BUILT_IN, NOW))

    assert (tally.customers, found) == (20, [])


@pytest.mark.asyncio
async def test_an_empty_store_has_nobody_to_lose(store: Store) -> None:
    """The share of nobody is nothing."""
    tally, _ = await all_of(preview(store, STATED, NOW))

    assert (tally.customers, tally.loss) == (0, 0.0)


# -- The change itself


def feed(url: str) -> list[Change]:
    """Return the entries of the change feed, of all partitions."""
    with client(url) as plain:
        streams: list[Any] = [
            plain.xrange(keys.shared(p, "changes")) for p in range(keys.PARTITIONS)
        ]
    return [msgspec.json.decode(e[b"change"], type=Change) for s in streams for _, e in s]


def told(before: Whole, after: Whole) -> Iterator[Change]:
    """Yield the entries that a customer's answers call for, at the instant of the change."""
    at = max([NOW, *(d.as_of for d in before.record.decisions.values())])
    for name in {*features(before.record), *features(after.record)}:
        was, becomes = (entitlement(w.record, name, at) for w in (before, after))
        said = becomes.granted, becomes.reason, becomes.quantity
        if (was.granted, was.reason, was.quantity) != said:
            subject, version = after.subject, after.record.version
            yield Change(subject.customer, name, *said, version, at, subject.account)


@pytest.mark.asyncio
async def test_everybody_is_decided_by_the_policy_that_is_applied(
    store: Store, store_url: str
) -> None:
    """The feed carries exactly the answers that changed, as no event's doing; the second time nothing is left to do."""
    settle(store_url, BUILT_IN, 60)
    before = await wholes(store)
    _, foreseen = await all_of(preview(store, STATED, NOW))

    tally, found = await all_of(apply(store, STATED, NOW, lag=0))

    after = await wholes(store)
    assert await store.policy_in_force() == STATED
    assert {w.record.policy for w in after.values()} == {STATED.digest}
    assert not [w for w in after.values() if mixed(w, POLICIES)]
    assert (tally.customers, after.keys()) == (60, before.keys())
    assert sorted(map(row, found)) == sorted(map(row, foreseen))
    assert set(feed(store_url)) == {c for s in before for c in told(before[s], after[s])}
    held = dump(store_url)
    assert await all_of(apply(store, STATED, NOW, lag=0)) == (Tally(), [])
    assert dump(store_url) == held


@pytest.mark.asyncio
async def test_back_to_the_first_policy_everything_is_as_it_was(
    store: Store, store_url: str
) -> None:
    """Every decision and every fact; only versions have moved."""
    settle(store_url, BUILT_IN, 30)
    before = await wholes(store)

    for policy in (STATED, BUILT_IN):
        await all_of(apply(store, policy, NOW, lag=0))

    for subject, whole in (await wholes(store)).items():
        assert whole.record.version == before[subject].record.version + 2
        assert whole.record.decisions == before[subject].record.decisions
        assert whole.subscriptions == before[subject].subscriptions


@pytest.mark.asyncio
async def test_stopped_in_the_middle_it_goes_on_where_it_was(store: Store, store_url: str) -> None:
    """Nobody is half decided, and who is decided already is passed over."""
    settle(store_url, BUILT_IN, 600)
    async with aclosing(apply(store, STATED, NOW, lag=0)) as steps:
        first = await anext(aiter(steps))
    done = await by_policy(store)

    rest, _ = await all_of(apply(store, STATED, NOW, lag=0))

    assert 0 < first.customers < 600
    assert done == {STATED.digest: first.customers, BUILT_IN.digest: 600 - first.customers}
    assert rest.customers == 600 - first.customers
    assert await by_policy(store) == {STATED.digest: 600}


@pytest.mark.asyncio
async def test_killed_in_the_middle_of_a_batch_it_goes_on(store: Store, store_url: str) -> None:
    """Wherever it was: each customer is written whole or not at all."""
    settle(store_url, BUILT_IN, 40)
    applying = asyncio.create_task(all_of(apply(store, STATED, NOW, lag=0)))
    while (await by_policy(store))[STATED.digest] < 5:
        assert not applying.done()
    applying.cancel()
    with suppress(asyncio.CancelledError):
        await applying

    assert BUILT_IN.digest in await by_policy(store)
    assert not [w for w in (await wholes(store)).values() if mixed(w, POLICIES)]
    await all_of(apply(store, STATED, NOW, lag=0))
    assert await by_policy(store) == {STATED.digest: 40}


async def by_policy(store: Store) -> Counter[str]:
    """Return how many customers are decided by which policy."""
    return Counter(whole.record.policy for whole in (await wholes(store)).values())


@pytest.mark.asyncio
async def test_who_comes_by_the_old_policy_meanwhile_is_decided_in_another_round(
    store: Store, store_url: str
) -> None:
    """A process that has not heard of the policy yet takes in a customer whom the first round has passed."""
    settle(store_url, BUILT_IN, 3)
    behind, tally = Ingest(store, BUILT_IN), Tally()

    async for step in apply(store, STATED, NOW, lag=0):
        if not tally.customers:
            await behind.deliver(encoded(event(subscription(customer="cus_late"))), NOW)
            assert (await store.customer(Subject("cus_late"))).policy == BUILT_IN.digest
        tally.add(step)

    assert tally.customers == 4
    assert await by_policy(store) == {STATED.digest: 4}


@pytest.mark.asyncio
async def test_it_gives_way_to_another_policy(store: Store, store_url: str) -> None:
    """Two that are applied at once would decide everybody to and fro: the later one goes on alone."""
    settle(store_url, BUILT_IN, 3)
    async with aclosing(apply(store, STATED, NOW, lag=0)) as steps:
        await anext(aiter(steps))
        await store.enforce(BUILT_IN)
        with pytest.raises(
            StoreBusy, match=f"{BUILT_IN.digest} was put in force while {STATED.digest}"
        ):
            await anext(aiter(steps))


@pytest.mark.asyncio
async def test_its_rate_is_bounded(store: Store, store_url: str) -> None:
    """So that deliveries and queries hardly notice."""
    settle(store_url, BUILT_IN, 10)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await all_of(apply(store, STATED, NOW, rate=50, lag=0))

    assert loop.time() - began > 10 / 50


# -- Rows and places


def test_a_difference_is_a_row_of_a_table() -> None:
    """Access and why, before and after, and the next flips; empty where there is none."""
    was = entitlement(CustomerRecord(1, "old", overrides={}), "pro", 5)
    found = Difference("cus_1", None, "pro", "flips", was, was, None, 7)

    assert dict(zip(COLUMNS, row(found), strict=True)) == {
        "account": "",
        "customer": "cus_1",
        "feature": "pro",
        "kind": "flips",
        "granted": False,
        "reason": "unknown_feature",
        "rule": None,
        "next_flip": None,
        "would_be_granted": False,
        "would_be_reason": "unknown_feature",
        "would_be_rule": None,
        "would_flip": 7,
    }
    assert row(msgspec.structs.replace(found, account="acct_1"))[0] == "acct_1"


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20).map(lambda n: n << 20)))
def test_what_was_seen_is_known(numbers: list[int]) -> None:
    """As by a set, but for the one number that stands for another; also where many fall on one place."""
    seen, known = Seen(), set[int]()
    for number in numbers:
        assert seen.add(number) == ((number or 1) not in known)
        known.add(number or 1)


def test_there_is_room_for_as_many_as_come() -> None:
    """It grows before it is full, and forgets nobody."""
    seen = Seen()
    numbers = [n * 7_919 for n in range(1, 5_000)]

    assert all(seen.add(n) for n in numbers)
    assert not any(seen.add(n) for n in numbers)
