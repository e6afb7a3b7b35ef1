"""How a cold record is written: JSON, as short as it can be while a person can still read it.

What a subscription is like repeats from fact to fact: an event tells the state that the one before it left. So each
state is written once, and facts point at it by its place: at the state after the event, and at the one before it where
the event says what it changed. States point at items in the same way, of which little but the period changes.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import astuple

from entitlements.errors import StoreError
from entitlements.model import (
    Before,
    Fact,
    Item,
    Outcome,
    Pause,
    PauseCollection,
    Snapshot,
    State,
    SubscriptionRecord,
)

NOTHING = SubscriptionRecord()
Form = TypeVar("Form")
_FAMILY = "customer.subscription."


class _Fact(Struct, frozen=True, array_like=True):
    event: str
    type: str
    """Within its family by its last word alone."""
    created: int
    snapshot: int
    before: int | None
    request: str | None
    received_ms: int
    delivery: str
    outcome: Outcome


class _Item(Struct, frozen=True, array_like=True):
    id: str
    product: str
    price: str
    lookup_key: str | None


class _Line(Struct, frozen=True, array_like=True):
    item: int
    period_end: int | None
    quantity: int


class _Snapshot(Struct, frozen=True, omit_defaults=True):
    status: str
    items: list[_Line] = []
    pause_collection: PauseCollection | UnsetType | None = UNSET
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    trial_end: int | None = None
    decided: str | None = None
    paused_because: str | None = None
    has_more_items: bool = False


class _State(Struct, frozen=True, omit_defaults=True):
    at: int
    snapshot: int
    status_since: int
    paid_until: dict[str, int] = {}
    pause: Pause | None = None
    not_understood: str | None = None
    held_before: bool = True
    ambiguous: bool = False


class _Cold(Struct, frozen=True, omit_defaults=True):
    v: Literal[1]
    """The version of this form."""
    items: list[_Item] = []
    snapshots: list[_Snapshot] = []
    facts: list[_Fact] = []
    state: _State | None = None
    base: _State | None = None
    settled: int = 0


class _Id(Struct, frozen=True, array_like=True):
    event: str


class _Base(Struct, frozen=True):
    at: int


class _Known(Struct, frozen=True):
    """As little of it as tells which events are held: the rest is passed over."""

    v: Literal[1]
    facts: list[_Id] = []
    base: _Base | None = None


class Known(NamedTuple):
    """Which events a record holds."""

    events: frozenset[str]
    begins: int
    """Up to and with this second, older ones were folded away; -1 where none was."""


class _Places:
    """Where states and items stand in what is written."""

    def __init__(self) -> None:
        self.items: dict[_Item, int] = {}
        self.snapshots: dict[Snapshot, int] = {}

    def of(self, snapshot: Snapshot) -> int:
        return self.snapshots.setdefault(snapshot, len(self.snapshots))

    def line(self, item: Item) -> _Line:
        only = _Item(item.id, item.product, item.price, item.lookup_key)
        place = self.items.setdefault(only, len(self.items))
        return _Line(place, item.period_end, item.quantity)


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Cold)
_known = msgspec.json.Decoder(_Known)
UNKNOWN = Known(frozenset(), -1)


def encode(record: SubscriptionRecord) -> bytes:
    """Return a record as it is stored."""
    places = _Places()
    facts = [_fact_to(fact, places) for fact in record.facts]
    state, base = _state_to(record.state, places), _state_to(record.base, places)
    snapshots = [_snapshot_to(snapshot, places) for snapshot in places.snapshots]
    return _encode(_Cold(1, list(places.items), snapshots, facts, state, base, record.settled))


def decode(raw: bytes | str | None) -> SubscriptionRecord:
    """Return the record that was stored, an empty one where none was.

    Raises StoreError where it is of another form than this version's.
    """
    if raw is None:
        return NOTHING
    cold = _read(raw, _decoder)
    snapshots = [_snapshot_from(snapshot, cold.items) for snapshot in cold.snapshots]
    return SubscriptionRecord(
        tuple(_fact_from(fact, snapshots) for fact in cold.facts),
        _state_from(cold.state, snapshots),
        _state_from(cold.base, snapshots),
        cold.settled,
    )


def known(raw: bytes | str | None) -> Known:
    """Return which events a record holds, at a tenth of the cost of reading it. Raises StoreError likewise."""
    if raw is None:
        return UNKNOWN
    cold = _read(raw, _known)
    return Known(frozenset(fact.event for fact in cold.facts), cold.base.at if cold.base else -1)


def _read(raw: bytes | str, decoder: msgspec.json.Decoder[Form]) -> Form:
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"A subscription's record cannot be read ({error}). A later version may have written it: use that one."
        ) from error


def _fact_to(fact: Fact, places: _Places) -> _Fact:
    before = fact.snapshot_before()
    return _Fact(
        fact.event,
        fact.type.removeprefix(_FAMILY),
        fact.created,
        places.of(fact.snapshot),
        None if before is None else places.of(before),
        fact.request,
        fact.received_ms,
        fact.delivery,
        fact.outcome,
    )


def _fact_from(fact: _Fact, snapshots: Sequence[Snapshot]) -> Fact:
    after = snapshots[fact.snapshot]
    return Fact(
        fact.event,
        fact.type if "." in fact.type else _FAMILY + fact.type,
        fact.created,
        after,
        None if fact.before is None else Before.between(snapshots[fact.before], after),
        fact.request,
        fact.received_ms,
        fact.delivery,
        fact.outcome,
    )


def _snapshot_to(snapshot: Snapshot, places: _Places) -> _Snapshot:
    status, items, *rest = astuple(snapshot)
    return _Snapshot(status, [places.line(item) for item in items], *rest)


def _snapshot_from(snapshot: _Snapshot, items: Sequence[_Item]) -> Snapshot:
    status, lines, *rest = astuple(snapshot)
    return Snapshot(status, tuple(_item_from(items[line.item], line) for line in lines), *rest)


def _item_from(item: _Item, line: _Line) -> Item:
    return Item(item.id, item.product, item.price, line.quantity, item.lookup_key, line.period_end)


def _state_to(state: State | None, places: _Places) -> _State | None:
    if state is None:
        return None
    at, snapshot, *rest = astuple(state)
    return _State(at, places.of(snapshot), *rest)


def _state_from(state: _State | None, snapshots: Sequence[Snapshot]) -> State | None:
    if state is None:
        return None
    at, snapshot, *rest = astuple(state)
    return State(at, snapshots[snapshot], *rest)
