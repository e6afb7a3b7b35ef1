"""What one event changed of a subscription: before and after, as values and in words. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import UNSET, Struct
from msgspec.structs import asdict

from entitlements.model import Item, PauseCollection, Snapshot

When = Callable[[int], str]
"""Writes an instant (Unix seconds) for people."""

_PLAIN = {
    "status": "status",
    "paused_because": "status_details.paused.subscription.type",
    "pause_collection": "pause_collection",
    "cancel_at": "cancel_at",
    "cancel_at_period_end": "cancel_at_period_end",
    "trial_end": "trial_end",
    "decided": "metadata",
    "has_more_items": "items.has_more",
}
"""Our fields, and what each is at Stripe."""

_OF_ITEM = {"product": "product", "price": "price", "quantity": "quantity"} | {
    "lookup_key": "lookup_key",
    "period_end": "current_period_end",
}
_INSTANTS = ("cancel_at", "trial_end", "current_period_end")


class Changed(Struct, frozen=True):
    """One field that became another value. Instants are Unix seconds."""

    field: str
    """By Stripe's name: `status`, `items.si_1.quantity`."""
    before: Any
    """Null where there was nothing."""
    after: Any


def changed(before: Snapshot | None, after: Snapshot) -> tuple[Changed, ...]:
    """Return what differs between two states of a subscription; everything where there was none before."""
    return (*_fields(before, after), *_items(before.items if before else (), after.items))


def said(changes: Sequence[Changed], when: When) -> str:
    """Return what was changed as one sentence, without its full stop."""
    return "; ".join(_said(change, when) for change in changes) or "nothing that decides access"


def _fields(before: Snapshot | None, after: Snapshot) -> Iterator[Changed]:
    for name, field in _PLAIN.items():
        now = getattr(after, name)
        old = getattr(before, name) if before else None
        if now is not UNSET and (old or None) != (now or None):  # false, unset and null: nothing
            yield Changed(field, old or None, now or None)


def _items(before: Sequence[Item], after: Sequence[Item]) -> Iterator[Changed]:
    old, new = ({item.id: _shown(item) for item in items} for items in (before, after))
    for name in dict.fromkeys((*old, *new)):
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            yield Changed(f"items.{name}", was, now)
        else:
            yield from (
                Changed(f"items.{name}.{field}", was[field], now[field])
                for field in now
                if was[field] != now[field]
            )


def _shown(item: Item) -> dict[str, Any]:
    given = asdict(item)
    return {field: given[name] for name, field in _OF_ITEM.items()}


def _said(change: Changed, when: When) -> str:
    was, now = (_value(change.field, value, when) for value in (change.before, change.after))
    name = {"pause_collection": "collection"}.get(change.field, change.field)
    if change.before is None:
        return f"{name} {now}"
    if change.after is None:
        gone = {"collection": "no longer paused"}.get(name, f"no longer {was}")
        return f"{name} removed" if isinstance(change.before, dict) else f"{name} {gone}"
    return f"{name} {was} -> {now}"


def _value(field: str, value: object, when: When) -> str:
    if isinstance(value, PauseCollection):
        until = "unset" if value.resumes_at is None else when(value.resumes_at)
        return f"paused with {value.behavior} until {until}"
    if isinstance(value, dict):
        held = ((name, one) for name, one in value.items() if one is not None)
        return "added: " + ", ".join(f"{name} {_value(name, one, when)}" for name, one in held)
    if isinstance(value, int) and field.endswith(_INSTANTS):
        return when(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
