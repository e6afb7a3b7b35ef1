"""What is told of a paused subscription agrees with what every door answers about its customer."""

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.absorb import Held as Before
from entitlements.absorb import absorb
from entitlements.decode import decode
from entitlements.model import (
    CustomerRecord,
    Override,
    PauseCollection,
    Review,
    Subject,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.pauses import COLUMNS, Access, Held, Paused, Wanted, pause_there, paused, row
from entitlements.policy import BUILT_IN, DAY, Cell, Policy
from entitlements.resolve import entitlement
from entitlements.sandbox.shapes import Body
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.histories import MONTH, START, snapshot

PAID = START + MONTH
PLAIN, CUSTOMER = subscription(), Subject("cus_1")
ASKED = replace(
    BUILT_IN,
    pause_collection={
        **BUILT_IN.pause_collection,
        "void": Cell("review", start="period_end", while_pending="grant"),
    },
)


def held(*bodies: Body, policy: Policy = BUILT_IN, **record: object) -> Held:
    """Return what is held of `sub_1` after some events about its customer's subscriptions."""
    customer, colds = CustomerRecord(version=0), dict[str, SubscriptionRecord]()
    for body in bodies:
        told = decode(encoded(body), policy.metadata_key)
        assert isinstance(told, SubscriptionEvent)
        before = Before(customer, colds.get(told.subscription, SubscriptionRecord()))
        after = absorb(before, told, policy, START)
        customer, colds[told.subscription] = after.customer, after.subscription
    return Held("an_id", CUSTOMER, "sub_1", replace(customer, **record), colds["sub_1"])


def of(
    behavior: str = "void", resumes_at: int | None = None, **fields: object
) -> tuple[Body, Body]:
    """Return the events of a subscription whose collection was paused a second after it was created."""
    plain = PLAIN | fields
    return event(plain), update(plain, plain | pausing(behavior, resumes_at))


def told(found: Paused | None) -> tuple[Access, str, str | None, int | None]:
    """Return what is told of access."""
    assert found
    return found.access, found.reason, found.rule, found.until


def test_it_says_what_is_paused_since_when_until_when_and_what_that_means() -> None:
    """Every field, at a moment of the period that was paid for."""
    found = paused(held(*of(resumes_at=PAID + DAY)), BUILT_IN, START + DAY)

    assert found
    (answer,) = found.features
    assert found == Paused(
        id="an_id",
        account=None,
        customer="cus_1",
        subscription="sub_1",
        status="active",
        behavior="void",
        since=START + 1,
        resumes_at=PAID + DAY,
        access="granted",
        reason="paused_void",
        rule="pause_collection.void",
        until=PAID,
        days_given_away=0,
        products=("pro",),
        prices=("price_pro",),
        features=(answer,),
    )
    assert dict(zip(COLUMNS, row(found), strict=True)) == {
        "account": None,
        "customer": "cus_1",
        "subscription": "sub_1",
        "status": "active",
        "behavior": "void",
        "since": START + 1,
        "resumes_at": PAID + DAY,
        "access": "granted",
        "reason": "paused_void",
        "rule": "pause_collection.void",
        "until": PAID,
        "days_given_away": 0,
        "products": "pro",
        "prices": "price_pro",
        "features": "pro",
        "flags": "",
    }


@pytest.mark.parametrize(
    ("at", "access"),
    [(START + 1, ("granted", PAID)), (PAID - 1, ("granted", PAID)), (PAID, ("denied", PAID + DAY))],
)
def test_access_is_what_the_doors_answer(at: int, access: tuple[str, int]) -> None:
    """At every moment of the pause."""
    one = held(*of(resumes_at=PAID + DAY))
    found = paused(one, BUILT_IN, at)

    assert found
    assert (found.access, found.until) == access
    assert found.features == (entitlement(one.customer, "pro", at),)


def test_a_pause_that_is_over_by_the_clock_is_not_told() -> None:
    """No event comes when `resumes_at` passes, so the list still has it."""
    one = held(*of(resumes_at=PAID + DAY))
    assert paused(one, BUILT_IN, PAID + DAY - 1)
    assert paused(one, BUILT_IN, PAID + DAY) is None


@pytest.mark.parametrize(
    "after",
    [
        {"pause_collection": None},
        pausing("void") | {"status": "unpaid"},
        pausing("void") | {"status": "canceled"},
    ],
)
def test_what_is_not_paused_or_not_in_use_is_not_told(after: Body) -> None:
    """It may still be on the list by the time that it is read."""
    changed = update(PLAIN | pausing("void"), PLAIN | after, id="evt_3", created=START + 2)
    assert paused(held(*of(), changed), BUILT_IN, START + 3) is None


def test_what_is_not_held_is_not_told() -> None:
    """It went between the list and the records."""
    nothing = Held("an_id", CUSTOMER, "sub_1", CustomerRecord(version=0), SubscriptionRecord())
    assert paused(nothing, BUILT_IN, START) is None


def test_what_waits_for_a_person_is_pending_whatever_holds_meanwhile() -> None:
    """Until somebody decides it, or has decided for this feature in another way."""
    asked = held(*of(), policy=ASKED)
    grant = held(*of(), policy=ASKED, reviews={"sub_1": Review("grant", START + 1, "a test")})
    deny = held(*of(), policy=ASKED, overrides={"pro": Override("deny", "a test")})

    assert told(paused(asked, ASKED, PAID)) == (
        "pending",
        "review_pending",
        "pause_collection.void",
        None,
    )
    assert told(paused(grant, ASKED, PAID))[:2] == ("granted", "review_grant")
    assert told(paused(deny, ASKED, PAID)) == ("denied", "override_deny", "override.deny", None)
    for one, days in ((asked, 3), (grant, 3), (deny, 3)):
        found = paused(one, ASKED, PAID + 3 * DAY)
        assert found
        assert found.days_given_away == days


def test_another_subscription_may_be_why_access_is_granted() -> None:
    """Then the answer names it."""
    other = event(subscription(id="sub_2"), id="evt_9")
    found = paused(held(*of(), other), BUILT_IN, PAID)

    assert told(found) == ("granted", "active", "status.active", None)
    assert found
    assert found.features[0].subscription == "sub_2"


def test_several_features_come_to_one_word() -> None:
    """Granted where any is; those of other subscriptions are not told."""
    two = subscription()
    (item,) = two["items"]["data"]
    more = item | {"id": "si_2", "price": item["price"] | {"id": "price_lite", "product": "lite"}}
    body = two | {"items": two["items"] | {"data": [item, more]}}
    one = held(
        event(body),
        update(body, body | pausing("void")),
        event(subscription(id="sub_2") | {"status": "unpaid"}, id="evt_9"),
        overrides={"lite": Override("deny", "a test"), "other": Override("grant", "a test")},
    )
    found = paused(one, BUILT_IN, START + DAY)

    assert told(found) == ("granted", "paused_void", "pause_collection.void", PAID)
    assert found
    assert [(e.feature, e.granted) for e in found.features] == [("lite", False), ("pro", True)]
    assert found.products == ("pro", "lite")
    assert row(found)[-4:] == ("pro lite", "price_pro price_lite", "lite pro", "")


def test_a_subscription_without_items_grants_nothing() -> None:
    """And says so."""
    empty = PLAIN["items"] | {"data": []}
    found = paused(held(*of(items=empty)), BUILT_IN, START + 2)
    assert told(found) == ("denied", "unknown_feature", None, None)


def test_a_behaviour_that_is_not_known_is_told_as_it_is() -> None:
    """What held before goes on, and the flag says why."""
    before = PLAIN | pausing("mark_uncollectible")
    odd = update(before, PLAIN | pausing("vanish"), id="evt_3", created=START + 2)
    found = paused(held(*of("mark_uncollectible"), odd), BUILT_IN, START + 3)

    assert found
    assert (found.behavior, found.reason, found.flags) == (
        "vanish",
        "unknown_behavior",
        ("not_understood",),
    )
    status = update(before, before | {"status": "vanished"}, id="evt_3", created=START + 2)
    found = paused(held(*of("mark_uncollectible"), status), BUILT_IN, START + 3)
    assert found
    assert found.behavior == "mark_uncollectible"


def test_stripes_clock_may_be_ahead_of_ours() -> None:
    """Then the present is what Stripe has sent, here as at every door."""
    found = paused(held(*of()), BUILT_IN, START - 60)
    assert told(found)[:2] == ("granted", "paused_void")


@pytest.mark.parametrize(
    ("wanted", "is_"),
    [
        (Wanted(), True),
        (Wanted(behavior="void"), True),
        (Wanted(behavior="keep_as_draft"), False),
        (Wanted(access="granted"), True),
        (Wanted(access="pending"), False),
        (Wanted(product="pro"), True),
        (Wanted(product="lite"), False),
        (Wanted(resumes_within=MONTH), True),
        (Wanted(resumes_within=MONTH - DAY - 1), False),
        (Wanted(account="acct_1"), False),
        (Wanted(behavior="void", access="granted", product="pro", resumes_within=MONTH), True),
        (Wanted(behavior="void", access="denied", product="pro", resumes_within=MONTH), False),
    ],
)
def test_filters_ask_for_all_of_what_they_say(wanted: Wanted, is_: bool) -> None:  # noqa: FBT001  a parameter of the test
    """Each by itself and together."""
    found = paused(held(*of(resumes_at=PAID)), BUILT_IN, START + DAY)
    assert found
    assert wanted.includes(found, START + DAY) is is_
    assert Wanted(account="acct_1").includes(replace(found, account="acct_1"), START) is True


def test_a_pause_without_an_end_does_not_resume_within_any_time() -> None:
    """However long it is."""
    found = paused(held(*of()), BUILT_IN, START + DAY)
    assert found
    assert found.resumes_at is None
    assert not Wanted(resumes_within=10**9).includes(found, START)
    assert found.features[0].flags is UNSET


def test_stripes_own_word_is_read_by_the_same_rule() -> None:
    """In use, and not over by the clock."""
    void = PauseCollection("void", PAID)
    paused_there = snapshot(pause_collection=void)

    assert pause_there(paused_there, PAID - 1) == void
    assert pause_there(paused_there, PAID) is None
    assert pause_there(replace(paused_there, status="unpaid"), START) is None
    assert pause_there(snapshot(), START) is None
    assert pause_there(replace(paused_there, pause_collection=UNSET), START) is None
