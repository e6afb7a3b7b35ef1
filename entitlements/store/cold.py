"""How a cold record is written: JSON, as short as it can be while a person can still read it.

What a subscription is like repeats from fact to fact: an event tells the state that the one before it left. So each
state is written once, and facts point at it by its place: at the state after the event, and at the one before it where
the event says what it changed.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from entitlements.errors import StoreError
from entitlements.model import Before, Fact, Outcome, Pause, Snapshot, State, SubscriptionRecord

NOTHING = SubscriptionRecord()
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
    snapshots: list[Snapshot] = []
    facts: list[_Fact] = []
    state: _State | None = None
    base: _State | None = None


Place = Callable[[Snapshot], int]

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Cold)


def encode(record: SubscriptionRecord) -> bytes:
    """Return a record as it is stored."""
    places: dict[Snapshot, int] = {}

    def place(snapshot: Snapshot) -> int:
        return places.setdefault(snapshot, len(places))

    cold = _Cold(
        v=1,
        snapshots=[],
        facts=[_fact_to(fact, place) for fact in record.facts],
        state=_state_to(record.state, place),
        base=_state_to(record.base, place),
    )
    return _encode(msgspec.structs.replace(cold, snapshots=list(places)))


def decode(raw: bytes | str | None) -> SubscriptionRecord:
    """Return the record that was stored, an empty one where none was.

    Raises StoreError where it is of another form than this version's.
    """
    if raw is None:
        return NOTHING
    try:
        cold = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"A subscription's record cannot be read ({error}). A later version may have written it: use that one."
        ) from error
    return SubscriptionRecord(
        tuple(_fact_from(fact, cold.snapshots) for fact in cold.facts),
        _state_from(cold.state, cold.snapshots),
        _state_from(cold.base, cold.snapshots),
    )


def _fact_to(fact: Fact, place: Place) -> _Fact:
    before = fact.snapshot_before()
    return _Fact(
        fact.event,
        fact.type.removeprefix(_FAMILY),
        fact.created,
        place(fact.snapshot),
        None if before is None else place(before),
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


def _state_to(state: State | None, place: Place) -> _State | None:
    return None if state is None else _State(**asdict(state) | {"snapshot": place(state.snapshot)})


def _state_from(state: _State | None, snapshots: Sequence[Snapshot]) -> State | None:
    if state is None:
        return None
    return State(**asdict(state) | {"snapshot": snapshots[state.snapshot]})
