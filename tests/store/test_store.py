"""The store's contract, held by every server there is: all of an event or nothing, once, and for good."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from redis.crc import key_slot

from entitlements.absorb import Absorbed, Held, absorb
from entitlements.decide import decide
from entitlements.decode import decode
from entitlements.errors import NotDurable, StoreError, StoreUnavailable
from entitlements.fold import fold
from entitlements.ingest import Ingest
from entitlements.model import Change, Fact, Subject, SubscriptionEvent
from entitlements.policy import BUILT_IN, Cell
from entitlements.redecide import Whole
from entitlements.rewrite import rewrite
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from entitlements.store.cold import NOTHING
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.entry import Entry
from entitlements.store.packed import unpack
from entitlements.store.retention import trim
from entitlements.store.store import BATCH, NOBODY, Store
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.histories import MONTH, START
from tests.support.lives import events_of
from tests.support.servers import client, frozen, line_to, replicate
from tests.support.stores import opened

NOW = START + 10
CUSTOMER = Subject("cus_1")
PLAIN = subscription()
EMPTY = Held(NOBODY, NOTHING)


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncGenerator[Store]:
    """Give an open store on each server in turn."""
    async with opened(redis_url) as found:
        yield found


def decoded(body: Body) -> SubscriptionEvent:
    """Decode an event about a subscription."""
    found = decode(encoded(body))
    assert isinstance(found, SubscriptionEvent)
    return found


def entry(body: Body, **fields: object) -> Entry:
    """Return the log's line for an event."""
    named = {"event": body["id"], "type": body["type"], "created": body["created"]}
    came = {"outcome": "applied", "delivery": "d1", "received_ms": NOW * 1000}
    return msgspec.convert(named | came | {"body": encoded(body)} | fields, Entry)


def about(body: Body, **fields: object) -> Entry:
    """Return the log's line for an event about a subscription."""
    found = decoded(body)
    whose = {"subject": str(found.subject), "subscription": found.subscription}
    return entry(body, **whose, **fields)


async def take(store: Store, body: Body) -> tuple[Held, Absorbed]:
    """Absorb an event and commit it; return what was held and what was written."""
    found = decoded(body)
    held = await store.held(found.subject, found.subscription)
    absorbed = absorb(held, found, BUILT_IN, NOW)
    assert await store.commit(held, absorbed, found.subject, about(body))
    return held, absorbed


def dump(url: str) -> dict[bytes, bytes]:
    """Return all that a server holds, byte for byte."""
    with client(url) as plain:
        return {key: plain.dump(key) or b"" for key in plain.scan_iter()}


def members(url: str, name: str, subject: str = str(CUSTOMER)) -> dict[bytes, float]:
    """Return a sorted set of a subject's partition."""
    with client(url) as plain:
        found: Any = plain.zrange(shared(name, subject), 0, -1, withscores=True)
    return dict(found)


def entries(url: str, name: str, subject: str = str(CUSTOMER)) -> list[dict[bytes, bytes]]:
    """Return the entries of a stream of a subject's partition."""
    with client(url) as plain:
        found: Any = plain.xrange(shared(name, subject))
    return [fields for _, fields in found]


def shared(name: str, subject: str = str(CUSTOMER)) -> str:
    """Name what a subject's partition shares."""
    return keys.shared(keys.partition(subject, keys.PARTITIONS), name)


# -- Reading


@pytest.mark.asyncio
async def test_what_is_not_held_is_empty(store: Store) -> None:
    """Nobody is not an error."""
    assert await store.customer(CUSTOMER) == NOBODY
    assert await store.held(CUSTOMER, "sub_1") == EMPTY
    assert await store.customers([CUSTOMER, Subject("cus_2")]) == [NOBODY, NOBODY]
    assert await store.subscriptions(CUSTOMER, ["sub_1"]) == [NOTHING]


@pytest.mark.asyncio
async def test_what_is_committed_is_read_by_every_way(store: Store) -> None:
    """Hot and cold records come back as they were written, in the order that was asked."""
    _, written = await take(store, event(PLAIN))
    assert await store.held(CUSTOMER, "sub_1") == Held(written.customer, written.subscription)
    assert await store.customer(CUSTOMER) == written.customer
    assert await store.customers([Subject("cus_2"), CUSTOMER]) == [NOBODY, written.customer]
    assert await store.subscriptions(CUSTOMER, ["x", "sub_1"]) == [NOTHING, written.subscription]
    assert await store.customers([]) == []


@pytest.mark.asyncio
async def test_connected_accounts_are_kept_apart(redis_url: str) -> None:
    """The same ids under another account are another customer and another subscription, also in one partition."""
    with client(redis_url) as plain:
        plain.hset(keys.META, "partitions", "1")
    ours, theirs = CUSTOMER, Subject("cus_1", "acct_1")
    async with opened(redis_url) as store:
        await take(store, event(PLAIN))
        await take(store, event(PLAIN | {"status": "unpaid"}, account="acct_1"))
        assert [record.version for record in await store.customers([ours, theirs])] == [1, 1]
        colds = [(await store.held(whose, "sub_1")).subscription for whose in (ours, theirs)]
    assert [cold.facts[0].snapshot.status for cold in colds] == ["active", "unpaid"]


# -- Committing


@pytest.mark.asyncio
async def test_a_commit_from_an_old_version_writes_nothing(store: Store, redis_url: str) -> None:
    """Whoever read before somebody else wrote must read again; not one byte of theirs is kept."""
    first = decoded(event(PLAIN))
    stale, _ = await take(store, event(PLAIN))
    before = dump(redis_url)
    for held in (
        stale,
        msgspec.structs.replace(stale, customer=msgspec.structs.replace(NOBODY, version=2)),
    ):
        absorbed = absorb(held, first, BUILT_IN, NOW)
        assert not await store.commit(held, absorbed, CUSTOMER, about(event(PLAIN)))
    assert dump(redis_url) == before


@pytest.mark.asyncio
async def test_of_two_writers_one_wins(store: Store, redis_url: str) -> None:
    """Two commits that were read from the same version: one is written, whole."""
    held = await store.held(CUSTOMER, "sub_1")
    bodies = [event(PLAIN, id=f"evt_{n}") for n in range(8)]
    committed = await asyncio.gather(
        *(
            store.commit(held, absorb(held, decoded(b), BUILT_IN, NOW), CUSTOMER, about(b))
            for b in bodies
        )
    )
    assert sorted(committed) == [False] * 7 + [True]
    (line,) = entries(redis_url, "log")
    assert line[b"event"].decode() == f"evt_{committed.index(True)}"


@pytest.mark.asyncio
async def test_a_commit_is_one_slot(store: Store, redis_url: str) -> None:
    """All keys of a commit share a hash tag, so that a cluster takes it."""
    paused = subscription(**pausing("void")) | {"customer": "cus_{9}", "status": "active"}
    await take(store, event(paused))
    await take(store, update(paused, paused | {"status": "unheard_of"}))
    names = [key for key in dump(redis_url) if key != keys.META.encode()]
    assert len({key_slot(name) for name in names}) == 1
    kinds = {name.decode().split(":")[2] for name in names}
    assert kinds == {"c", "s", "log", "changes", "due", "paused", "review"}


@pytest.mark.asyncio
async def test_what_moves_nothing_is_one_slot_too(store: Store, redis_url: str) -> None:
    """Its mark, the log, the quarantine and its place there go together."""
    await store.keep(entry(event({}), outcome="quarantined"))
    names = [key for key in dump(redis_url) if key != keys.META.encode()]
    assert (len(names), len({key_slot(name) for name in names})) == (4, 1)


@pytest.mark.asyncio
async def test_customers_are_spread_over_the_partitions(store: Store, redis_url: str) -> None:
    """Each in its own, which the store has written down."""
    for n in range(20):
        await take(store, event(PLAIN | {"customer": f"cus_{n}"}))
    tags = {key.split(b"}")[0] for key in dump(redis_url) if key != keys.META.encode()}
    assert len(tags) > 10
    with client(redis_url) as plain:
        assert plain.hget(keys.META, "partitions") == b"%d" % keys.PARTITIONS


@pytest.mark.asyncio
async def test_the_number_of_partitions_is_the_one_recorded(redis_url: str) -> None:
    """A later release may choose another number; what is there stays where it is."""
    with client(redis_url) as plain:
        plain.hset(keys.META, "partitions", "1")
    async with opened(redis_url) as store:
        await take(store, event(PLAIN))
    assert b"ent:{0}:c:cus_1" in dump(redis_url)


@pytest.mark.asyncio
async def test_the_log_holds_the_event_itself(store: Store, redis_url: str) -> None:
    """What came can be read again byte for byte, beside what came of it."""
    body = event(PLAIN | {"metadata": {"name": "Zoë"}})
    await take(store, body)
    (line,) = entries(redis_url, "log")
    assert unpack(line.pop(b"body")) == encoded(body)
    assert line == {
        b"event": b"evt_1",
        b"type": b"customer.subscription.created",
        b"outcome": b"applied",
        b"delivery": b"d1",
        b"received_ms": b"%d" % (NOW * 1000),
        b"created": b"%d" % START,
        b"subject": b"cus_1",
        b"subscription": b"sub_1",
    }


@pytest.mark.asyncio
async def test_every_change_of_an_answer_is_told(store: Store, redis_url: str) -> None:
    """The feed has one entry for each feature whose answer is another one, and none where none is."""
    ended = PLAIN | {"status": "unpaid"}
    await take(store, event(PLAIN))
    await take(store, update(PLAIN, PLAIN | {"metadata": {"a": "b"}}))
    await take(store, update(PLAIN, ended, id="evt_3", created=START + 2))
    told = [
        msgspec.json.decode(line[b"change"], type=Change) for line in entries(redis_url, "changes")
    ]
    assert told == [
        Change("cus_1", "pro", True, "active", 1, version=1, at=NOW, event="evt_1"),  # noqa: FBT003
        Change("cus_1", "pro", False, "unpaid", 1, version=3, at=NOW, event="evt_3"),  # noqa: FBT003
    ]


@pytest.mark.asyncio
async def test_the_lists_that_on_call_asks_for(store: Store, redis_url: str) -> None:
    """Due, paused and to be reviewed: set while it is so, cleared when it no longer is."""
    paused, strange = subscription(**pausing("void")), subscription(status="unheard_of")
    await take(store, event(PLAIN))
    assert not any(members(redis_url, name) for name in ("due", "paused", "review"))

    await take(store, update(PLAIN, paused))
    assert members(redis_url, "due") == {b"cus_1": START + MONTH}
    assert members(redis_url, "paused") == {b"cus_1 sub_1": START + 1}

    await take(store, update(paused, PLAIN, id="evt_3", created=START + 2))
    assert not any(members(redis_url, name) for name in ("due", "paused", "review"))

    await take(store, update(PLAIN, strange, id="evt_4", created=START + 3))
    assert members(redis_url, "review") == {b"cus_1 sub_1": START}

    await take(store, update(strange, PLAIN, id="evt_5", created=START + 4))
    assert not members(redis_url, "review")


@pytest.mark.asyncio
async def test_scripts_are_loaded_again_when_the_server_forgot_them(
    store: Store, redis_url: str
) -> None:
    """A restart or a failover takes the scripts away: nobody notices."""
    await take(store, event(PLAIN))
    with client(redis_url) as plain:
        plain.script_flush()
    await take(store, update(PLAIN, PLAIN | {"status": "unpaid"}))
    assert (await store.customer(CUSTOMER)).version == 2


@pytest.mark.asyncio
async def test_a_server_that_is_full_takes_nothing(own_store: EmbeddedStore) -> None:
    """A write that is refused is refused whole, and what is held can still be read."""
    async with opened(own_store.url) as store:
        await take(store, event(PLAIN))
        before = dump(own_store.url)
        with client(own_store.url) as plain:
            plain.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable, match="OOM"):
            await take(store, update(PLAIN, PLAIN | {"status": "unpaid"}))
        with pytest.raises(StoreUnavailable, match="OOM"):
            await store.keep(entry(event({}, "invoice.paid"), outcome="ignored"))
        assert dump(own_store.url) == before
        assert (await store.customer(CUSTOMER)).version == 1


@pytest.mark.asyncio
async def test_a_write_whose_reply_was_lost_is_made_once(store_url: str, short_path: Path) -> None:
    """The client sends it again: the second one finds the first, and writes nothing."""
    async with line_to(store_url, short_path) as line, opened(line.url) as store:
        first, second = event(PLAIN), update(PLAIN, PLAIN | {"status": "unpaid"})
        other = entry(event({}, "invoice.paid", id="evt_9"), outcome="ignored")
        await take(store, first)
        await store.keep(msgspec.structs.replace(other, event="evt_8"))

        held = await store.held(CUSTOMER, "sub_1")
        absorbed = absorb(held, decoded(second), BUILT_IN, NOW)
        line.lose_reply_to(b"evt_2")
        assert not await store.commit(held, absorbed, CUSTOMER, about(second))
        line.lose_reply_to(b"evt_9")
        assert await store.keep(other) == ("ignored", "d1")

        assert line.lost == 2
        assert await store.held(CUSTOMER, "sub_1") == Held(absorbed.customer, absorbed.subscription)
        assert [e[b"event"] for e in entries(store_url, "log")] == [b"evt_1", b"evt_2"]
        assert len(entries(store_url, "log", "evt_9")) == 1


# -- Keeping what moves nothing


@pytest.mark.asyncio
async def test_an_event_that_moves_nothing_is_kept_once(store: Store, redis_url: str) -> None:
    """Whoever comes later is told what the first one was, and by which delivery it came."""
    first = entry(event({}, "invoice.paid"), outcome="ignored")
    assert await store.keep(first) == ("ignored", "d1")
    again = msgspec.structs.replace(first, delivery="d2", outcome="quarantined")
    assert await store.keep(again) == ("ignored", "d1")
    (line,) = entries(redis_url, "log", "evt_1")
    assert (line[b"outcome"], line[b"delivery"]) == (b"ignored", b"d1")
    assert members(redis_url, "quarantine", "evt_1") == {}


@pytest.mark.asyncio
async def test_what_is_quarantined_is_kept_for_on_call(store: Store, redis_url: str) -> None:
    """It waits in the quarantine as it stands in the log, and says why."""
    await store.keep(entry(event({}), outcome="quarantined", why="it names no product"))
    assert members(redis_url, "quarantine", "evt_1") == {b"evt_1": NOW * 1000}
    with client(redis_url) as plain:
        held: Any = plain.hgetall(keys.waiting(keys.partition("evt_1", keys.PARTITIONS), "evt_1"))
    assert [held] == entries(redis_url, "log", "evt_1")
    assert entries(redis_url, "log", "evt_1")[0][b"why"] == b"it names no product"


@pytest.mark.asyncio
async def test_what_moves_nothing_is_known_again_for_longer_than_stripe_keeps_it(
    store: Store, redis_url: str
) -> None:
    """Stripe can send an event again for 30 days; after that the mark goes, and its memory with it."""
    await store.keep(entry(event({}, "invoice.paid"), outcome="ignored"))
    mark = keys.event(keys.partition("evt_1", keys.PARTITIONS), "evt_1")
    with client(redis_url) as plain:
        assert 30 * 86_400 < plain.ttl(mark) <= 35 * 86_400


@pytest.mark.asyncio
async def test_what_decides_never_expires(store: Store, redis_url: str) -> None:
    """Only marks do."""
    await take(store, event(PLAIN))
    with client(redis_url) as plain:
        assert {plain.ttl(key) for key in plain.scan_iter()} == {-1}


@pytest.mark.asyncio
async def test_what_is_old_is_trimmed(store: Store, redis_url: str) -> None:
    """Log and change feed lose what is from before an instant, up to a node of the stream.

    The feed keeps the last old change as well, and with it the node (a hundred entries) that it is in.
    """
    with client(redis_url) as plain:
        for name in ("log", "changes"):
            for n in range(250):
                plain.xadd(shared(name), {"n": n}, id=f"{1_000 + n}-0")
        assert await trim(store, 1_200) == 200 + 100
        assert [plain.xlen(shared(name)) for name in ("log", "changes")] == [50, 150]
    assert await trim(store, 1_200) == 0


# -- What the whole store has one of


@pytest.mark.asyncio
async def test_the_first_event_pins_the_mode(store: Store) -> None:
    """Whoever comes first decides; the others are told."""
    assert await store.pin_livemode(livemode=False) is False
    assert await store.pin_livemode(livemode=True) is False


@pytest.mark.asyncio
async def test_the_live_mode_can_be_pinned(store: Store) -> None:
    """Likewise of the other mode."""
    assert await store.pin_livemode(livemode=True) is True
    assert await store.pin_livemode(livemode=False) is True


@pytest.mark.asyncio
async def test_the_first_policy_is_the_one_in_force(store: Store, redis_url: str) -> None:
    """Another one is written down beside it, and not used until it is put in force."""
    other = msgspec.structs.replace(BUILT_IN, ambiguous="revoke")
    assert await store.policy(BUILT_IN) == BUILT_IN
    assert await store.policy(other) == BUILT_IN
    assert await store.policy_in_force() == BUILT_IN
    with client(redis_url) as plain:
        assert plain.exists(keys.policy(other.digest))
    await store.enforce(other)
    assert await store.policy(BUILT_IN) == other
    assert await store.policy_in_force() == other


@pytest.mark.asyncio
async def test_a_store_that_was_emptied_is_not_the_one_it_was(store: Store) -> None:
    """Without a policy nothing is decided by some default."""
    with pytest.raises(StoreError, match="emptied"):
        await store.policy_in_force()


@pytest.mark.asyncio
async def test_a_sign_of_life(own_store: EmbeddedStore) -> None:
    """A store that answers does, and one that hangs does not."""
    async with opened(own_store.url) as store:
        await store.ping()
        with frozen(own_store.pid), pytest.raises(StoreUnavailable):
            await store.ping()


# -- All customers


@pytest.mark.asyncio
async def test_every_customer_is_walked(store: Store, redis_url: str) -> None:
    """Each at least once, whatever else is held, with the share that has been looked through."""
    subjects = {Subject(f"cus_{n}", account) for n in range(40) for account in (None, "acct_1")}
    for n, subject in enumerate(sorted(subjects, key=str)):
        about_it = PLAIN | {"customer": subject.customer}
        await take(store, event(about_it, account=subject.account, id=f"evt_{n}"))
    with client(redis_url) as plain:
        pipeline = plain.pipeline(transaction=False)
        for n in range(3 * BATCH):
            pipeline.set(f"other:{n}", "")
        pipeline.execute()
    walked = [step async for step in store.subjects()]
    assert len(walked) > 1
    assert {subject for _, found in walked for subject in found} == subjects
    assert [share for share, _ in walked] == sorted(share for share, _ in walked)
    assert walked[-1][0] == 1


@pytest.mark.asyncio
async def test_all_that_is_held_of_customers(store: Store) -> None:
    """Each with every subscription; of nobody there is nothing."""
    _, first = await take(store, event(PLAIN))
    _, second = await take(store, event(PLAIN | {"id": "sub_2"}, id="evt_2"))
    nobody, found = await store.wholes([Subject("cus_2"), CUSTOMER])
    assert nobody == Whole(Subject("cus_2"), NOBODY, {})
    both = {"sub_1": first.subscription, "sub_2": second.subscription}
    assert found == Whole(CUSTOMER, second.customer, both)
    assert await store.wholes([]) == []


@pytest.mark.asyncio
async def test_a_customer_is_decided_anew_without_an_event(store: Store, redis_url: str) -> None:
    """What changes by it is told, the lists follow, and the log stays what Stripe sent."""
    await take(store, event(subscription(status="past_due")))
    assert members(redis_url, "due")
    (whole,) = await store.wholes([CUSTOMER])
    strict = msgspec.structs.replace(
        BUILT_IN, status={**BUILT_IN.status, "past_due": Cell("revoke")}
    )
    found = await rewrite(store, whole, strict, NOW)
    assert [(d.feature, d.kind) for d in found] == [("pro", "loses")]
    record = await store.customer(CUSTOMER)
    assert (record.version, record.policy) == (2, strict.digest)
    assert not members(redis_url, "due")
    assert len(entries(redis_url, "log")) == 1
    assert b"event" not in entries(redis_url, "changes")[-1][b"change"]

    before = dump(redis_url)
    assert await rewrite(store, (await store.wholes([CUSTOMER]))[0], strict, NOW) == []
    assert dump(redis_url) == before


@pytest.mark.asyncio
async def test_a_decision_anew_from_an_old_version_is_made_again(store: Store) -> None:
    """An event that came in between is not lost by it."""
    await take(store, event(PLAIN))
    (stale,) = await store.wholes([CUSTOMER])
    await take(store, update(PLAIN, subscription(status="past_due")))
    strict = msgspec.structs.replace(
        BUILT_IN, status={**BUILT_IN.status, "past_due": Cell("revoke")}
    )
    assert [d.kind for d in await rewrite(store, stale, strict, NOW)] == ["loses"]
    assert (await store.customer(CUSTOMER)).version == 3


# -- A replica


@pytest.mark.asyncio
async def test_with_a_replica_its_receipt_is_waited_for(
    own_store: EmbeddedStore, short_path: Path
) -> None:
    """A write that no replica confirms is no success; when one does, it is, also for what came before."""
    with EmbeddedStore.start(short_path / "replica") as replica:
        replicate(own_store, replica)
        async with opened(own_store.url, durability="replica") as store:
            ignored = entry(event({}, "invoice.paid"), outcome="ignored")
            await take(store, event(PLAIN))
            assert await store.keep(ignored) == ("ignored", "d1")
            assert dump(replica.url).keys() == dump(own_store.url).keys()

            with frozen(replica.pid):
                with pytest.raises(NotDurable):
                    await take(store, update(PLAIN, PLAIN | {"status": "unpaid"}))
                assert (await store.customer(CUSTOMER)).version == 2
                with pytest.raises(NotDurable):
                    await store.keep(msgspec.structs.replace(ignored, event="evt_8"))
                with pytest.raises(NotDurable):
                    await store.confirmed(EMPTY, CUSTOMER, "sub_1")
            assert await store.confirmed(EMPTY, CUSTOMER, "sub_1") == await store.held(
                CUSTOMER, "sub_1"
            )
            assert dump(replica.url) == dump(own_store.url)


@pytest.mark.asyncio
async def test_a_retry_that_finds_its_own_write_waits_for_the_replica_too(
    own_store: EmbeddedStore, short_path: Path
) -> None:
    """The connection that asks again has written nothing, so there would be nothing to wait for."""
    with EmbeddedStore.start(short_path / "replica") as replica:
        replicate(own_store, replica)
        async with (
            line_to(own_store.url, short_path) as line,
            opened(line.url, durability="replica") as store,
        ):
            ignored = entry(event({}, "invoice.paid"), outcome="ignored")
            await store.keep(ignored)
            with frozen(replica.pid):
                line.lose_reply_to(b"evt_9")
                with pytest.raises(NotDurable):
                    await store.keep(msgspec.structs.replace(ignored, event="evt_9"))
            assert line.lost == 1


@pytest.mark.asyncio
async def test_without_a_replica_what_can_be_read_is_confirmed(
    store: Store, redis_url: str
) -> None:
    """Under fsync a reply comes from the disk: there is nothing to wait for, and nothing is written."""
    before = dump(redis_url)
    assert await store.confirmed(EMPTY, CUSTOMER, "sub_1") is EMPTY
    assert dump(redis_url) == before


# -- Many at once


async def deliver(ingest: Ingest, body: Body) -> int:
    """Deliver as Stripe does: again, until it is taken. Returns how often it was refused."""
    refused = 0
    while True:
        with suppress(StoreError):
            await ingest.deliver(encoded(body), NOW)
            return refused
        refused += 1


@pytest.mark.asyncio
async def test_many_writers_in_any_order_agree_with_the_fold(redis_url: str) -> None:
    """Shuffled, repeated and concurrent deliveries by several processes end in the state that the facts fold to."""
    rng = Random(7)  # noqa: S311  any order will do, the same each time
    bodies = [e for n in range(6) for e in events_of(rng, f"cus_{n % 3}", steps=12)]
    arriving = [*bodies, *rng.choices(bodies, k=len(bodies) // 2)]
    rng.shuffle(arriving)
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(redis_url)) for _ in range(4)]
        writers = [Ingest(store, BUILT_IN) for store in stores]
        async with (
            asyncio.TaskGroup() as tasks
        ):  # which leaves none under way while the stores are closed
            for n, body in enumerate(arriving):
                tasks.create_task(deliver(writers[n % 4], body))

    facts: dict[tuple[str, str], list[Fact]] = {}
    for body in bodies:
        found = decoded(body)
        facts.setdefault((found.subject.customer, found.subscription), []).append(found.fact)
    async with opened(redis_url) as store:
        for (customer, name), told in facts.items():
            held = await store.held(Subject(customer), name)
            ordered, state = fold(told, BUILT_IN)
            assert state
            assert held.subscription.state == state
            assert [f.event for f in held.subscription.facts] == [f.event for f in ordered]
            assert held.customer.decisions[name] == decide(state, BUILT_IN)
            theirs = [told for (whose, _), told in facts.items() if whose == customer]
            assert held.customer.version == sum(map(len, theirs))
    logged = Counter(
        line[b"event"].decode()
        for customer in {customer for customer, _ in facts}
        for line in entries(redis_url, "log", customer)
    )
    assert logged == Counter(body["id"] for body in bodies)
