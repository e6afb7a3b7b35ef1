"""Customers in a real store: a few taken in through the one way in, or many as deliveries would have left them."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import msgspec

from entitlements.absorb import Held, absorb
from entitlements.decide import decide
from entitlements.decode import decode
from entitlements.fold import fold
from entitlements.ingest import Ingest
from entitlements.model import Decision, Subject, SubscriptionEvent, SubscriptionRecord
from entitlements.policy import BUILT_IN, Policy
from entitlements.redecide import Whole
from entitlements.sandbox.event import encoded
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from entitlements.store.cold import NOTHING, encode
from entitlements.store.store import NOBODY, Store
from tests.support.bodies import event, pausing, subscription, update
from tests.support.histories import START
from tests.support.lives import events_of
from tests.support.servers import client

NOW = START + 100


@asynccontextmanager
async def opened(url: str, policy: Policy = BUILT_IN) -> AsyncGenerator[Store]:
    """Open a store in which a policy is in force."""
    store = await Store.open(url, name="test")
    try:
        await store.policy(policy)
        yield store
    finally:
        await store.close()


def of_customer(n: int, *, status: str = "active", **fields: object) -> Body:
    """Return the subscription of the n-th customer."""
    return subscription(id=f"sub_{n}", customer=f"cus_{n}", status=status, **fields)


async def fill(store: Store, paused: int, active: int, policy: Policy = BUILT_IN) -> None:
    """Take in so many customers whose collection is paused with void, and so many who just pay."""
    ingest = Ingest(store, policy)
    for n in range(paused + active):
        plain = of_customer(n)
        await ingest.deliver(encoded(event(plain, id=f"evt_{n}_a")), NOW)
        if n < paused:
            changed = update(plain, plain | pausing("void"), id=f"evt_{n}_b")
            await ingest.deliver(encoded(changed), NOW)


_encode = msgspec.json.Encoder().encode


def settle(url: str, policy: Policy, count: int, *, seed: int = 1, steps: int = 3) -> list[Subject]:
    """Fill a store with customers of two subscriptions each, decided by a policy, in one write."""
    found = _settled(policy, count, seed, steps)
    with client(url) as plain, plain.pipeline(transaction=False) as pipe:
        for whole in found:
            subject = whole.subject
            p = keys.partition(str(subject), keys.PARTITIONS)
            pipe.set(keys.customer(p, subject), _encode(whole.record))
            if whole.due is not None:
                pipe.zadd(keys.shared(p, "due"), {str(subject): whole.due})
            for name, cold in whole.subscriptions.items():
                pipe.set(keys.subscription(p, subject, name), encode(cold))
        pipe.execute()
    return [whole.subject for whole in found]


_SETTLED: dict[tuple[str, int, int, int], list[Whole]] = {}
"""By policy, count, seed and steps: many tests fill their stores with the same."""


def _settled(policy: Policy, count: int, seed: int, steps: int) -> list[Whole]:
    key = (policy.digest, count, seed, steps)
    if key not in _SETTLED:
        rng = Random(seed)  # noqa: S311  a test's own
        found = [Subject(f"cus_{n}", "acct_1" if n % 7 == 3 else None) for n in range(count)]
        _SETTLED[key] = [_lived(subject, policy, rng, steps) for subject in found]
    return _SETTLED[key]


def _lived(subject: Subject, policy: Policy, rng: Random, steps: int) -> Whole:
    """Return a customer as so many events of two subscriptions leave them."""
    customer, colds, due = NOBODY, dict[str, SubscriptionRecord](), None
    for told in (e for _ in range(2) for e in _events(subject, rng, steps)):
        held = Held(customer, colds.get(told.subscription, NOTHING), due)
        absorbed = absorb(held, told, policy, START)
        customer, colds[told.subscription] = absorbed.customer, absorbed.subscription
        due = absorbed.lists.due
    return Whole(subject, customer, colds, due)


def _events(subject: Subject, rng: Random, steps: int) -> Iterator[SubscriptionEvent]:
    for body in events_of(rng, subject.customer, steps):
        found = decode(encoded(body | ({"account": subject.account} if subject.account else {})))
        assert isinstance(found, SubscriptionEvent)
        yield found


def decided(colds: dict[str, SubscriptionRecord], policy: Policy) -> dict[str, Decision]:
    """Return what a policy makes of a customer's facts, from nothing."""
    states = {name: fold(cold.facts, policy)[1] for name, cold in colds.items()}
    return {name: decide(state, policy) for name, state in states.items() if state}


def mixed(whole: Whole, policies: Sequence[Policy]) -> bool:
    """Tell whether a record holds a decision that the policy it names did not make."""
    (named,) = (policy for policy in policies if policy.digest == whole.record.policy)
    return whole.record.decisions != decided(dict(whole.subscriptions), named)


async def wholes(store: Store) -> dict[Subject, Whole]:
    """Return all that a store holds, by customer."""
    subjects = [s async for _, batch in store.subjects() for s in batch]
    return {whole.subject: whole for whole in await store.wholes(subjects)}


async def next_instant(store: Store) -> None:
    """Return once the store's clock shows another millisecond: the log is in the order of these."""
    began = await _milliseconds(store)
    while await _milliseconds(store) == began:
        pass


async def _milliseconds(store: Store) -> int:
    seconds, micros = await store.redis.time()
    return int(seconds) * 1000 + int(micros) // 1000
