"""Authentic bytes to facts: every API version, and everything that is not an event we know."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import wire
from entitlements.decode import TYPES, NotUnderstood, OtherEvent, decode
from entitlements.errors import BadRequest
from entitlements.model import (
    Before,
    Fact,
    Item,
    PauseCollection,
    Snapshot,
    Subject,
    SubscriptionEvent,
)
from entitlements.sandbox.shapes import LATEST, Body, in_version
from entitlements.sandbox.subscription import replaced
from tests.support.bodies import (
    BASIL,
    BEFORE_BASIL,
    encoded,
    event,
    pausing,
    subscription,
    update,
)
from tests.support.histories import KIND, MONTH, START

PLAIN = subscription()
END = START + MONTH
PRO = Item("si_1", "pro", "price_pro", period_end=END)


def read(body: Body, metadata_key: str | None = None) -> SubscriptionEvent:
    """Decode an event that says what a subscription is like."""
    found = decode(encoded(body), metadata_key)
    assert isinstance(found, SubscriptionEvent), found
    return found


def snapshot(about: Body, metadata_key: str | None = None) -> Snapshot:
    """Return what an event says of a subscription."""
    return read(event(about), metadata_key).fact.snapshot


def before(now: Body, previous: object) -> Before | None:
    """Return what an update says it changed, by its `previous_attributes`."""
    data = {"object": now, "previous_attributes": previous}
    return read(update(PLAIN, now, data=data)).fact.before


def with_item(**fields: object) -> Body:
    """Return the subscription with other fields in its item."""
    item = PLAIN["items"]["data"][0] | fields
    return PLAIN | {"items": PLAIN["items"] | {"data": [item]}}


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_an_event_says_what_the_subscription_is_like(kind: str) -> None:
    """Each of the five types that speak of access becomes a fact."""
    assert read(event(PLAIN, kind)) == SubscriptionEvent(
        fact=Fact("evt_1", kind, START, Snapshot("active", (PRO,), pause_collection=None)),
        subject=Subject("cus_1"),
        subscription="sub_1",
        livemode=False,
    )


@pytest.mark.parametrize("version", [BEFORE_BASIL, BASIL, LATEST])
@pytest.mark.parametrize("pause", [{}, pausing("void", END)])
def test_every_api_version_says_the_same(version: str, pause: Body) -> None:
    """Whether periods stand on the subscription or on its items, the snapshot is one."""
    body = subscription(**pause)
    assert snapshot(in_version(body, version)) == snapshot(body)


def test_an_items_own_period_comes_before_the_subscriptions() -> None:
    """Where both are there, the item knows better."""
    assert snapshot(PLAIN | {"current_period_end": START}).items == (PRO,)


def test_what_is_expanded_counts_by_its_id() -> None:
    """A customer or a product may come as a whole object."""
    item = PLAIN["items"]["data"][0]
    whole = with_item(price=item["price"] | {"product": {"id": "pro", "object": "product"}})
    found = read(event(whole | {"customer": {"id": "cus_1", "object": "customer"}}))
    assert (found.subject, found.fact.snapshot) == (Subject("cus_1"), snapshot(PLAIN))


def test_an_old_item_has_a_plan_and_no_price() -> None:
    """Before prices there were plans, with the same fields."""
    assert snapshot(with_item(price=None)) == snapshot(PLAIN)
    assert snapshot(without(PLAIN, "items", "data", 0, "price")) == snapshot(PLAIN)


def test_a_metered_item_counts_as_one() -> None:
    """Metered items have no quantity; an item of none at all stays none."""
    assert snapshot(with_item(quantity=None)).items[0].quantity == 1
    assert snapshot(with_item(quantity=0)).items[0].quantity == 0


def test_all_that_decides_is_read() -> None:
    """Every field that policy may look at comes through."""
    found = snapshot(
        with_item(quantity=7, price=PLAIN["items"]["data"][0]["price"] | {"lookup_key": "pro_m"})
        | {"status": "paused", "cancel_at": END, "cancel_at_period_end": True, "trial_end": START}
        | {"status_details": {"paused": {"subscription": {"type": "pause_requested"}}}}
        | pausing("mark_uncollectible", END)
    )
    assert found == Snapshot(
        status="paused",
        items=(Item("si_1", "pro", "price_pro", 7, "pro_m", END),),
        pause_collection=PauseCollection("mark_uncollectible", END),
        cancel_at=END,
        cancel_at_period_end=True,
        trial_end=START,
        paused_because="pause_requested",
    )


@pytest.mark.parametrize(
    "details", [None, {}, {"paused": None}, {"paused": {"subscription": None}}]
)
def test_status_details_may_be_empty_at_any_depth(details: object) -> None:
    """Without a reason there is none."""
    assert snapshot(PLAIN | {"status_details": details}).paused_because is None


def test_no_pause_is_not_the_same_as_nothing_said_of_it() -> None:
    """A null `pause_collection` says that collection goes on; without the key nothing is said."""
    silent = {key: value for key, value in PLAIN.items() if key != "pause_collection"}
    assert snapshot(PLAIN).pause_collection is None
    assert snapshot(silent).pause_collection is msgspec.UNSET
    assert snapshot(subscription(**pausing())).pause_collection == PauseCollection("void")


@pytest.mark.parametrize(
    ("metadata", "decided"),
    [({"access": "grant", "b": "c"}, "grant"), ({"b": "c"}, None), ({}, None), (None, None)],
)
def test_of_metadata_one_key_is_read(metadata: object, decided: str | None) -> None:
    """The policy names the key; whatever else a company keeps there is not kept here."""
    assert snapshot(PLAIN | {"metadata": metadata}, "access").decided == decided
    assert snapshot(PLAIN | {"metadata": metadata}).decided is None


@pytest.mark.parametrize(
    ("now", "previous", "was"),
    [
        ({"access": "grant"}, {"access": None}, Before(decided=None)),
        ({}, {"access": "grant"}, Before(decided="grant")),
        ({"access": "grant"}, {"access": "revoke"}, Before(decided="revoke")),
        ({"access": "grant"}, {"b": "c"}, Before()),
    ],
)
def test_what_metadata_said_before(now: Body, previous: Body, was: Before) -> None:
    """Of metadata Stripe tells the changed keys alone, and null of those that are new."""
    about = PLAIN | {"metadata": now}
    data = {"object": about, "previous_attributes": {"metadata": previous}}
    assert read(update(PLAIN, about, data=data), "access").fact.before == was


def test_a_list_of_items_that_goes_on_is_known() -> None:
    """Stripe shortens long lists: `has_more` says so."""
    assert snapshot(PLAIN | {"items": PLAIN["items"] | {"has_more": True}}).has_more_items


def test_a_connected_account_is_part_of_whose_it_is() -> None:
    """`account` on the event names it."""
    assert read(event(PLAIN, account="acct_1")).subject == Subject("cus_1", "acct_1")


@pytest.mark.parametrize(
    ("given", "found"),
    [({"id": "req_1"}, "req_1"), ({"id": None}, None), ("req_1", "req_1"), (None, None)],
)
def test_the_request_behind_an_event_is_known(given: object, found: str | None) -> None:
    """Old API versions name it by a string, later ones by an object; Stripe's own acts have none."""
    assert read(event(PLAIN, request=given)).fact.request == found


def test_an_event_that_does_not_say_what_it_changed() -> None:
    """Only `previous_attributes` says what there was before; null is as good as nothing."""
    assert read(event(PLAIN)).fact.before is None
    assert before(PLAIN, None) is None


@pytest.mark.parametrize(
    ("now", "previous", "was"),
    [
        (pausing("void"), {"pause_collection": None}, Before(pause_collection=None)),
        (
            {},
            {"pause_collection": {"behavior": "void", "resumes_at": None}},
            Before(pause_collection=PauseCollection("void")),
        ),
        (
            pausing("void", END),
            {"pause_collection": {"resumes_at": None}},
            Before(pause_collection=PauseCollection("void")),
        ),
        (
            pausing("void", END),
            {"pause_collection": {"behavior": "keep_as_draft"}},
            Before(pause_collection=PauseCollection("keep_as_draft", END)),
        ),
        ({"status": "paused"}, {"status": "active"}, Before(status="active")),
        ({}, {"metadata": {"a": "b"}, "latest_invoice": "in_0"}, Before()),
        ({}, {"status": "active"}, Before()),
        (
            {},
            {"items": {"data": [{"id": "si_1", "current_period_end": START}]}},
            Before(items=(msgspec.structs.replace(PRO, period_end=START),)),
        ),
        (
            {},
            {"items": {"data": [{"id": "si_1", "price": {"id": "price_lite", "product": "lite"}}]}},
            Before(items=(Item("si_1", "lite", "price_lite", period_end=END),)),
        ),
        (
            {},
            {"items": {"data": [{"quantity": 3}]}},
            Before(items=(msgspec.structs.replace(PRO, quantity=3),)),
        ),
        (
            {},
            {"items": {"data": [{"id": "si_0", "price": {"id": "price_lite", "product": "lite"}}]}},
            Before(items=(Item("si_0", "lite", "price_lite"),)),
        ),
        ({}, {"items": {"data": []}}, Before(items=())),
        ({}, {"items": {"has_more": True}}, Before(has_more_items=True)),
    ],
)
def test_previous_attributes_may_be_whole_or_only_what_changed(
    now: Body, previous: Body, was: Before
) -> None:
    """Nested objects come whole, or with their changed keys alone: the state before is the same."""
    assert before(PLAIN | now, previous) == was


def test_a_period_that_moved_before_basil() -> None:
    """Old versions tell of a renewal by the subscription's own period."""
    old = in_version(PLAIN, BEFORE_BASIL)
    new = old | {"current_period_end": END + MONTH}
    assert before(new, {"current_period_end": END}) == Before(items=(PRO,))


@pytest.mark.parametrize(
    "previous",
    [
        {"status": 5},
        {"status": "not an id"},
        {"items": None},
        {"items": {"data": [5]}},
        {"items": {"data": [{"id": "si_0"}]}},
        {"items": {"data": [{"quantity": 1}, {"quantity": 2}]}},
        {"pause_collection": "void"},
        {"cancel_at": "soon"},
    ],
)
def test_previous_attributes_that_make_no_state_say_nothing(previous: Body) -> None:
    """What it is like now is still known; what it was before is not."""
    assert before(PLAIN, previous) is None


@pytest.mark.parametrize(
    "kind", ["invoice.paid", f"{KIND}trial_will_end", f"{KIND}pending_update_applied", "a.b.c"]
)
@pytest.mark.parametrize("data", [{"object": {}}, {}, [], None, 5])
def test_other_types_are_normal(kind: str, data: object) -> None:
    """Of a type that says nothing about access nothing is asked but an envelope."""
    found = decode(encoded(event({}, kind, data=data, account="acct_1")))
    assert found == OtherEvent("evt_1", kind, START, livemode=False, account="acct_1")


def replacing(body: Body, path: tuple[str | int, ...], value: object) -> Any:  # noqa: ANN401  JSON
    """Return a copy of a body with another value at a path."""
    root = {"": deepcopy(body)}
    inner: Any = root
    *steps, last = ("", *path)
    for step in steps:
        inner = inner[step]
    inner[last] = value
    return root[""]


def without(body: Body, *path: str | int) -> Body:
    """Return a copy of a body that lacks what stands at a path."""
    copy = deepcopy(body)
    inner: Any = copy
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return copy


DEEP = b'{"id":"evt_1","type":"customer.subscription.updated","created":1,"livemode":false,"data":'

ODD: dict[str, tuple[bytes, str | None, str | None]] = {
    "thin event": (
        encoded(event(PLAIN, object="v2.core.event")),
        "evt_1",
        f"{KIND}created",
    ),
    "thin event without the old fields": (
        b'{"id":"evt_1","object":"v2.core.event","type":"v1.billing.meter.no_meter_found"}',
        "evt_1",
        "v1.billing.meter.no_meter_found",
    ),
    "array": (b"[]", None, None),
    "string": (b'"evt_1"', None, None),
    "number": (b"1", None, None),
    "null": (b"null", None, None),
    "NaN": (b"NaN", None, None),
    "empty object": (b"{}", None, None),
    "subscription": (encoded(PLAIN), "sub_1", None),
    "no id": (encoded(without(event(PLAIN), "id")), None, f"{KIND}created"),
    "id of spaces": (encoded(event(PLAIN, id="evt 1")), None, f"{KIND}created"),
    "id with an end of line": (encoded(event(PLAIN, id="evt_1\n")), None, f"{KIND}created"),
    "id over 255": (encoded(event(PLAIN, id="e" * 256)), None, f"{KIND}created"),
    "id of another kind": (encoded(event(PLAIN, id=1)), None, f"{KIND}created"),
    "no type": (encoded(without(event(PLAIN), "type")), "evt_1", None),
    "no created": (encoded(without(event(PLAIN), "created")), "evt_1", f"{KIND}created"),
    "created in milliseconds": (
        encoded(event(PLAIN, created=START * 1000)),
        "evt_1",
        f"{KIND}created",
    ),
    "no livemode": (encoded(without(event(PLAIN), "livemode")), "evt_1", f"{KIND}created"),
    "no data": (encoded(without(event(PLAIN), "data")), "evt_1", f"{KIND}created"),
    "no customer": (
        encoded(without(event(PLAIN), "data", "object", "customer")),
        "evt_1",
        f"{KIND}created",
    ),
    "no status": (
        encoded(without(event(PLAIN), "data", "object", "status")),
        "evt_1",
        f"{KIND}created",
    ),
    "no items": (
        encoded(without(event(PLAIN), "data", "object", "items")),
        "evt_1",
        f"{KIND}created",
    ),
    "no product": (encoded(event(with_item(price=None, plan=None))), "evt_1", f"{KIND}created"),
    "no behavior": (
        encoded(event(PLAIN | {"pause_collection": {}})),
        "evt_1",
        f"{KIND}created",
    ),
    "deep array": (b"[" * 100_000 + b"]" * 100_000, None, None),
    "deep data": (DEEP + b"[" * 100_000 + b"]" * 100_000 + b"}", None, None),
    "lone surrogate": (b'{"id":"evt_\\ud800","type":"\\udfff"}', None, None),
    "huge number": (b'{"id":"evt_1","created":' + b"1" * 5_000 + b"}", None, None),
    "large number": (b'{"id":"evt_1","created":' + b"1" * 50 + b"}", "evt_1", None),
}


@pytest.mark.parametrize(("body", "name", "kind"), ODD.values(), ids=ODD)
def test_what_is_json_and_no_event_is_kept_as_such(
    body: bytes, name: str | None, kind: str | None
) -> None:
    """It is not understood, says why, and keeps an id and a type that can stand as such."""
    found = decode(body)
    assert isinstance(found, NotUnderstood)
    assert (found.event, found.type) == (name, kind)
    assert found.why


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"evt_1", b"{'id': 1}", b"{}x", b"\xff", b'{"id":"\xff"}', b"<xml/>"]
)
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    """Stripe never sends it, so sending it again cannot help."""
    with pytest.raises(BadRequest, match="not JSON"):
        decode(body)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["evt_1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def storable(body: bytes) -> None:
    """Decode a body; fail unless the outcome can be written down."""
    try:
        found = decode(body)
    except BadRequest as error:
        str(error).encode()
    else:
        assert msgspec.json.encode(found)


@given(json_values)
def test_any_json_is_decoded_or_refused(value: object) -> None:
    """Nothing but BadRequest ever comes out, and what is found can be stored."""
    storable(json.dumps(value).encode())


spliced = st.binary(max_size=3).map(lambda odd: encoded(event(PLAIN)).replace(b"_1", odd))


@given(st.binary() | st.text().map(str.encode) | spliced)
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    """Likewise of what is no JSON."""
    storable(body)


PATHS: list[tuple[str | int, ...]] = [
    (),
    *((key,) for key in event(PLAIN)),
    ("data", "object"),
    ("data", "previous_attributes"),
    *(("data", "object", key) for key in PLAIN),
    *(("data", "object", "items", key) for key in PLAIN["items"]),
    *(("data", "object", "items", "data", 0, key) for key in PLAIN["items"]["data"][0]),
    *(("data", "previous_attributes", key) for key in PLAIN),
]


@given(st.sampled_from(PATHS), json_values | st.characters(categories=["Cs", "Cc"]))
def test_an_event_with_anything_anywhere_is_decoded(
    path: tuple[str | int, ...], value: object
) -> None:
    """One strange value in an event never raises, wherever it stands."""
    data = {"object": PLAIN, "previous_attributes": {}}
    storable(json.dumps(replacing(update(PLAIN, PLAIN, data=data), path, value)).encode())


def test_what_was_before_is_read_of_all_that_is_read_now() -> None:
    """Of the same fields, but for those that never change."""
    now = set(wire.Subscription.__struct_fields__)
    assert set(wire.Old.__struct_fields__) == now - {"id", "customer", "object"}
    assert set(wire.OldItem.__struct_fields__) == set(wire.Item.__struct_fields__)
    assert set(wire.OldItems.__struct_fields__) == set(wire.Items.__struct_fields__)
    assert set(wire.OldPrice.__struct_fields__) == set(wire.Price.__struct_fields__)


@given(st.sampled_from(PATHS), json_values, st.sampled_from(["cus_1", {"id": "cus_1"}]))
def test_at_once_or_step_by_step_comes_to_the_same(
    path: tuple[str | int, ...], value: object, customer: object
) -> None:
    """Of an event with its type spelt out, read at once, and with an escape in it, which is read step by step."""
    previous = PLAIN | {"metadata": {"access": "on"}, "pause_collection": {"behavior": "void"}}
    now = PLAIN | {"customer": customer}
    usual = update(PLAIN, now, data={"object": now, "previous_attributes": previous})
    body = json.dumps(replacing(usual, path, value)).encode()
    assert outcome(body) == outcome(body.replace(b"customer.sub", rb"customer\u002esub"))


def outcome(body: bytes) -> object:
    """Decode a body; return what comes of it."""
    try:
        return decode(body, "access")
    except BadRequest as error:
        return type(error)


# -- The law: an update's state before it is the state that the update before it left.

ids = st.sampled_from(["si_1", "si_2", "si_3"])
names = st.sampled_from(["pro", "lite", "seats"])
instants = st.integers(START, START + 3 * MONTH)


@st.composite
def items(draw: st.DrawFn) -> dict[str, object]:
    """Draw the items of a subscription."""
    template = PLAIN["items"]["data"][0]
    found = []
    for name in draw(st.lists(ids, min_size=1, max_size=3, unique=True)):
        product = draw(names)
        price = template["price"] | {"id": f"price_{product}", "product": product}
        price |= {"lookup_key": draw(st.none() | names)}
        own = {"id": name, "quantity": draw(st.none() | st.integers(0, 3)), "price": price}
        found.append(template | own | {"current_period_end": draw(instants)})
    listed: dict[str, object] = PLAIN["items"]
    return listed | {"data": found, "has_more": draw(st.booleans())}


reasons = st.sampled_from(["pause_requested", "trial_end"])
subscriptions = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["active", "trialing", "past_due", "paused", "unheard_of"]),
        "items": items(),
        "pause_collection": st.none()
        | st.fixed_dictionaries(
            {
                "behavior": st.sampled_from(["void", "keep_as_draft", "unheard_of"]),
                "resumes_at": st.none() | instants,
            }
        ),
        "cancel_at": st.none() | instants,
        "cancel_at_period_end": st.booleans(),
        "trial_end": st.none() | instants,
        "status_details": st.none()
        | reasons.map(lambda reason: {"paused": {"subscription": {"type": reason}}}),
        "metadata": st.dictionaries(names | st.just("access"), names),
    }
).map(lambda fields: subscription(**fields))


def only_changed(old: Any, new: Any) -> Any:  # noqa: ANN401  JSON
    """Return old values as sparely as Stripe may: of objects the changed keys, of a list's elements too."""
    if isinstance(old, dict) and isinstance(new, dict):
        changed = {key for key in {**old, **new} if old.get(key) != new.get(key)}
        return {key: only_changed(old.get(key), new.get(key)) for key in sorted(changed)}
    if isinstance(old, list) and isinstance(new, list):
        held = {element["id"]: element for element in new}
        return [e if e["id"] not in held else _spare(e, held[e["id"]]) for e in old]
    return old


def _spare(old: Body, new: Body) -> Body:
    changed: Body = only_changed(old, new)
    return {"id": old["id"]} | changed


def whole(old: Body, new: Body) -> Body:
    """Return old values with nested objects whole; of metadata, which has no fixed keys, the changed ones."""
    told, spare = replaced(old, new), only_changed(old, new)
    return told | {key: spare[key] for key in told if key == "metadata"}


@given(
    st.sampled_from([BEFORE_BASIL, BASIL, LATEST]),
    subscriptions,
    subscriptions,
    st.sampled_from([whole, only_changed]),
)
def test_the_state_before_an_update_is_the_old_state(
    version: str, was: Body, now: Body, told: Callable[[Body, Body], Body]
) -> None:
    """From what an update shows and says it replaced, the state before it follows exactly."""
    old, new = in_version(was, version), in_version(now, version)
    data = {"object": new, "previous_attributes": told(old, new)}
    fact = read(update(old, new, data=data), "access").fact
    assert fact.snapshot == snapshot(new, "access")
    assert fact.snapshot_before() == snapshot(old, "access")
