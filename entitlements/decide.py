"""State and policy to a decision: for each feature a timeline of who may use it when, and by which rule.

Every rule is a function of an instant. A timeline is that function, asked at each instant where it can change.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from entitlements.fold import ENDS_USE, lapsed, paid_until
from entitlements.model import (
    CUT_OFF,
    PENDING,
    Decision,
    Item,
    Pause,
    Segment,
    State,
    Timeline,
)
from entitlements.order import FINAL
from entitlements.policy import PAUSABLE, Cell, Policy

UNSTATED = "unknown"
"""The rule of a segment whose value nobody knows, and for which the policy states nothing."""

DECIDED = ("grant", "revoke")
"""What support can write into the policy's metadata key."""


End = TypeVar("End")


class Verdict(NamedTuple):
    """What holds at one instant, and which rule says so."""

    granted: bool
    reason: str
    rule: str


class Term(NamedTuple):
    """A cell of the policy, and from when it counts for one item."""

    cell: Cell
    reason: str
    rule: str
    effect: int
    """When a `revoke` or a `review` takes effect; until then access is granted."""


def decide(state: State, policy: Policy) -> Decision:
    """Return the decision on one subscription, valid from `state.at` until its next event."""
    features: dict[str, Timeline] = {}
    for item in state.snapshot.items:
        said = timeline(state, item, policy)
        for grant in policy.grants(item):
            mine = tuple(times(segment, grant.quantity) for segment in said)
            known = features.get(grant.feature)
            features[grant.feature] = either(known, mine) if known else mine
    return Decision(
        as_of=state.at, features=features, flags=flags(state, policy), since=since(state)
    )


def since(state: State) -> int:
    """Return when what a person may have to review began: the pause that holds, or else the status."""
    pause = _pause_at(state, state.at)
    return pause.since if pause else state.status_since


def flags(state: State, policy: Policy) -> tuple[str, ...]:
    """Return what a person should know of this decision: doubts, assumptions and values that we do not know."""
    word = _word(state, policy)
    found = {
        "ambiguous": state.ambiguous,
        "not_understood": state.not_understood is not None,
        "metadata_not_understood": word not in {None, *DECIDED},
        "pause_start_assumed": state.pause is not None and state.pause.assumed,
        CUT_OFF: state.snapshot.has_more_items,
    }
    return tuple(name for name, holds in found.items() if holds)


def timeline(state: State, item: Item, policy: Policy) -> Timeline:
    """Return one item's timeline from `state.at` on: ordered, and no two neighbours alike."""
    instants = {state.at} | {t for t in _changes(state, item, policy) if t > state.at}
    return minimal(
        Segment(t, *verdict(state, item, policy, t), item.quantity) for t in sorted(instants)
    )


def verdict(state: State, item: Item, policy: Policy, at: int) -> Verdict:
    """Return what holds for one item at an instant not before `state.at`."""
    if kind := _unknown(state):
        return _by_what_is_unknown(kind, state, item, policy, at)
    return _by_what_is_known(state, item, policy, at)


def _by_what_is_unknown(kind: str, state: State, item: Item, policy: Policy, at: int) -> Verdict:
    """Go on as before, unless the policy says otherwise or nothing is held."""
    reason, rule = f"unknown_{kind}", UNSTATED
    if cell := policy.unknown_cell(item, kind):
        return _judge(Term(cell, reason, f"unknown.{kind}", state.at), at)
    before = state.held_before and _by_what_is_known(state, item, policy, at).granted
    return Verdict(before, reason, rule)


def _by_what_is_known(state: State, item: Item, policy: Policy, at: int) -> Verdict:
    """Status and pause must both grant; where both do, the pause is what is worth telling."""
    ended = _ends(state, item, policy)
    if ended and at >= ended[0]:
        return _judge(ended[1], at)
    pause = _pause_at(state, at)
    standing = _decided(state, pause, policy) or _judge(_standing(state, item, policy), at)
    if not standing.granted or pause is None or standing.rule == "metadata":
        return standing
    return _judge(_pausing(state, pause, item, policy), at)


def _judge(term: Term, at: int) -> Verdict:
    """Ask one cell what holds at an instant."""
    if term.cell.access == "grant" or at < term.effect:
        return Verdict(granted=True, reason=term.reason, rule=term.rule)
    if term.cell.access == "revoke":
        return Verdict(granted=False, reason=term.reason, rule=term.rule)
    return Verdict(term.cell.while_pending == "grant", PENDING, term.rule)


def _decided(state: State, pause: Pause | None, policy: Policy) -> Verdict | None:
    """Return what support wrote into the subscription's metadata, which counts while it is paused."""
    word = _word(state, policy)
    if word not in DECIDED or (pause is None and state.snapshot.status != "paused"):
        return None
    return Verdict(word == "grant", f"metadata_{word}", "metadata")


def _word(state: State, policy: Policy) -> str | None:
    """Return what the subscription's metadata says under the policy's key; null for a policy without one."""
    return state.snapshot.decided if policy.metadata_key else None


def _standing(state: State, item: Item, policy: Policy) -> Term:
    """Return the term of the status."""
    status = state.snapshot.status
    cell = policy.status_cell(item, status, state.snapshot.paused_because)
    effect = _takes_effect(cell, state.status_since, state.paid_until.get(item.id))
    return Term(cell, status, f"status.{status}", effect)


def _pausing(state: State, pause: Pause, item: Item, policy: Policy) -> Term:
    """Return the term of a pause of collection."""
    cell = policy.pause_cell(item, state.snapshot.status, pause.behavior)
    effect = _takes_effect(cell, pause.since, pause.paid_until.get(item.id))
    return Term(cell, f"paused_{pause.behavior}", f"pause_collection.{pause.behavior}", effect)


def _ends(state: State, item: Item, policy: Policy) -> tuple[int, Term] | None:
    """Return when the subscription is certain to be canceled, and what that will mean.

    By `cancel_at`, or at the period's end where only `cancel_at_period_end` says so.
    """
    now = state.snapshot
    ends = (i.period_end for i in now.items if i.period_end is not None)
    end = (
        max(ends, default=None)
        if now.cancel_at is None and now.cancel_at_period_end
        else now.cancel_at
    )
    if end is None or now.status in FINAL:
        return None
    cell, ending = policy.status_cell(item, "canceled"), now.status in ENDS_USE
    paid = state.paid_until if ending else paid_until(now, state.pause, end)
    effect = _takes_effect(cell, end, paid.get(item.id))
    return end, Term(cell, "canceled", "status.canceled", effect)


def _pause_at(state: State, at: int) -> Pause | None:
    """Return the pause that holds at an instant. Stripe sends no event when `resumes_at` passes."""
    pause = state.pause
    if pause is None or state.snapshot.status not in PAUSABLE or lapsed(pause, at):
        return None
    return pause


def _takes_effect(cell: Cell, since: int, paid_until: int | None) -> int:
    """Return when a `revoke` or `review` begins. Where nothing is known to be paid it begins at once."""
    start = since if cell.start == "now" or paid_until is None else max(since, paid_until)
    return start + cell.grace


def _changes(state: State, item: Item, policy: Policy) -> Iterator[int]:
    """Yield the instants at which the verdict can change."""
    if not state.held_before:
        return
    if ended := _ends(state, item, policy):
        yield from (ended[0], ended[1].effect)
    yield _standing(state, item, policy).effect
    if pause := state.pause:
        yield _pausing(state, pause, item, policy).effect
        if pause.resumes_at is not None:
            yield pause.resumes_at


def _unknown(state: State) -> str | None:
    """Return which value is not known: `status` or `behavior`."""
    return state.not_understood and state.not_understood.partition("=")[0]


def undecided(segment: Segment) -> bool:
    """Tell whether a person can decide what holds: policy leaves it to one, or states nothing for what is unknown."""
    return segment.reason == PENDING or segment.rule == UNSTATED


def times(segment: Segment, units: int) -> Segment:
    """Return a segment for a feature of which each unit of the item gives several."""
    return Segment(
        segment.start, segment.granted, segment.reason, segment.rule, segment.quantity * units
    )


def either(one: Timeline, other: Timeline) -> Timeline:
    """Return what two items of one product say together: granted where either grants."""
    instants = sorted({s.start for s in (*one, *other)})
    return minimal(_both(t, segment_at(one, t), segment_at(other, t)) for t in instants)


def _both(at: int, a: Segment, b: Segment) -> Segment:
    """Return what holds of two at once; where they agree, their quantities add up.

    A grant that stands by itself comes before one that waits for a person, and such a denial before a plain one: so a
    review decides where it can, and takes away nothing that the other item gives.
    """
    spoken = max(a, b, key=lambda s: (s.granted, s.granted != (s.reason == PENDING)))
    quantity = a.quantity + b.quantity if a.granted == b.granted else spoken.quantity
    return Segment(at, spoken.granted, spoken.reason, spoken.rule, quantity)


def segment_at(found: Timeline, at: int) -> Segment:
    """Return the segment that holds at an instant, or the first one for an instant before them all."""
    for segment in reversed(found):
        if segment.start <= at:
            return segment
    return found[0]


def with_ends(found: Timeline, last: End) -> Iterator[tuple[Segment, int | End]]:
    """Yield each segment with where it ends: where the next one begins, and the last one where that is said."""
    return zip(found, (*(segment.start for segment in found[1:]), last), strict=True)


def cut(found: Timeline, at: int) -> Timeline:
    """Return what of a timeline holds from an instant on."""
    return (Segment(at, *segment_at(found, at).says()), *(s for s in found if s.start > at))


def same(one: Decision, other: Decision) -> bool:
    """Tell whether two decisions say the same from the later of them on."""
    at = max(one.as_of, other.as_of)
    return _said(one, at) == _said(other, at) and one.flags == other.flags


def _said(decision: Decision, at: int) -> dict[str, Timeline]:
    return {name: cut(found, at) for name, found in decision.features.items()}


def minimal(segments: Iterable[Segment]) -> Timeline:
    """Drop each segment that says what the one before it says."""
    kept: list[Segment] = []
    for segment in segments:
        if not kept or segment.says() != kept[-1].says():
            kept.append(segment)
    return tuple(kept)
