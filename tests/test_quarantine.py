"""What a retry makes of a quarantined event: the same as if it had been understood at once."""

from collections.abc import AsyncGenerator, Sequence
from itertools import permutations

import pytest
import pytest_asyncio

from entitlements.decode import OtherEvent, decode
from entitlements.errors import Conflict, NotFound, StoreUnavailable
from entitlements.ingest import LATE, WRONG_MODE, Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.policy_file import parse
from entitlements.quarantine import discard, foresee, retry
from entitlements.sandbox.shapes import Body
from entitlements.store import audit, quarantine
from entitlements.store.audit import Deed
from entitlements.store.store import NOBODY, Store
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.customers import opened
from tests.support.histories import START
from tests.support.quarantined import OLD_WHY, leave
from tests.support.servers import client

NOW = START + 20
DEED = Deed("ann", "the new version reads it", NOW)
CUSTOMER = Subject("cus_1")
PLAIN, PAUSED = subscription(), subscription(**pausing("void"))
UNPAID = PLAIN | {"status": "unpaid"}
LIFE: Sequence[Body] = (
    event(PLAIN),
    update(PLAIN, PAUSED, id="evt_2", created=START + 1),
    update(PAUSED, UNPAID, id="evt_3", created=START + 2),
)


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """Give an open store in which the built-in policy is in force."""
    async with opened(store_url) as found:
        yield found


@pytest.fixture
def ingest(store: Store) -> Ingest:
    """Return a way into the store."""
    return Ingest(store, BUILT_IN)


async def facts(store: Store) -> list[str]:
    """Return the events held of the subscription, in canonical order."""
    return [fact.event for fact in (await store.held(CUSTOMER, "sub_1")).subscription.facts]


@pytest.mark.asyncio
@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_it_takes_its_place_in_canonical_order(
    store: Store, ingest: Ingest, order: tuple[int, ...]
) -> None:
    """Whichever event had to wait, and for how long, the end is the same."""
    late, *prompt = order
    await leave(store, LIFE[late])
    for n in prompt:
        await ingest.deliver(encoded(LIFE[n]), NOW)

    done = await retry(store, ingest, str(LIFE[late]["id"]), DEED)

    assert (done.customer, done.subscription, done.version) == ("cus_1", "sub_1", 3)
    assert await facts(store) == ["evt_1", "evt_2", "evt_3"]
    (segment,) = (await store.customer(CUSTOMER)).decisions["sub_1"].features["pro"]
    assert (segment.granted, segment.reason) == (False, "unpaid")
    assert await quarantine.count(store) == 0


@pytest.mark.asyncio
async def test_a_retry_is_recorded_and_counts_as_received_then(
    store: Store, ingest: Ingest
) -> None:
    """Before it, no answer knew of the event; the audit says who, when, why and what came of it."""
    await leave(store, LIFE[0])
    assert (await retry(store, ingest, "evt_1", DEED)).outcome == "applied"
    (fact,) = (await store.held(CUSTOMER, "sub_1")).subscription.facts
    assert fact.received_ms == NOW * 1000
    (record,) = await audit.latest(store, 10)
    assert (record.by, record.at, record.reason) == ("ann", NOW, "the new version reads it")
    assert (record.action, record.about, record.outcome) == ("quarantine.retry", "evt_1", "applied")


@pytest.mark.asyncio
async def test_what_is_still_not_understood_stays(store: Store, ingest: Ingest) -> None:
    """With one more attempt and the reason of now; the record of who tried is kept."""
    await leave(store, event(PLAIN | {"items": None}))
    for attempt in (1, 2):
        done = await retry(store, ingest, "evt_1", DEED)
        assert (done.outcome, done.version) == ("quarantined", None)
        waiting, _ = await quarantine.one(store, "evt_1")
        assert (waiting.attempts, waiting.why) == (attempt, done.why)
    assert done.why
    assert done.why != OLD_WHY
    assert [r.outcome for r in await audit.latest(store, 10)] == ["quarantined"] * 2


@pytest.mark.asyncio
async def test_what_says_nothing_of_access_leaves_as_ignored(store: Store, ingest: Ingest) -> None:
    """The mark of its first delivery does not make it a duplicate; what comes after is one."""
    await leave(store, other := event({"id": "in_1"}, "invoice.paid"))
    assert isinstance(decode(encoded(other)), OtherEvent)
    assert (await foresee(store, "evt_1", NOW)).outcome == "ignored"
    assert (await retry(store, ingest, "evt_1", DEED)).outcome == "ignored"
    assert await quarantine.count(store) == 0
    again = await ingest.deliver(encoded(other), NOW)
    assert (again.outcome, again.first) == ("duplicate", "ignored")


@pytest.mark.asyncio
async def test_a_retry_that_was_cut_off_is_harmless(store: Store, ingest: Ingest) -> None:
    """Stored and not taken out: it waits still, and leaves as a duplicate the next time."""
    await leave(store, LIFE[0])
    assert not isinstance(await ingest.readmit(encoded(LIFE[0]), NOW), str)  # and here it ended
    assert await quarantine.count(store) == 1

    assert (await foresee(store, "evt_1", NOW)).outcome == "duplicate"
    done = await retry(store, ingest, "evt_1", DEED)

    assert (done.outcome, done.version) == ("duplicate", 1)
    assert await quarantine.count(store) == 0
    assert await facts(store) == ["evt_1"]


@pytest.mark.asyncio
async def test_an_event_stays_where_it_cannot_be_stored(store: Store, store_url: str) -> None:
    """It is taken out only after the commit is confirmed."""
    await leave(store, LIFE[0])
    with client(store_url) as plain:
        plain.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable):
                await retry(store, Ingest(store, BUILT_IN), "evt_1", DEED)
        finally:
            plain.config_set("maxmemory", 0)
    assert await quarantine.count(store) == 1
    assert await facts(store) == []


@pytest.mark.asyncio
async def test_the_wrong_mode_is_refused_until_it_is_the_right_one(store: Store) -> None:
    """A test event never moves live access, by nobody's hand either."""
    live, test = Ingest(store, BUILT_IN, livemode=True), Ingest(store, BUILT_IN, livemode=False)
    await live.deliver(encoded(LIFE[0]), NOW)

    foreseen = await foresee(store, "evt_1", NOW, livemode=True)
    assert (foreseen.outcome, foreseen.why) == ("quarantined", WRONG_MODE)
    with pytest.raises(Conflict, match="livemode"):
        await retry(store, live, "evt_1", DEED)
    waiting, _ = await quarantine.one(store, "evt_1")
    assert (waiting.attempts, waiting.subject) == (0, "cus_1")
    assert await store.customer(CUSTOMER) == NOBODY

    assert (await retry(store, test, "evt_1", DEED)).outcome == "applied"
    assert await quarantine.count(store) == 0


@pytest.mark.asyncio
async def test_the_pinned_mode_counts_in_a_preview(store: Store, ingest: Ingest) -> None:
    """Which itself pins nothing."""
    await leave(store, event(PLAIN, id="evt_9", livemode=True))
    assert (await foresee(store, "evt_9", NOW)).outcome == "applied"
    assert await store.livemode() is None
    await ingest.deliver(encoded(LIFE[0]), NOW)
    assert (await foresee(store, "evt_9", NOW)).why == WRONG_MODE


@pytest.mark.asyncio
async def test_a_preview_names_who_gains_and_loses_and_writes_nothing(
    store: Store, ingest: Ingest, store_url: str
) -> None:
    """Its outcome is the one that the retry then has."""
    await ingest.deliver(encoded(LIFE[0]), NOW)
    await leave(store, LIFE[2])
    with client(store_url) as plain:
        held = {key: plain.dump(key) for key in plain.scan_iter()}
        foreseen = await foresee(store, "evt_3", NOW)
        assert held == {key: plain.dump(key) for key in plain.scan_iter()}
    (lost,) = foreseen.data
    assert (lost.kind, lost.customer, lost.feature) == ("loses", "cus_1", "pro")
    done = await retry(store, ingest, "evt_3", DEED)
    assert (done.outcome, done.version) == (foreseen.outcome, foreseen.version)


@pytest.mark.asyncio
async def test_a_preview_is_by_the_policy_in_force(store: Store, ingest: Ingest) -> None:
    """Also for a customer who was decided by another one."""
    await ingest.deliver(encoded(LIFE[0]), NOW)
    await leave(store, LIFE[1])
    await store.enforce(parse('pause_collection.void = "revoke"'))
    (lost,) = (await foresee(store, "evt_2", NOW)).data
    assert (lost.kind, lost.becomes.reason) == ("loses", "paused_void")


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [LIFE[0], event({"id": "in_1"}, "invoice.paid")])
async def test_stripe_sending_it_again_settles_it(store: Store, ingest: Ingest, body: Body) -> None:
    """After an upgrade that understands it: it is taken in, not answered `duplicate` for ever."""
    await leave(store, body)
    receipt = await ingest.deliver(encoded(body), START + LATE + 1)
    assert receipt.outcome in {"applied", "ignored"}
    assert await quarantine.count(store) == 0
    (record,) = await audit.latest(store, 10)
    assert (record.by, record.action, record.outcome) == (
        "stripe",
        "quarantine.delivered",
        receipt.outcome,
    )
    assert (await ingest.deliver(encoded(body), START + LATE + 2)).outcome == "duplicate"


@pytest.mark.asyncio
async def test_what_is_discarded_is_gone(store: Store, ingest: Ingest) -> None:
    """With a record; sent again it is known, as long as it is not understood."""
    odd = event(PLAIN | {"items": None})
    await ingest.deliver(encoded(odd), NOW)
    assert (await discard(store, "evt_1", DEED)).event == "evt_1"
    assert await quarantine.count(store) == 0
    (record,) = await audit.latest(store, 10)
    assert (record.action, record.by) == ("quarantine.discard", "ann")
    again = await ingest.deliver(encoded(odd), NOW)
    assert (again.outcome, again.first) == ("duplicate", "quarantined")
    assert await quarantine.count(store) == 0
    for deed in (discard(store, "evt_1", DEED), retry(store, ingest, "evt_1", DEED)):
        with pytest.raises(NotFound):
            await deed
