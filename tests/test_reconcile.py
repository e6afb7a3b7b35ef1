"""Reconciling heals what Stripe knows and this service does not, and leaves alone all that is in step."""

import asyncio
from collections.abc import AsyncGenerator
from random import Random

import pytest
import pytest_asyncio
from msgspec.structs import replace

from entitlements.absorb import Held, absorb
from entitlements.decode import decode
from entitlements.errors import BadRequest, Conflict, StripeUnavailable
from entitlements.model import (
    CustomerRecord,
    PauseCollection,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import BUILT_IN, Policy
from entitlements.policy_file import parse
from entitlements.preview import apply
from entitlements.reconcile import Found, Reconciliation, Scope
from entitlements.rehearse import Rehearsal
from entitlements.resolve import entitlement, entitlements
from entitlements.sandbox import subscription as life
from entitlements.sandbox.shapes import Body
from entitlements.store import audit, quarantine
from entitlements.store.store import Store
from tests.support.bodies import encoded, event
from tests.support.bodies import subscription as plain_subscription
from tests.support.histories import START
from tests.support.reconciled import DEED, World, subject, worlds
from tests.support.servers import client

DAY = 86_400
STRICT = parse('pause_collection.keep_as_draft = "revoke"')


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a sandbox and a service."""
    async with worlds(store_url) as found:
        yield found


def causes(found: list[Found]) -> dict[str, str]:
    """Return why each subscription differs."""
    return {one.subscription: one.cause for some in found for one in some.drift}


def dump(url: str) -> dict[bytes, object]:
    """Return every byte that a store holds."""
    with client(url) as plain:
        return {key: plain.dump(key) for key in plain.scan_iter()}


async def reason(store: Store, n: int, at: int, account: str | None = None) -> str:
    """Return why a customer is answered as he is."""
    return entitlement(await store.customer(subject(n, account)), "pro", at).reason


@pytest.mark.asyncio
async def test_each_cause_is_told_and_healed(world: World) -> None:
    """A creation that never came, a pause and an end that never came; the second time nothing is found."""
    first = await world.subscribe(1)
    second = await world.subscribe(2)
    await world.subscribe(3, lost=True)
    await world.subscribe(4)
    world.clock.now = START + DAY
    await world.happens(life.pause_collection(first, "void"), lost=True)
    await world.happens(life.cancel(second, START + DAY), lost=True)
    world.clock.now = START + 2 * DAY
    made, found = await world.reconcile()

    assert causes(found) == {
        "sub_1": "stale_here",
        "sub_2": "stale_here",
        "sub_3": "missing_here",
    }
    drift = {one.subscription: one for some in found for one in some.drift}
    assert (drift["sub_1"].pause_here, drift["sub_1"].status_here) == (None, "active")
    assert drift["sub_1"].pause_there == PauseCollection("void")
    assert (drift["sub_3"].status_here, drift["sub_3"].status_there) == (None, "active")
    sums = made.sums
    assert (sums.looked, sums.in_step, sums.healed, sums.left, sums.complete) == (4, 1, 3, 0, True)
    now = START + 2 * DAY
    assert [await reason(world.store, n, now) for n in (1, 2, 3, 4)] == [
        "paused_void",
        "canceled",
        "active",
        "active",
    ]
    world.clock.now += 60
    again, nothing = await world.reconcile()
    assert (causes(nothing), again.sums.in_step, again.sums.left) == ({}, 4, 0)


@pytest.mark.asyncio
async def test_why_a_subscription_is_paused_is_read_once_where_events_do_not_say(
    world: World,
) -> None:
    """Those of an API version before endive are silent about it; after one healing it is in step."""
    first = await world.subscribe(1)
    world.clock.now = START + DAY
    await world.happens(life.pause(first, START + DAY), version="2026-08-26.dahlia")
    world.clock.now = START + 2 * DAY
    made, found = await world.reconcile()

    ((told,),) = [some.drift for some in found]
    assert (told.cause, told.status_here, told.status_there) == ("stale_here", "paused", "paused")
    assert (told.paused_because_here, told.paused_because_there) == (None, "pause_requested")
    assert [one.field for one in told.differs] == ["status_details.paused.subscription.type"]
    assert made.sums.healed == 1

    world.clock.now += 60
    held = dump(world.url)
    again, nothing = await world.reconcile(Scope(customer="cus_1"))
    after = {key: value for key, value in dump(world.url).items() if b":audit" not in key}
    assert (causes(nothing), again.sums.in_step) == ({}, 1)
    assert after == {key: value for key, value in held.items() if b":audit" not in key}


@pytest.mark.asyncio
async def test_what_is_in_step_is_not_written(world: World) -> None:
    """Not one byte; and a preview writes nothing whatever differs."""
    first = await world.subscribe(1)
    await world.happens(life.pause_collection(first, "void", START + DAY))
    await world.subscribe(2)
    world.clock.now = START + 2 * DAY  # the pause is over by the clock, of which nobody tells
    held = dump(world.url)
    made, found = await world.reconcile(Scope(customer="cus_1"))
    after = {key: value for key, value in dump(world.url).items() if b":audit" not in key}
    assert (causes(found), made.sums.in_step, after) == ({}, 1, held)

    await world.subscribe(3, lost=True)
    held = dump(world.url)
    with Rehearsal(world.store, BUILT_IN, START) as rehearsal:
        _, found = await world.reconcile(apply=False, rehearsal=rehearsal)
        (foreseen,) = [one async for one in rehearsal.consequences()]
    assert causes(found) == {"sub_3": "missing_here"}
    assert [(d.customer, d.kind, d.feature) for d in foreseen.differences] == [
        ("cus_3", "gains", "pro")
    ]
    assert dump(world.url) == held


@pytest.mark.asyncio
async def test_it_is_recorded_who_healed_and_why(world: World) -> None:
    """At its beginning and at its end; and what changed says in the feed that it was no event of Stripe's."""
    await world.subscribe(1, lost=True)
    await world.reconcile(Scope(customer="cus_1"))
    records = await audit.latest(world.store, 10)

    assert {(r.by, r.reason, r.action, r.about) for r in records} == {
        (DEED.by, DEED.reason, "reconcile.apply", "cus_1")
    }
    assert sorted(r.outcome.partition(" ")[2] for r in records) == ["began", "healed 1 of 1"]


@pytest.mark.asyncio
async def test_a_read_overwrites_nothing_that_is_newer(world: World) -> None:
    """What came after the read had begun is held already, and no drift."""
    first = await world.subscribe(1)
    world.clock.now = START + 60
    told = event(
        first | {"status": "unpaid"},
        "customer.subscription.updated",
        id="evt_newer",
        created=START + 90,
    )
    await world.ingest.deliver(encoded(told), START + 90)
    made, found = await world.reconcile()

    assert (causes(found), made.sums.newer_here, made.sums.left) == ({}, 1, 0)
    assert await reason(world.store, 1, START + 100) == "unpaid"


@pytest.mark.asyncio
async def test_what_comes_between_preview_and_writing_stands(world: World) -> None:
    """A read that is written late tells of a past."""
    first = await world.subscribe(1, lost=True)
    world.clock.now = START + 60
    page = await world.api.subscriptions()
    world.clock.now = START + 70
    unpaid = await world.happens(life.past_due(first))
    made = Reconciliation(world.api, world.ingest, Scope(), deed=DEED, clock=world.clock)
    await made._read(page.data)  # noqa: SLF001  a walk that is slow

    assert unpaid["status"] == "past_due"
    assert await reason(world.store, 1, START + 80) == "past_due"
    assert made.sums.newer_here == 1


@pytest.mark.asyncio
async def test_a_doubt_is_settled(world: World) -> None:
    """Two points of one second leave two ends; Stripe knows which."""
    plain = await world.subscribe(1)
    for n, status in enumerate(("paused", "unpaid")):
        kind = f"customer.subscription.{('paused', 'resumed')[n]}"
        told = event(plain | {"status": status}, kind, id=f"evt_{n}", created=START + 5)
        await world.ingest.deliver(encoded(told), START + 6)
    world.sandbox.account.held["subscription"]["sub_1"] = plain | {"status": "unpaid"}
    world.clock.now = START + 20
    _, found = await world.reconcile()

    assert causes(found) == {"sub_1": "stale_here"}
    record = await world.store.customer(subject(1))
    assert (record.decisions["sub_1"].flags, await reason(world.store, 1, START + 20)) == (
        (),
        "unpaid",
    )


@pytest.mark.asyncio
async def test_three_pages_with_another_account_beside(world: World) -> None:
    """Each account by itself, however many pages it has."""
    for n in range(1, 231):
        await world.subscribe(n, lost=n % 3 == 0)
    for n in (1, 500):
        await world.subscribe(n, lost=True, account="acct_1")
    world.clock.now = START + 60
    made, found = await world.reconcile()
    other, there = await world.reconcile(Scope("acct_1"))

    assert (len(causes(found)), made.sums.looked, made.sums.healed) == (76, 230, 76)
    assert (made.sums.cursor, made.sums.complete) == (None, True)
    assert (causes(there), other.sums.looked) == (
        dict.fromkeys(("sub_500", "sub_1"), "missing_here"),
        2,
    )
    assert await reason(world.store, 500, START + 60, "acct_1") == "active"
    assert await reason(world.store, 500, START + 60) == "unknown_customer"
    again = [await world.reconcile(scope) for scope in (Scope(), Scope("acct_1"))]
    assert [(one.sums.left, causes(found)) for one, found in again] == [(0, {}), (0, {})]


@pytest.mark.asyncio
async def test_a_walk_that_is_stopped_goes_on_from_its_cursor(world: World) -> None:
    """And says that it does not know what it has not seen."""
    for n in range(1, 231):
        await world.subscribe(n, lost=True)
    await world.subscribe(500)
    del world.sandbox.account.held["subscription"]["sub_500"]
    stopped, found = await world.reconcile(each=lambda made: made.stop())
    assert (len(causes(found)), stopped.sums.looked, stopped.sums.complete) == (100, 100, False)
    assert stopped.sums.cursor == "sub_131"

    rest, found = await world.reconcile(after=stopped.sums.cursor)
    assert (len(causes(found)), rest.sums.looked, rest.sums.healed) == (130, 130, 130)
    assert rest.sums.complete is False
    whole, found = await world.reconcile()
    assert (whole.sums.complete, causes(found)) == (True, {"sub_500": "gone_there"})


@pytest.mark.asyncio
async def test_what_is_gone_there_is_left_to_a_person(world: World) -> None:
    """It goes on as it is held; what is over here needs not be there."""
    await world.subscribe(1)
    over = await world.happens(life.cancel(await world.subscribe(2), START))
    await world.subscribe(3, account="acct_1")
    world.sandbox.account.held["subscription"].clear()
    world.clock.now = START + 60
    made, found = await world.reconcile()

    assert over["status"] == "canceled"
    (one,) = [one for some in found for one in some.drift]
    assert (one.subscription, one.cause, one.status_here, one.status_there) == (
        "sub_1",
        "gone_there",
        "active",
        None,
    )
    assert (made.sums.left, made.sums.complete) == (1, True)
    assert await reason(world.store, 1, START + 60) == "active"


@pytest.mark.asyncio
async def test_one_customer_is_walked_alone(world: World) -> None:
    """What others have is not looked at, neither here nor there."""
    await world.subscribe(1)
    await world.subscribe(2)
    del world.sandbox.account.held["subscription"]["sub_1"]
    await world.subscribe(3, lost=True)
    of_one, found = await world.reconcile(Scope(customer="cus_1"))
    of_two, nothing = await world.reconcile(Scope(customer="cus_2"))

    assert (causes(found), of_one.sums.looked) == ({"sub_1": "gone_there"}, 0)
    assert (causes(nothing), of_two.sums.looked, of_two.sums.complete) == ({}, 1, True)


@pytest.mark.asyncio
async def test_what_came_during_the_walk_is_asked_for_by_its_id(world: World) -> None:
    """The list did not have it any more, and it is not gone."""
    for n in range(1, 121):
        await world.subscribe(n)
    done = list[Body]()

    def between(_: Reconciliation) -> None:
        if not done:
            body = plain_subscription(id="sub_new", customer="cus_new")
            world.sandbox.account.held["subscription"]["sub_new"] = body
            done.append(body)

    await world.ingest.deliver(
        encoded(event(plain_subscription(id="sub_new", customer="cus_new"), id="evt_new")), START
    )
    world.clock.now = START + 60
    made, found = await world.reconcile(each=between)
    assert (causes(found), made.sums.looked, made.sums.left) == ({}, 121, 0)


@pytest.mark.asyncio
async def test_too_many_that_are_gone_are_another_accounts(
    world: World,
) -> None:
    """Not each of a million is asked for."""
    for n in (1, 2, 3):
        await world.subscribe(n)
    world.sandbox.account.held["subscription"].clear()
    made, found = await world.reconcile(gone=2)

    assert (len(causes(found)), made.sums.complete) == (2, False)
    assert "the key of this account" in made.why[0]


@pytest.mark.asyncio
async def test_another_policy_is_a_drift_of_its_own(world: World) -> None:
    """Whoever is decided by one that is not in force, is told and decided anew; nothing is read in for it."""
    first = await world.subscribe(1)
    await world.happens(life.pause_collection(first, "keep_as_draft"))
    await world.subscribe(2)
    await world.store.enforce(STRICT)
    world.clock.now = START + 60
    foreseen, preview = await world.reconcile(apply=False)
    made, found = await world.reconcile()

    expected = dict.fromkeys(("sub_1", "sub_2"), "different_policy")
    assert causes(preview) == causes(found) == expected
    for some in (preview, found):
        assert [(d.customer, d.kind) for one in some for d in one.differences] == [
            ("cus_1", "loses")
        ]
    assert (foreseen.sums.healed, made.sums.healed, made.sums.left) == (0, 2, 0)
    record = await world.store.customer(subject(1))
    assert (record.policy, entitlement(record, "pro", START + 60).granted) == (STRICT.digest, False)
    assert causes((await world.reconcile())[1]) == {}


@pytest.mark.asyncio
async def test_while_a_policy_is_applied_both_do_the_same(world: World) -> None:
    """Whoever comes first: a customer is decided by it once."""
    for n in range(1, 30):
        await world.subscribe(n)
    await world.store.enforce(STRICT)

    async def put_in_force() -> None:
        async for _ in apply(world.store, STRICT, START, lag=0):
            pass

    _, (made, _) = await asyncio.gather(put_in_force(), world.reconcile())
    assert made.sums.left == 0


@pytest.mark.asyncio
async def test_the_key_of_the_other_mode_is_refused(world: World) -> None:
    """Before anything goes to the quarantine."""
    await world.subscribe(1)
    world.ingest.livemode = True
    with pytest.raises(Conflict, match="livemode=True"):
        await world.reconcile()
    assert await quarantine.count(world.store) == 0


@pytest.mark.asyncio
async def test_what_cannot_be_understood_is_told_and_not_written(world: World) -> None:
    """It would go to the quarantine anew at every walk."""
    body = await world.subscribe(1)
    (item,) = body["items"]["data"]
    bare = item | {"price": {"id": "price_1"}}
    odd = body | {"items": body["items"] | {"data": [bare]}}
    world.sandbox.account.held["subscription"]["sub_1"] = odd
    world.clock.now = START + 60
    held = dump(world.url)
    made, found = await world.reconcile(apply=False)

    assert (causes(found), made.sums.unreadable, made.sums.left) == ({}, 1, 1)
    assert made.why == ["sub_1: item si_1 names no product."]
    assert dump(world.url) == held


@pytest.mark.asyncio
async def test_a_status_that_is_not_known_is_in_step_once_it_is_held(world: World) -> None:
    """What held before goes on, and it is not read in again and again."""
    body = await world.subscribe(1)
    world.sandbox.account.held["subscription"]["sub_1"] = body | {"status": "dormant"}
    world.clock.now = START + 60
    first, found = await world.reconcile()
    world.clock.now = START + 120
    second, nothing = await world.reconcile()

    assert (causes(found), first.sums.left) == ({"sub_1": "stale_here"}, 0)
    assert (causes(nothing), second.sums.in_step) == ({}, 1)
    record = await world.store.customer(subject(1))
    assert record.decisions["sub_1"].flags == ("not_understood",)


@pytest.mark.asyncio
async def test_a_walk_that_fails_says_how_far_it_came(world: World) -> None:
    """And nothing is gone because of it."""
    for n in range(1, 231):
        await world.subscribe(n)
    made = Reconciliation(world.api, world.ingest, Scope(), clock=world.clock)
    walk = made.go()
    await anext(walk)
    world.sandbox.refuse = 1
    with pytest.raises(StripeUnavailable):
        await anext(walk)
    assert (made.sums.cursor, made.sums.looked, made.sums.complete) == ("sub_131", 100, False)


def true_answers(
    bodies: list[Body], at: int, policy: Policy = BUILT_IN
) -> list[tuple[str, bool, str, int]]:
    """Return what is answered about a customer by all that happened, as if every event had come at once."""
    record, colds = CustomerRecord(version=0), dict[str, SubscriptionRecord]()
    for body in bodies:
        told = decode(encoded(body))
        assert isinstance(told, SubscriptionEvent)
        held = Held(record, colds.get(told.subscription, SubscriptionRecord()))
        after = absorb(held, told, policy, at)
        record, colds[told.subscription] = after.customer, after.subscription
    return said(record, at)


def said(record: CustomerRecord, at: int) -> list[tuple[str, bool, str, int]]:
    """Return what is answered about a customer."""
    return [(e.feature, e.granted, e.reason, e.quantity) for e in entitlements(record, at)]


STEPS = (
    lambda s, _: life.pause_collection(s, "void"),
    lambda s, _: life.pause_collection(s, "keep_as_draft"),
    lambda s, at: life.pause_collection(s, "mark_uncollectible", at + DAY),
    lambda s, _: life.unpause(s),
    lambda s, _: life.unpaid(s),
    lambda s, at: life.activate(s, at, "in_1"),
    life.cancel_at_period_end,
    life.cancel,
)


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(6))
async def test_after_it_every_answer_is_the_truth_and_nothing_is_left(
    world: World, seed: int
) -> None:
    """Whatever happened within a month, in two accounts, and whatever of it was lost."""
    rng = Random(seed)  # noqa: S311  a test's own
    for account in (None, "acct_1"):
        for n in range(1, 13):
            world.clock.now = START + n
            body = await world.subscribe(n, lost=rng.random() < 0.5, account=account)
            for _ in range(rng.randrange(5)):
                world.clock.now += rng.choice([1, 3_600, 2 * DAY])
                able = [one for one in (_tried(s, body, world) for s in STEPS) if one]
                if body["status"] != "canceled":
                    body = await world.happens(
                        rng.choice(able), lost=rng.random() < 0.5, account=account
                    )
    world.clock.now = now = START + 20 * DAY
    scopes = Scope(), Scope("acct_1")
    with Rehearsal(world.store, BUILT_IN, now) as rehearsal:
        preview = [await world.reconcile(s, apply=False, rehearsal=rehearsal) for s in scopes]
    healed = [await world.reconcile(scope) for scope in scopes]
    assert [causes(found) for _, found in preview] == [causes(found) for _, found in healed]
    assert any(causes(found) for _, found in healed)
    for account in (None, "acct_1"):
        for customer, bodies in (await world.truth(account)).items():
            record = await world.store.customer(
                replace(subject(0), customer=customer, account=account)
            )
            assert said(record, now) == true_answers(bodies, now), customer
    world.clock.now += 60
    for made, found in [await world.reconcile(scope) for scope in scopes]:
        assert (causes(found), made.sums.in_step, made.sums.left) == ({}, 12, 0)


def _tried(step: object, body: Body, world: World) -> life.Change | None:
    try:
        found: life.Change = step(body, int(world.clock.now))  # type: ignore[operator]  # one of STEPS
    except BadRequest:
        return None
    return found
