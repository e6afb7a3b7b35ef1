"""A short run of the crashes, and proof that their judge is awake; `python -m tests.crash` makes the long run."""

from collections.abc import AsyncGenerator, Callable
from random import Random
from typing import Any

import pytest
import pytest_asyncio
import redis

from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.sandbox.event import encoded
from entitlements.sandbox.peer import Reply
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from tests.crash.__main__ import report
from tests.crash.check import Log, faults
from tests.crash.load import Ledger
from tests.crash.rounds import run
from tests.crash.world import KINDS
from tests.support.bodies import event, pausing, subscription, update
from tests.support.histories import START
from tests.support.lives import events_of
from tests.support.servers import client
from tests.support.stores import opened

SEED, ROUNDS = 7, 3
P = keys.partition("cus_1", keys.PARTITIONS)
LOG, HOT = keys.shared(P, "log"), keys.customer(P, Subject("cus_1"))
COLD = keys.subscription(P, Subject("cus_1"), "sub_1")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_nothing_acknowledged_is_lost_to_a_kill(kind: str) -> None:
    """Services and store are killed under load: each event is held once, and every answer is that of its fold."""
    found = run(kind, ROUNDS, SEED)

    said = report(kind, SEED, found)
    assert found.wrong == [], said
    assert f"seed {SEED}" in said
    assert sum(n for name, n in found.counted.items() if name.startswith("kill: ")) == ROUNDS
    assert found.counted["acknowledged"] > found.counted["events"]


PLAIN = subscription()
BODIES = [event(PLAIN), update(PLAIN, PLAIN | pausing("void"))]


@pytest_asyncio.fixture
async def taken_in(store_url: str) -> AsyncGenerator[str]:
    """Give the URL of a store that has taken in a customer who pauses."""
    async with opened(store_url) as store:
        for body in BODIES:
            await Ingest(store, BUILT_IN).deliver(encoded(body), START)
    yield store_url


def forgets(plain: redis.Redis) -> None:
    """Drop an event from the log."""
    found: Any = plain.xrange(LOG)
    plain.xdel(LOG, found[0][0])


def doubles(plain: redis.Redis) -> None:
    """Have an event in the log twice."""
    found: Any = plain.xrange(LOG)
    plain.xadd(LOG, found[0][1])


def halves(plain: redis.Redis) -> None:
    """Leave the cold record as if the write had stopped before it."""
    plain.delete(COLD)


def denies(plain: redis.Redis) -> None:
    """Decide otherwise."""
    held: Any = plain.get(HOT)
    plain.set(HOT, held.replace(b"true", b"false"))


def takes_off(plain: redis.Redis) -> None:
    """Take the customer off a list."""
    plain.delete(keys.shared(P, "paused"))


@pytest.mark.asyncio
async def test_an_undisturbed_store_is_found_in_order(taken_in: str) -> None:
    """The judge has nothing to say of what one delivery after the other left."""
    log = Log()
    assert [*log.read(taken_in), *log.missing(["evt_1", "evt_2"])] == []
    assert await faults(taken_in, BODIES, log) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (forgets, "evt_1 is in the log 0 times"),
        (doubles, "evt_1 is in the log 2 times"),
        (halves, "sub_1 has other facts"),
        (denies, "is decided otherwise"),
        (takes_off, "('paused', 'cus_1 sub_1'): is None"),
    ],
)
async def test_whatever_is_wrong_is_found(
    taken_in: str, harm: Callable[[redis.Redis], None], said: str
) -> None:
    """A store that is harmed in one place is not in order."""
    with client(taken_in) as plain:
        harm(plain)
    log = Log()
    found = [*log.read(taken_in), *log.missing(["evt_1", "evt_2"])]
    found += await faults(taken_in, BODIES, log)
    assert any(said in what for what in found), found


@pytest.mark.asyncio
async def test_what_was_read_once_and_is_gone_is_found(taken_in: str) -> None:
    """A log that shrinks has lost something, whatever is written to it later."""
    log = Log()
    assert list(log.read(taken_in)) == []
    with client(taken_in) as plain:
        forgets(plain)
        plain.xadd(LOG, {"event": "evt_3", "received_ms": 1})
    (said,) = log.read(taken_in)
    assert said == f"{LOG} had 3 entries, and has 2"


def ok(outcome: str) -> Reply:
    """Return the answer to a delivery that was taken."""
    return Reply(200, {"outcome": outcome})


@pytest.mark.parametrize(
    ("replies", "wrong"),
    [
        ([ok("applied"), ok("duplicate")], ""),
        ([ok("duplicate"), ok("applied")], "lost, and then applied anew"),
        ([ok("applied"), ok("applied")], "lost, and then applied anew"),
        ([None, Reply(503, {}), ok("applied")], ""),
        ([Reply(400, {"detail": "No."})], "was answered 400: No."),
    ],
)
def test_answers_that_do_not_go_together_are_found(replies: list[Reply | None], wrong: str) -> None:
    """What was acknowledged is a duplicate from then on; nothing but a 503 or silence is a reason to send it again."""
    ledger = Ledger()
    for reply in replies:
        ledger.hears("evt_1", reply, before=ledger.sends("evt_1"))
    assert [wrong in what for what in ledger.wrong] == [True] * bool(wrong)


def test_two_at_once_are_not_both_the_first() -> None:
    """Of deliveries that were under way together one alone may say anything but duplicate."""
    ledger = Ledger()
    befores = [ledger.sends("evt_1"), ledger.sends("evt_1")]
    for before in befores:
        ledger.hears("evt_1", ok("applied"), before=before)
    assert ledger.wrong == ["evt_1 was applied and also applied"]


def test_the_load_is_the_same_for_a_seed() -> None:
    """A run can be made again: the same lives in the same order."""

    def lives() -> list[Body]:
        return list(events_of(Random(SEED), "cus_1", 4))  # noqa: S311  a test's own

    assert lives() == lives()
