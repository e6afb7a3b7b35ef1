"""The one way in: what becomes of each delivery, and that what is acknowledged is stored once."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from entitlements import metrics
from entitlements.absorb import Held
from entitlements.errors import BadRequest, NotDurable, StoreBusy
from entitlements.ingest import ATTEMPTS, WRONG_MODE, Ingest, Receipt
from entitlements.model import Subject
from entitlements.policy import BUILT_IN, REVOKE
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.store import NOBODY, Store
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.histories import START
from tests.support.servers import client, frozen, line_to, replicate
from tests.support.stores import opened

NOW = START + 10.5
CUSTOMER = Subject("cus_1")
PLAIN = subscription()
STRICT = replace(BUILT_IN, status={**BUILT_IN.status, "past_due": REVOKE})
BURST = 50
UNPAID = PLAIN | {"status": "unpaid"}


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """Give an open, empty store."""
    async with opened(store_url) as found:
        yield found


@pytest.fixture
def ingest(store: Store) -> Ingest:
    """Return a way into the store."""
    return Ingest(store, BUILT_IN)


async def deliver(ingest: Ingest, body: Body, now: float = NOW) -> Receipt:
    """Deliver an event as Stripe writes it."""
    return await ingest.deliver(encoded(body), now)


def taken(outcome: str, version: int | None, event: str = "evt_1", **fields: Any) -> Receipt:  # noqa: ANN401
    """Return the receipt of an event about `sub_1` of `cus_1`."""
    return Receipt(event, outcome, "cus_1", "sub_1", version, **fields)  # type: ignore[arg-type]  # a Literal


def kept(outcome: str, event: str | None = "evt_1", **fields: Any) -> Receipt:  # noqa: ANN401
    """Return the receipt of an event that moves nothing."""
    return Receipt(event, outcome, None, None, None, **fields)  # type: ignore[arg-type]  # a Literal


def log_of(url: str, name: str = "log") -> list[dict[bytes, bytes]]:
    """Return the entries of a stream, of all partitions."""
    with client(url) as plain:
        streams: list[Any] = [plain.xrange(keys.shared(p, name)) for p in range(keys.PARTITIONS)]
    return [fields for entries in streams for _, fields in entries]


def waiting(url: str) -> list[dict[bytes, bytes]]:
    """Return what waits in the quarantine, as the log has it."""
    with client(url) as plain:
        found: list[Any] = [plain.hgetall(name) for name in plain.scan_iter("ent:{*}:q:*")]
    return found


# -- Outcomes


@pytest.mark.asyncio
async def test_an_event_that_moves_the_state_is_applied(ingest: Ingest, store: Store) -> None:
    """Its receipt names whose it was, and the version that callers may ask for."""
    assert await deliver(ingest, event(PLAIN)) == taken("applied", 1)
    assert await deliver(ingest, update(PLAIN, UNPAID)) == taken("applied", 2, "evt_2")
    (fact, _) = (await store.held(CUSTOMER, "sub_1")).subscription.facts
    assert (fact.outcome, fact.received_ms) == ("applied", int(NOW * 1000))


@pytest.mark.asyncio
async def test_an_event_that_changes_no_answer_is_unchanged(ingest: Ingest) -> None:
    """It is kept all the same, and moves the version."""
    await deliver(ingest, event(PLAIN))
    renamed = PLAIN | {"metadata": {"name": "x"}}
    assert await deliver(ingest, update(PLAIN, renamed)) == taken("unchanged", 2, "evt_2")


@pytest.mark.asyncio
async def test_an_event_from_before_what_is_held_is_stale(ingest: Ingest, store: Store) -> None:
    """It becomes history: the answer is the one that the later event gave."""
    paused = subscription(**pausing("void"))
    await deliver(ingest, update(PLAIN, UNPAID, id="evt_3", created=START + 3))
    receipt = await deliver(ingest, update(paused, PLAIN, id="evt_0", created=START))
    assert receipt == taken("stale", 2, "evt_0")
    facts = (await store.held(CUSTOMER, "sub_1")).subscription.facts
    assert [fact.event for fact in facts] == ["evt_0", "evt_3"]


@pytest.mark.asyncio
async def test_two_ends_of_one_second_are_ambiguous(ingest: Ingest) -> None:
    """Where the payloads leave the order open, the receipt says so."""
    await deliver(ingest, event(PLAIN))
    paused = subscription(**pausing("void"))
    await deliver(ingest, update(PLAIN, UNPAID, created=START + 1))
    receipt = await deliver(ingest, update(PLAIN, paused, id="evt_3", created=START + 1))
    assert receipt == taken("ambiguous", 3, "evt_3")


@pytest.mark.asyncio
async def test_a_repeated_event_is_a_duplicate(ingest: Ingest, store_url: str) -> None:
    """It carries the outcome of the first delivery, and writes nothing."""
    await deliver(ingest, event(PLAIN))
    await deliver(ingest, update(PLAIN, PLAIN | {"metadata": {"a": "b"}}))
    again = await deliver(ingest, event(PLAIN), NOW + 60)
    assert again == taken("duplicate", 2, first="applied")
    again = await deliver(ingest, update(PLAIN, UNPAID), NOW + 60)  # the id is what counts
    assert again == taken("duplicate", 2, "evt_2", first="unchanged")
    assert len(log_of(store_url)) == 2


@pytest.mark.asyncio
async def test_a_type_that_says_nothing_of_access_is_ignored(
    ingest: Ingest, store_url: str
) -> None:
    """It is kept in the log, once."""
    other = event({"id": "in_1"}, "invoice.paid")
    assert await deliver(ingest, other) == kept("ignored")
    assert await deliver(ingest, other) == kept("duplicate", first="ignored")
    (line,) = log_of(store_url)
    assert (line[b"event"], line[b"type"], line[b"outcome"]) == (
        b"evt_1",
        b"invoice.paid",
        b"ignored",
    )
    assert line[b"created"] == b"%d" % START


@pytest.mark.asyncio
async def test_what_is_not_understood_is_quarantined(ingest: Ingest, store_url: str) -> None:
    """It is acknowledged and kept for on-call, with the reason."""
    broken = event(PLAIN | {"items": None})
    assert await deliver(ingest, broken) == kept("quarantined")
    assert await deliver(ingest, broken) == kept("duplicate", first="quarantined")
    assert log_of(store_url) == waiting(store_url)
    (line,) = log_of(store_url)
    assert b"items" in line[b"why"]
    assert line[b"type"] == b"customer.subscription.created"


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"[]", b"null", b'{"id":"evt_\\ud800"}', b"[" * 100_000])
async def test_what_has_no_id_is_known_by_its_content(
    ingest: Ingest, store_url: str, body: bytes
) -> None:
    """The same bytes again are a duplicate, other bytes are not."""
    assert await ingest.deliver(body, NOW) == kept("quarantined", None)
    assert await ingest.deliver(body, NOW) == kept("duplicate", None, first="quarantined")
    assert await ingest.deliver(body + b" ", NOW) == kept("quarantined", None)
    names = {line[b"event"].decode() for line in log_of(store_url)}
    assert f"sha256:{hashlib.sha256(body).hexdigest()}" in names
    assert {line[b"type"] for line in log_of(store_url)} == {b"unknown"}


@pytest.mark.asyncio
async def test_what_is_not_json_is_refused_and_not_kept(ingest: Ingest, store_url: str) -> None:
    """Stripe never sends it."""
    with pytest.raises(BadRequest):
        await ingest.deliver(b"<html>", NOW)
    assert log_of(store_url) == []


# -- Modes


@pytest.mark.asyncio
async def test_an_event_of_the_other_mode_is_quarantined(store: Store, store_url: str) -> None:
    """A test event never moves live access, nor the other way round."""
    live = Ingest(store, BUILT_IN, livemode=True)
    assert await deliver(live, event(PLAIN)) == taken("quarantined", None)
    assert await store.customer(CUSTOMER) == NOBODY
    (line,) = waiting(store_url)
    assert line[b"why"].decode() == WRONG_MODE
    assert line[b"subject"] == b"cus_1"
    assert (await deliver(live, event(PLAIN, id="evt_2", livemode=True))).outcome == "applied"


@pytest.mark.asyncio
@pytest.mark.parametrize("first", [event(PLAIN), event({}, "invoice.paid")])
async def test_the_first_event_pins_the_mode(store: Store, first: Body) -> None:
    """Of this process and of all others, now and after a restart."""
    await deliver(Ingest(store, BUILT_IN), first)
    later = Ingest(store, BUILT_IN)
    live = await deliver(later, event(PLAIN, id="evt_2", livemode=True))
    assert live == taken("quarantined", None, "evt_2")
    assert (await deliver(later, update(PLAIN, UNPAID, id="evt_3"))).outcome == "applied"


@pytest.mark.asyncio
async def test_what_is_not_understood_pins_nothing(ingest: Ingest) -> None:
    """Its mode is not certain."""
    await deliver(ingest, event(PLAIN | {"items": None}))
    live = await deliver(ingest, event(PLAIN, id="evt_2", livemode=True))
    assert live.outcome == "applied"


@pytest.mark.asyncio
async def test_connected_accounts_are_kept_apart(ingest: Ingest, store: Store) -> None:
    """The same customer id of two accounts is two customers; the receipt names the customer."""
    assert await deliver(ingest, event(PLAIN)) == taken("applied", 1)
    theirs = event(UNPAID, id="evt_2", account="acct_1")
    assert await deliver(ingest, theirs) == taken("applied", 1, "evt_2")
    ours, other = await store.customers([CUSTOMER, Subject("cus_1", "acct_1")])
    assert ours.decisions["sub_1"] != other.decisions["sub_1"]


# -- Policies


@pytest.mark.asyncio
async def test_a_customer_is_decided_whole_by_the_policy_in_force(
    store: Store, store_url: str
) -> None:
    """No record mixes two policies; a process that had not heard of the new one learns of it here."""
    old, new = Ingest(store, BUILT_IN), Ingest(store, STRICT)
    past_due = PLAIN | {"status": "past_due"}
    await deliver(old, event(past_due))
    await deliver(old, event(past_due | {"id": "sub_2"}, id="evt_2"))
    await store.enforce(STRICT)

    receipt = await deliver(new, update(PLAIN, UNPAID, id="evt_3"))
    assert (receipt.outcome, receipt.version) == ("applied", 4)
    record = await store.customer(CUSTOMER)
    (segment,) = record.decisions["sub_2"].features["pro"]
    assert (record.policy, segment.granted) == (STRICT.digest, False)
    told = [line[b"change"] for line in log_of(store_url, "changes")]
    assert [b'"event"' in change for change in told] == [True, True, False, True]

    renamed = UNPAID | {"metadata": {"a": "b"}}
    assert (await deliver(old, update(UNPAID, renamed, id="evt_4", created=START + 2))).version == 5
    assert old.policy == STRICT
    assert (await store.customer(CUSTOMER)).policy == STRICT.digest


# -- Trouble


@pytest.mark.asyncio
async def test_a_lost_reply_does_not_hide_the_outcome(store_url: str, short_path: Path) -> None:
    """The client writes again and finds its own delivery: the receipt is that of the first try."""
    async with line_to(store_url, short_path) as line, opened(line.url) as store:
        ingest = Ingest(store, BUILT_IN)
        await deliver(ingest, event(PLAIN))
        await deliver(ingest, event({}, "invoice.paid", id="evt_8"))

        line.lose_reply_to(b'"evt_2"')
        assert await deliver(ingest, update(PLAIN, UNPAID)) == taken("applied", 2, "evt_2")
        line.lose_reply_to(b"evt_9")
        assert await deliver(ingest, event({}, "invoice.paid", id="evt_9")) == kept(
            "ignored", "evt_9"
        )
        assert line.lost == 2
        assert len(log_of(store_url)) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("command", ["HSETNX", "HGET", "MGET", "EVALSHA", "SCRIPT"])
@pytest.mark.parametrize(
    ("body", "receipt"),
    [
        (update(PLAIN, UNPAID), taken("applied", 2, "evt_2")),
        (event({}, "invoice.paid", id="evt_2"), kept("ignored", "evt_2")),
        (event({}, id="evt_2"), kept("quarantined", "evt_2")),
    ],
)
async def test_whichever_reply_is_lost_the_outcome_stays_what_it_is(
    store_url: str, short_path: Path, body: Body, receipt: Receipt, command: str, *, loaded: bool
) -> None:
    """The mode is pinned, records are read, a script is loaded and run: no own first try makes it a duplicate."""
    async with opened(store_url) as store:
        await deliver(Ingest(store, BUILT_IN), event(PLAIN))
        await deliver(Ingest(store, BUILT_IN), event({}, "invoice.paid", id="evt_0"))
    with client(store_url) as plain:
        if not loaded:
            plain.script_flush()
    async with line_to(store_url, short_path) as line, opened(line.url) as store:
        line.lose_reply_to(command.encode())
        assert await deliver(Ingest(store, BUILT_IN), body) == receipt
    assert sorted(line[b"event"] for line in log_of(store_url)) == [b"evt_0", b"evt_1", b"evt_2"]


@pytest.mark.asyncio
@pytest.mark.parametrize("command", ["HGET", "$3\r\nGET", "EVALSHA"])
async def test_a_reply_that_is_lost_while_a_new_policy_is_learnt_hides_nothing(
    store_url: str, short_path: Path, command: str
) -> None:
    """The customer is decided anew and the event taken in, each once."""
    async with opened(store_url) as store:
        ingest = Ingest(store, BUILT_IN)
        await store.policy(BUILT_IN)
        await deliver(ingest, event(PLAIN))
        await store.enforce(STRICT)
    async with line_to(store_url, short_path) as line, opened(line.url) as store:
        ingest = Ingest(store, STRICT, livemode=False)
        line.lose_reply_to(command.encode())
        assert await deliver(ingest, update(PLAIN, UNPAID)) == taken("applied", 3, "evt_2")
        assert line.lost == 1
    assert len(log_of(store_url)) == 2


class Deaf(Store):
    """A store whose second read comes after others have gone on: the first write was made, and not heard of."""

    others: list[Body]
    rival: Ingest
    reads = 0

    async def held(self, subject: Subject, subscription: str) -> Held:
        """Let the others write before the second read."""
        self.reads += 1
        if self.reads == 2:
            for body in self.others:
                await deliver(self.rival, body)
        return await super().held(subject, subscription)


@pytest.mark.asyncio
async def test_others_who_went_on_meanwhile_do_not_hide_it(
    store: Store, store_url: str, short_path: Path
) -> None:
    """Neither another event nor the same one, delivered by Stripe again, makes a duplicate of what was applied."""
    await deliver(Ingest(store, BUILT_IN), event(PLAIN))
    mine = update(PLAIN, UNPAID)
    async with line_to(store_url, short_path) as line:
        deaf = await Deaf.open(line.url, name="test")
        deaf.rival = Ingest(store, BUILT_IN)
        deaf.others = [mine, update(UNPAID, PLAIN, id="evt_3", created=START + 2), mine]
        try:
            line.lose_reply_to(b'"evt_2"')
            assert await deliver(Ingest(deaf, BUILT_IN), mine) == taken("applied", 3, "evt_2")
        finally:
            await deaf.close()
        assert line.lost == 1
    assert len(log_of(store_url)) == 3


class Overtaken(Store):
    """A store in which somebody else's event comes in after each read."""

    rival: Ingest
    reads = 0
    limit = ATTEMPTS

    async def held(self, subject: Subject, subscription: str) -> Held:
        """Read, and let the rival write."""
        found = await super().held(subject, subscription)
        if self.reads < self.limit:
            self.reads += 1
            await deliver(self.rival, event(PLAIN, id=f"evt_rival_{self.reads}"))
        return found


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [ATTEMPTS - 1, ATTEMPTS])
async def test_who_is_overtaken_tries_again_and_not_for_ever(
    store: Store, store_url: str, limit: int
) -> None:
    """Up to the last attempt it succeeds; after it, it is for Stripe to send it again."""
    before = conflicts()
    overtaken = await Overtaken.open(store_url, name="test")
    overtaken.rival, overtaken.limit = Ingest(store, BUILT_IN), limit
    try:
        delivery = deliver(Ingest(overtaken, BUILT_IN), update(PLAIN, UNPAID))
        if limit < ATTEMPTS:
            assert await delivery == taken("applied", ATTEMPTS, "evt_2")
        else:
            with pytest.raises(StoreBusy):
                await delivery
    finally:
        await overtaken.close()
    assert (await store.customer(CUSTOMER)).version == ATTEMPTS
    assert conflicts() - before == limit


@pytest.mark.asyncio
@pytest.mark.parametrize("customers", [1, BURST])
async def test_a_burst_is_taken_in_whole(ingest: Ingest, store: Store, customers: int) -> None:
    """Whether it is about one customer, whose events wait for each other, or about as many; the store is empty."""
    before = conflicts()
    about = [PLAIN | {"id": f"sub_{n}", "customer": f"cus_{n % customers}"} for n in range(BURST)]
    bodies = [event(one, id=f"evt_{n}") for n, one in enumerate(about)]
    receipts = await asyncio.gather(*(deliver(ingest, body) for body in bodies))

    assert {receipt.outcome for receipt in receipts} == {"applied"}
    assert conflicts() == before
    versions = [(await store.customer(Subject(f"cus_{n}"))).version for n in range(customers)]
    assert versions == [BURST // customers] * customers


def conflicts() -> float:
    """Return how many writes have lost a race so far."""
    (value,) = [
        line.split()[1]
        for line in metrics.exposition().decode().splitlines()
        if line.startswith("entitlements_commit_conflicts_total ")
    ]
    return float(value)


@pytest.mark.asyncio
async def test_what_no_replica_confirmed_is_confirmed_when_it_comes_again(
    own_store: EmbeddedStore, short_path: Path
) -> None:
    """Nothing is acknowledged that is not confirmed, a duplicate included."""
    with EmbeddedStore.start(short_path / "replica") as replica:
        replicate(own_store, replica)
        async with (
            opened(own_store.url, durability="replica") as store,
            opened(own_store.url, durability="replica") as other,
        ):
            ingest, elsewhere = Ingest(store, BUILT_IN), Ingest(other, BUILT_IN)
            bodies = [event(PLAIN), event({}, "invoice.paid", id="evt_2")]
            with frozen(replica.pid):
                for process, body in product((ingest, elsewhere), bodies):
                    with pytest.raises(NotDurable):
                        await deliver(process, body)
            found = [await deliver(ingest, body) for body in bodies]
            assert [(receipt.outcome, receipt.first) for receipt in found] == [
                ("duplicate", "applied"),
                ("duplicate", "ignored"),
            ]
