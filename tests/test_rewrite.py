"""One customer decided anew: whole, at most once, and whatever else is written meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from random import Random
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from msgspec.structs import replace

from entitlements.answers import Answers
from entitlements.errors import StoreBusy
from entitlements.history import history
from entitlements.ingest import Ingest
from entitlements.model import CustomerRecord, Override, PastPolicy, Subject
from entitlements.policy import BUILT_IN, DAY, Policy
from entitlements.policy_file import parse
from entitlements.preview import apply
from entitlements.redecide import Whole
from entitlements.rewrite import ATTEMPTS, rewrite
from entitlements.store import keys
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.customers import decided, mixed, settle, wholes
from tests.support.histories import START
from tests.support.lives import events_of
from tests.support.servers import client
from tests.support.stores import opened

T = TypeVar("T")

NOW = START + 10
CUSTOMER = Subject("cus_1")
PLAIN = subscription()
PAUSED = subscription(**pausing("keep_as_draft"))
STRICT = parse('pause_collection.keep_as_draft = "revoke"')
KEYED = parse('metadata_key = "access"\npause_collection.keep_as_draft = "revoke"')


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """Give an open store that holds one customer, paused and granted by the built-in policy."""
    async with opened(store_url) as found:
        await found.policy(BUILT_IN)
        ingest = Ingest(found, BUILT_IN)
        await ingest.deliver(encoded(event(PLAIN)), NOW)
        await ingest.deliver(encoded(update(PLAIN, PAUSED)), NOW)
        yield found


async def whole_of(store: Store, subject: Subject = CUSTOMER) -> Whole:
    """Return all that is held of a customer."""
    (found,) = await store.wholes([subject])
    return found


def members(url: str, name: str) -> dict[bytes, float]:
    """Return a sorted set of the customer's partition."""
    with client(url) as plain:
        key = keys.shared(keys.partition(str(CUSTOMER), keys.PARTITIONS), name)
        found: Any = plain.zrange(key, 0, -1, withscores=True)
    return dict(found)


# -- One customer


@pytest.mark.asyncio
async def test_a_customer_is_written_decided_anew(store: Store) -> None:
    """What changed is returned; facts, overrides and reviews are as they were."""
    held = await whole_of(store)

    (found,) = await rewrite(store, held, STRICT, NOW)

    after = await whole_of(store)
    assert (found.feature, found.kind, found.becomes.reason) == (
        "pro",
        "loses",
        "paused_keep_as_draft",
    )
    assert (after.record.version, after.record.policy) == (held.record.version + 1, STRICT.digest)
    assert after.record.decisions == decided(dict(held.subscriptions), STRICT)
    assert after.subscriptions == held.subscriptions


@pytest.mark.asyncio
async def test_who_is_decided_by_it_already_is_left_alone(store: Store) -> None:
    """Nothing is written, and nothing has changed."""
    await rewrite(store, await whole_of(store), STRICT, NOW)
    held = await whole_of(store)

    assert await rewrite(store, held, STRICT, NOW) == []
    assert await whole_of(store) == held


@pytest.mark.asyncio
async def test_the_lists_follow(store: Store, store_url: str) -> None:
    """When the next answer changes, and who waits for a person, is known by the new policy."""
    later = parse('pause_collection.keep_as_draft = { access = "revoke", grace = "30d" }')
    waits = parse('pause_collection.keep_as_draft = { access = "review", while_pending = "grant" }')
    began = float(START + 1)

    assert members(store_url, "paused") == {b"cus_1 sub_1": began}
    assert (members(store_url, "due"), members(store_url, "review")) == ({}, {})
    await rewrite(store, await whole_of(store), later, NOW)
    assert members(store_url, "due") == {b"cus_1": began + 30 * DAY}
    await rewrite(store, await whole_of(store), waits, NOW)
    assert (members(store_url, "due"), members(store_url, "review")) == (
        {},
        {b"cus_1 sub_1": began},
    )


@pytest.mark.asyncio
async def test_a_customer_without_subscriptions_is_decided_too(
    store: Store, store_url: str
) -> None:
    """An override alone makes a customer; the record names the policy all the same."""
    alone, p = Subject("cus_2"), keys.partition("cus_2", keys.PARTITIONS)
    said = CustomerRecord(1, BUILT_IN.digest, overrides={"pro": Override("grant", "a friend")})
    before = Whole(alone, CustomerRecord(version=0), {})
    assert await store.rewrite(before, Whole(alone, said, {}), {}, [])

    assert await rewrite(store, await whole_of(store, alone), STRICT, NOW) == []
    assert (await whole_of(store, alone)).record == replace(
        said,
        version=2,
        policy=STRICT.digest,
        past_policies=(PastPolicy(NOW, BUILT_IN.digest),),
    )
    with client(store_url) as plain:
        assert not plain.exists(keys.shared(p, "due"))


@pytest.mark.asyncio
async def test_who_was_written_meanwhile_is_read_again(store: Store) -> None:
    """The event that came in between is part of what is decided."""
    held = await whole_of(store)
    late = update(PAUSED, PLAIN, id="evt_3", created=START + 2)
    await Ingest(store, BUILT_IN).deliver(encoded(late), NOW)

    assert await rewrite(store, held, STRICT, NOW) == []
    after = await whole_of(store)
    assert len(after.subscriptions["sub_1"].facts) == 3
    assert (after.record.policy, mixed(after, [STRICT])) == (STRICT.digest, False)


@pytest.mark.asyncio
async def test_who_is_always_overtaken_gives_up(store_url: str, store: Store) -> None:
    """With a sentence that says how to go on; the customer is as the others left it."""

    class Overtaken(Store):
        """A store in which somebody else always writes first."""

        attempts = 0

        async def rewrite(self, before: Whole, *_: object) -> bool:
            self.attempts += 1
            assert before.subject == CUSTOMER
            return False

    behind = await Overtaken.open(store_url, name="test")
    try:
        with pytest.raises(
            StoreBusy, match=r"Other writers won every attempt at cus_1\. Try again"
        ):
            await rewrite(behind, await whole_of(store), STRICT, NOW)
        assert behind.attempts == ATTEMPTS
    finally:
        await behind.close()


# -- A process that has not heard of the policy yet


@pytest.mark.asyncio
async def test_an_old_process_learns_the_policy_from_the_record_it_meets(store: Store) -> None:
    """And decides the customer by it from then on."""
    behind = Ingest(store, BUILT_IN)
    await store.enforce(STRICT)
    await rewrite(store, await whole_of(store), STRICT, NOW)

    again = update(PAUSED, PAUSED | {"cancel_at": START + DAY}, id="evt_3", created=START + 5)
    assert (await behind.deliver(encoded(again), NOW)).outcome == "applied"

    assert behind.policy == STRICT
    assert not mixed(await whole_of(store), [STRICT])


@pytest.mark.asyncio
async def test_a_new_process_decides_whom_it_meets(store: Store) -> None:
    """All of the customer's subscriptions, before the event that it brings."""
    await Ingest(store, BUILT_IN).deliver(encoded(event(PAUSED | {"id": "sub_2"}, id="evt_9")), NOW)
    await store.enforce(STRICT)

    other = update(PLAIN, PAUSED | {"cancel_at": START + DAY}, id="evt_3", created=START + 5)
    await Ingest(store, STRICT).deliver(encoded(other), NOW)

    after = await whole_of(store)
    assert list(after.record.decisions) == ["sub_1", "sub_2"]
    assert (after.record.policy, mixed(after, [STRICT])) == (STRICT.digest, False)


@pytest.mark.asyncio
async def test_the_metadata_is_read_by_the_key_of_the_policy_that_decides(store: Store) -> None:
    """Also by a process that read the event by the old policy, which knew no key."""
    await store.enforce(KEYED)
    await rewrite(store, await whole_of(store), KEYED, NOW)

    granted = PAUSED | {"metadata": {"access": "grant"}}
    body = encoded(update(PAUSED, granted, id="evt_3", created=START + 5))
    await Ingest(store, BUILT_IN).deliver(body, NOW)

    after = await whole_of(store)
    assert after.subscriptions["sub_1"].facts[-1].snapshot.decided == "grant"
    assert after.record.decisions["sub_1"].features["pro"][0].reason == "metadata_grant"


# -- Everything at once

STATED = parse("""
    metadata_key = "access"
    status.past_due = "revoke"
    pause_collection.void = "revoke"
    pause_collection.keep_as_draft = { access = "review", while_pending = "grant" }
""")
POLICIES = (BUILT_IN, STATED)


@pytest.mark.asyncio
async def test_webhooks_during_apply_converge(store: Store, store_url: str) -> None:
    """Old and new processes deliver while everybody is decided anew: no record ever mixes policies, nothing is lost."""
    subjects = settle(store_url, BUILT_IN, 12)
    rng = Random(3)  # noqa: S311  a test's own
    bodies = [body for s in subjects[:6] for body in events_of(rng, s.customer, 4)]
    rng.shuffle(bodies)
    processes = [Ingest(store, BUILT_IN), Ingest(store, STATED), Ingest(store, BUILT_IN)]
    watching = asyncio.create_task(_watch(store))

    async def deliver(n: int) -> None:
        for body in bodies[n::3]:
            assert (await processes[n].deliver(encoded(body), NOW)).outcome != "duplicate"

    await asyncio.gather(_applied(store, STATED), *map(deliver, range(3)))
    await _applied(store, STATED)  # whom an old process took in after the last round
    watching.cancel()

    found = await wholes(store)
    assert {w.record.policy for w in found.values()} == {STATED.digest}
    assert not [w for w in found.values() if mixed(w, POLICIES)]
    events = {
        f.event for w in found.values() for cold in w.subscriptions.values() for f in cold.facts
    }
    assert events >= {body["id"] for body in bodies}
    with pytest.raises(asyncio.CancelledError):
        await watching


async def _applied(store: Store, policy: Policy) -> None:
    async for _ in apply(store, policy, NOW, lag=0):
        pass


async def _watch(store: Store) -> None:
    """Look at every customer again and again; fail where a decision is not by the policy that its record names."""
    while True:
        for subject, whole in (await wholes(store)).items():
            for name in whole.record.decisions:
                held = await store.held(subject, name)  # both records at one instant
                one = {name: held.customer.decisions[name]}
                record = replace(held.customer, decisions=one)
                assert not mixed(Whole(subject, record, {name: held.subscription}), POLICIES)


@pytest.mark.asyncio
async def test_no_answer_and_no_record_mixes_two_policies(store: Store) -> None:
    """Whenever, between two steps, a process hears of another policy: what names one is by that one alone."""
    await store.enforce(STATED)
    answers, ingest = Answers(store, BUILT_IN), Ingest(store, BUILT_IN)
    for n in range(12):
        pause = pausing("void" if n % 2 else "keep_as_draft")
        body = update(PLAIN, subscription(**pause), id=f"evt_x{n}", created=START + 5 + n)
        await _restless(ingest, ingest.deliver(encoded(body), NOW))
        assert not mixed(await whole_of(store), POLICIES)

        past = await _restless(answers, answers.record(CUSTOMER, START + 1))
        (named,) = (policy for policy in POLICIES if policy.digest == past.policy)
        facts = (await whole_of(store)).subscriptions["sub_1"].facts
        assert past.decisions == {"sub_1": history(facts, named)}


async def _restless(process: Answers | Ingest, doing: Awaitable[T]) -> T:
    """Do something in a process whose policy becomes the other one at every step."""
    task = asyncio.ensure_future(doing)
    while not task.done():
        process.policy = POLICIES[process.policy == BUILT_IN]
        await asyncio.wait([task], timeout=0)
    return await task
