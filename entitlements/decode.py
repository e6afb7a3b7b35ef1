"""Authentic bytes to our own frozen values. Nothing else knows Stripe's field names.

Reads every API version: periods moved from the subscription to its items in `2025-03-31.basil`, `status_details` came
in `2026-09-30.endive`, and very old items carry a `plan` and no `price`. Unknown event types and unknown fields are
normal; what cannot be read is a value too (`NotUnderstood`), since an authentic event is never dropped.
"""

import json
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from entitlements import wire
from entitlements.errors import BadRequest
from entitlements.model import (
    READ,
    Before,
    Fact,
    Item,
    PauseCollection,
    Snapshot,
    Subject,
    SubscriptionEvent,
)

TYPES = frozenset(
    f"customer.subscription.{name}"
    for name in ("created", "updated", "deleted", "paused", "resumed")
)
"""The event types that speak of access. The others of the family repeat what these say, or foretell it."""


class OtherEvent(Struct, frozen=True):
    """An event of a type that says nothing about access."""

    event: str
    type: str
    created: int
    livemode: bool
    account: str | None = None


class NotUnderstood(Struct, frozen=True):
    """Something authentic that is not an event we can read, with as much of it as could be."""

    why: str
    event: str | None = None
    type: str | None = None


Decoded = SubscriptionEvent | OtherEvent | NotUnderstood


_OF_ACCESS = TYPES | {READ}
_SUBSCRIPTION = b"customer.subscription."
"""What the body of an event about a subscription has in it, in its type; READ, which is our own, need not be quick."""

_READ_FROM_PREVIOUS = frozenset(wire.Old.__struct_fields__)
_event = msgspec.json.Decoder(wire.Event)
_data = msgspec.json.Decoder(wire.Data)
_usual = msgspec.json.Decoder(wire.Usual)
_named = msgspec.json.Decoder(wire.Named)


class Glimpse(NamedTuple):
    """Which event a body is, and what it is about: a quarter of the cost of reading it."""

    event: str
    type: str
    created: int
    account: str | None
    customer: str | None = None
    """Null, as the subscription, of an event that does not speak of access."""
    subscription: str | None = None


def glimpse(body: bytes) -> Glimpse | None:
    """Return what a body is about; null where that cannot be read."""
    try:
        event = _event.decode(body)
        if event.object != "event":
            return None
        seen = Glimpse(event.id, event.type, event.created, event.account)
        if event.type not in _OF_ACCESS:
            return seen
        about = _named.decode(event.data).object
        customer = about.customer if isinstance(about.customer, str) else about.customer.id
        return seen._replace(customer=customer, subscription=about.id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode(body: bytes, metadata_key: str | None = None) -> Decoded:
    """Read one authentic webhook body, and of its metadata one key alone.

    Raises BadRequest where it is not JSON at all.
    """
    try:
        return _at_once(body, metadata_key) or _step_by_step(body, metadata_key)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _not_understood(body, str(error))
    except RecursionError:
        return NotUnderstood("it is nested too deeply to be read")


def _at_once(body: bytes, metadata_key: str | None) -> SubscriptionEvent | None:
    """Read what nearly all events are, in half the time: the body once, and of what was before what we read alone."""
    if _SUBSCRIPTION not in body:
        return None
    try:
        event = _usual.decode(body)
    except msgspec.DecodeError:
        return None
    if event.type not in _OF_ACCESS:
        return None
    previous = event.data.previous_attributes
    before = msgspec.to_builtins(previous) if isinstance(previous, wire.Old) else None
    return _read(event, event.data.object, before, metadata_key)


def _step_by_step(body: bytes, metadata_key: str | None) -> Decoded:
    """Read anything: the envelope first, and what it holds only where that speaks of access."""
    event = _event.decode(body)
    if event.object != "event":
        return NotUnderstood(f"object is {event.object!r}, not 'event'", event.id, event.type)
    if event.type not in _OF_ACCESS:
        return OtherEvent(event.id, event.type, event.created, event.livemode, event.account)
    data = _data.decode(event.data)
    previous = data.previous_attributes
    before = previous if isinstance(previous, dict) else None
    return _read(event, data.object, before, metadata_key)


def _read(
    event: wire.Envelope,
    sent: wire.Subscription,
    previous: dict[str, Any] | None,
    metadata_key: str | None,
) -> SubscriptionEvent:
    customer, request, snapshot = sent.customer, event.request, _snapshot(sent, metadata_key)
    fact = Fact(
        event=event.id,
        type=event.type,
        created=event.created,
        snapshot=snapshot,
        before=None if previous is None else _before(sent, snapshot, previous, metadata_key),
        request=request.id if isinstance(request, wire.Request) else request,
    )
    return SubscriptionEvent(
        fact=fact,
        subject=Subject(customer if isinstance(customer, str) else customer.id, event.account),
        subscription=sent.id,
        livemode=event.livemode,
    )


def _snapshot(sent: wire.Subscription, metadata_key: str | None) -> Snapshot:
    pause = sent.pause_collection
    details = (
        sent.status_details
        and sent.status_details.paused
        and sent.status_details.paused.subscription
    )
    return Snapshot(
        status=sent.status,
        items=tuple(_item(item, sent.current_period_end) for item in sent.items.data),
        pause_collection=PauseCollection(pause.behavior, pause.resumes_at)
        if isinstance(pause, wire.Pause)
        else pause,
        cancel_at=sent.cancel_at,
        cancel_at_period_end=sent.cancel_at_period_end,
        trial_end=sent.trial_end,
        decided=(sent.metadata or {}).get(metadata_key) if metadata_key else None,
        paused_because=details.type if details else None,
        has_more_items=sent.items.has_more,
    )


def _item(sent: wire.Item, period_end: int | None) -> Item:
    price = sent.price or sent.plan
    if price is None or price.product is None:
        raise msgspec.ValidationError(f"item {sent.id} names no product")
    return Item(
        id=sent.id,
        product=price.product if isinstance(price.product, str) else price.product.id,
        price=price.id,
        quantity=1 if sent.quantity is None else sent.quantity,
        lookup_key=price.lookup_key,
        period_end=sent.current_period_end if sent.current_period_end is not None else period_end,
    )


def _before(
    sent: wire.Subscription, after: Snapshot, previous: dict[str, Any], metadata_key: str | None
) -> Before | None:
    """Return what the update changed of the fields we read; null where Stripe's words cannot be read as a state."""
    relevant = {key: value for key, value in previous.items() if key in _READ_FROM_PREVIOUS}
    if not relevant:
        return Before()
    try:
        old = msgspec.convert(_overlay(msgspec.to_builtins(sent), relevant), wire.Subscription)
        before = _snapshot(old, metadata_key)
    except msgspec.ValidationError:
        return None
    return Before.between(before, after)


def _overlay(now: object, previous: object) -> object:
    """Lay old values over a value. Stripe may send a nested object whole or only its changed keys: both come out."""
    if isinstance(now, dict) and isinstance(previous, dict):
        return {**now, **{key: _overlay(now.get(key), value) for key, value in previous.items()}}
    if isinstance(now, list) and isinstance(previous, list):
        return [_overlay(_same(element, i, now), element) for i, element in enumerate(previous)]
    return previous


def _same(element: object, place: int, among: list[object]) -> object:
    """Return what an old list element is an older form of: the one with its id, or in its place."""
    if isinstance(element, dict) and "id" in element:
        return next(
            (a for a in among if isinstance(a, dict) and a.get("id") == element["id"]), None
        )
    return among[place] if place < len(among) else None


def _not_understood(body: bytes, why: str) -> NotUnderstood:
    """Tell JSON that is not an event from what is not JSON. Python's own parser is the more lenient one."""
    try:
        value = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(
            f"The body is not JSON ({error}). Post the event as Stripe sends it."
        ) from error
    except (ValueError, RecursionError) as error:
        return NotUnderstood(f"{why}; {error}")
    fields = value if isinstance(value, dict) else {}
    return NotUnderstood(why, _safe(fields.get("id")), _safe(fields.get("type")))


def _safe(value: object) -> str | None:
    """Return a value if it can stand as an id in keys, logs and answers."""
    try:
        return msgspec.convert(value, wire.Id)
    except msgspec.ValidationError:
        return None
