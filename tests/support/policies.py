"""Policies made by hypothesis, only such as the parser accepts, and lives that give each of their rules a say."""

from collections.abc import Iterable
from itertools import product
from typing import Literal

from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.fold import fold
from entitlements.model import Item, PauseCollection, Snapshot, State
from entitlements.policy import (
    BEHAVIORS,
    BUILT_IN,
    DAY,
    GRANT,
    PAUSABLE,
    PAUSED_REASONS,
    STATUSES,
    UNKNOWN,
    Access,
    Cell,
    Grant,
    Policy,
    Scope,
)
from tests.support.histories import MONTH, START, Life, changes, lives, pauses, snapshot

PRODUCTS, PRICES, LOOKUP_KEYS = ("pro", "lite"), ("price_a", "price_b"), ("monthly", "yearly")
NAMES = (*PRODUCTS, *PRICES, *LOOKUP_KEYS)
FEATURES = ("pro", "lite", "seats", "beta")
HAVE_PAID_PERIOD = ("canceled", "paused")
DECIDED_BY = "access_while_paused"

spans = st.integers(0, 60 * DAY)
words = st.text(min_size=1, max_size=8).filter(str.strip)
"""What can stand where a file names something: any text that is more than white space."""


Start = Literal["now", "period_end"]
NOW: tuple[Start, ...] = ("now",)
ANY_TIME: tuple[Start, ...] = ("now", "period_end")
HELD: tuple[Access, ...] = ("grant", "revoke")
GRACES = (0, 1, 3600, DAY, 7 * DAY, MONTH)

Table = dict[str, Cell]


def cells(starts: Iterable[Start], graces: Iterable[int]) -> st.SearchStrategy[Cell]:
    """Return the cells that can begin so, and have such a grace."""
    when = list(product(starts, graces))
    revokes = [Cell("revoke", *begins) for begins in when]
    reviews = [Cell("review", *begins, held) for begins in when for held in HELD]
    return st.sampled_from([GRANT, *revokes, *reviews])


_anyhow, _soon, _fixed = cells(ANY_TIME, GRACES), cells(NOW, GRACES), cells(NOW, [0])


def _table(names: Iterable[str], cells: st.SearchStrategy[Cell]) -> st.SearchStrategy[Table]:
    return st.dictionaries(st.sampled_from([*names]), cells, max_size=3)


_statuses = st.builds(
    dict.__or__,
    _table([s for s in STATUSES if s not in HAVE_PAID_PERIOD], _soon),
    _table(HAVE_PAID_PERIOD, _anyhow),
)
_paused, _pauses = _table(PAUSED_REASONS, _anyhow), _table(BEHAVIORS, _anyhow)
_unknown = _table(UNKNOWN, _fixed)
_pauses_in = st.dictionaries(st.sampled_from(PAUSABLE), _pauses.filter(bool), max_size=2)
_names = st.one_of(
    st.tuples(st.just("product"), st.sampled_from(PRODUCTS) | words),
    st.tuples(st.just("price"), st.sampled_from(PRICES) | words),
    st.tuples(st.just("lookup_key"), st.sampled_from(LOOKUP_KEYS) | words),
)


@st.composite
def _scopes(draw: st.DrawFn) -> tuple[Scope, ...]:
    named = draw(st.lists(_names, max_size=3, unique=True))
    return tuple(
        Scope(
            status=draw(_statuses),
            paused=draw(_paused),
            pause_collection=draw(_pauses),
            pause_collection_in=draw(_pauses_in),
            unknown=draw(_unknown),
            **{field: name},
        )
        for field, name in named
    )


_grants = st.builds(Grant, st.sampled_from(FEATURES), st.integers(1, 9))
_features = st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=8),
    st.lists(_grants, max_size=3).map(tuple),
    max_size=3,
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a whole policy, as a file can state it over the built-in one."""
    return Policy(
        status=BUILT_IN.status | draw(_statuses),
        paused=draw(_paused),
        pause_collection=BUILT_IN.pause_collection | draw(_pauses),
        pause_collection_in=draw(_pauses_in),
        unknown=draw(_unknown),
        scopes=draw(_scopes()),
        features=draw(_features),
        metadata_key=draw(st.none() | st.just(DECIDED_BY) | words),
        ambiguous=draw(st.sampled_from(["grant", "revoke"])),
        stale_ttl=draw(spans),
        log_retention=draw(spans),
    )


_items = st.builds(
    Item,
    id=st.sampled_from(["si_1", "si_2", "si_3"]),
    product=st.sampled_from(PRODUCTS),
    price=st.sampled_from(PRICES),
    quantity=st.integers(0, 5),
    lookup_key=st.none() | st.sampled_from(LOOKUP_KEYS),
    period_end=st.none() | st.integers(START, START + 3 * MONTH),
)
_carts = st.lists(_items, min_size=1, max_size=3, unique_by=lambda item: item.id).map(tuple)
_words = st.none() | st.sampled_from(["grant", "revoke", "perhaps"])
_reasons = st.none() | st.sampled_from([*PAUSED_REASONS, "a_new_reason"])


@st.composite
def _changes(draw: st.DrawFn, old: Snapshot) -> Snapshot:
    """Draw what one change makes of a state, of all that a policy can have a rule about."""
    kind = draw(_kinds)
    if kind == "plain":
        return draw(changes(old))
    if kind == "ending":
        return replace(old, cancel_at_period_end=not old.cancel_at_period_end)
    if kind == "status":
        return replace(old, status="hibernating")
    if kind == "paused":
        return replace(old, status="paused", paused_because=draw(_reasons))
    if kind == "pausing":
        return replace(old, status=draw(_pausable), pause_collection=draw(_pausings))
    return replace(old, **{kind: draw(_FIELDS[kind])})


_FIELDS = {"items": _carts, "decided": _words}
_kinds = st.sampled_from(["plain", "ending", "status", "paused", "pausing", *_FIELDS])
_pausable = st.sampled_from(PAUSABLE)
_pausings = pauses | st.just(PauseCollection("postpone"))


_firsts = st.builds(
    lambda status, items, word: snapshot(status, items=items, decided=word),
    st.sampled_from([*STATUSES[:3], "incomplete", "hibernating"]),
    _carts,
    _words,
)


def wide_lives(most: int = 6) -> st.SearchStrategy[Life]:
    """Return lives of several items, with metadata, reasons of pauses, and values that are not known."""
    return lives(most=most, first=_firsts, change=_changes)


def state_of(life: Life, policy: Policy = BUILT_IN) -> State:
    """Return the state that a life ends in."""
    state = fold(life.facts, policy)[1]
    assert state
    return state


states = wide_lives().map(state_of)
