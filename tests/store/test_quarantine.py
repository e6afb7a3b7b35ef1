"""The quarantine keeps: in order, whole, through trimming, until somebody settles an event; and says who did."""

from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from entitlements.errors import NotFound
from entitlements.store import audit, keys, quarantine
from entitlements.store.audit import Record
from entitlements.store.quarantine import Place
from entitlements.store.retention import trim
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, subscription
from tests.support.histories import START
from tests.support.quarantined import OLD_WHY, leave
from tests.support.servers import client, line_to
from tests.support.stores import opened

BODY = event(subscription())
DEED = Record(at=START, by="ann", action="quarantine.retry", about="evt_1", reason="why not")


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncGenerator[Store]:
    """Give an open, empty store of each kind."""
    async with opened(redis_url) as found:
        yield found


@pytest.mark.asyncio
async def test_it_gives_back_the_very_bytes(store: Store) -> None:
    """And what the log said of them."""
    body = b'{ "id": "evt_1" , "odd": "\\ud800" }'
    await leave(store, body, "evt_1")
    waiting, held = await quarantine.one(store, "evt_1")
    assert held == body
    assert (waiting.event, waiting.type, waiting.received_ms) == (
        "evt_1",
        "unknown",
        (START + 10) * 1000,
    )
    assert (waiting.why, waiting.attempts, waiting.subject) == (OLD_WHY, 0, "")


@pytest.mark.asyncio
async def test_what_does_not_wait_is_named(store: Store) -> None:
    """It never did, or is settled."""
    with pytest.raises(NotFound, match="evt_9 does not wait"):
        await quarantine.one(store, "evt_9")


@pytest.mark.asyncio
async def test_pages_follow_one_another_newest_first(store: Store) -> None:
    """Whatever came in the same millisecond, every event comes once."""
    rng = Random(7)  # noqa: S311  a test's own
    whole = [(START + rng.randrange(3), f"evt_{n}") for n in range(200)]
    for at, name in whole:
        await leave(store, BODY, name, at=at)
    expected = sorted(((at * 1000, name) for at, name in whole), reverse=True)

    found, after = list[Place](), None
    while page := await quarantine.page(store, 7, after):
        found += [Place(waiting.received_ms, waiting.event) for waiting in page]
        after = found[-1]
    assert found == expected
    assert [w.event async for w in quarantine.walk(store)] == [name for _, name in expected]
    assert await quarantine.count(store) == 200


@pytest.mark.asyncio
async def test_trimming_never_drops_what_waits(store: Store) -> None:
    """However old: only a person lets it go. Its line in the log goes as any."""
    for n in range(300):
        await leave(store, BODY, f"evt_{n}")
    await trim(store, (START + 10**9) * 1000)
    assert await quarantine.count(store) == 300
    waiting, body = await quarantine.one(store, "evt_7")
    assert (waiting.event, body) == ("evt_7", encoded(BODY))


@pytest.mark.asyncio
async def test_an_event_that_waits_is_known_though_its_mark_is_gone(
    store: Store, redis_url: str
) -> None:
    """Marks expire, and it is held once all the same."""
    await leave(store, BODY, "evt_1")
    with client(redis_url) as plain:
        plain.delete(keys.event(store.partition("evt_1"), "evt_1"))
    await leave(store, BODY, "evt_1", at=START + 99)
    assert (await quarantine.one(store, "evt_1"))[0].received_ms == (START + 10) * 1000


@pytest.mark.asyncio
async def test_an_attempt_that_failed_is_counted_with_its_reason(store: Store) -> None:
    """The event stays as it is, and the audit has the deed."""
    await leave(store, BODY, "evt_1")
    assert await quarantine.stays(store, "evt_1", "it is still odd", DEED)
    assert await quarantine.stays(store, "evt_1", "it is odder", DEED)
    waiting, body = await quarantine.one(store, "evt_1")
    assert (waiting.attempts, waiting.why, body) == (2, "it is odder", encoded(BODY))
    assert await audit.latest(store, 10) == [DEED, DEED]


@pytest.mark.asyncio
async def test_what_leaves_is_gone_and_recorded_in_one_slot(store: Store, redis_url: str) -> None:
    """It leaves once: who comes too late writes nothing. When it comes again it is known."""
    await leave(store, BODY, "evt_1")
    assert await quarantine.leaves(store, "evt_1", DEED)
    assert not await quarantine.leaves(store, "evt_1", DEED)
    assert not await quarantine.stays(store, "evt_1", "why", DEED)
    assert await quarantine.count(store) == 0
    assert await audit.latest(store, 10) == [DEED]
    p = store.partition("evt_1")
    with client(redis_url) as plain:
        assert not plain.exists(keys.waiting(p, "evt_1"))
        assert plain.get(keys.event(p, "evt_1")) == b"quarantined first_evt_1"
        assert int(plain.ttl(keys.event(p, "evt_1"))) > 34 * 86_400


@pytest.mark.asyncio
async def test_a_lost_reply_settles_once(store_url: str, short_path: Path) -> None:
    """The client sends the script again: one record, and the event is gone."""
    async with line_to(store_url, short_path) as line, opened(line.url) as store:
        await leave(store, BODY, "evt_1")
        await leave(store, BODY, "evt_2")
        await quarantine.leaves(store, "evt_2", DEED)
        line.lose_reply_to(b"why not")
        await quarantine.leaves(store, "evt_1", DEED)
        assert line.lost == 1
        assert await quarantine.count(store) == 0
        assert len(await audit.latest(store, 10)) == 2


@pytest.mark.asyncio
async def test_the_audit_gives_the_latest_of_all_partitions(store: Store) -> None:
    """The newest first, as many as are asked for, and trimmed with the log."""
    records = [
        Record(at=START + n, by="ann", action="x.y", about=f"cus_{n}", reason="r", outcome="ok")
        for n in range(20)
    ]
    for record in records:
        await audit.write(store, record)
    assert await audit.latest(store, 5) == records[:-6:-1]
    await trim(store, 10**15)
    assert await audit.latest(store, 5) == []
