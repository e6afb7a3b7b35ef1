"""What Stripe says of a subscription, beside what is held of it: whether that is the same, and if not, why not. Pure.

States are compared, not answers: what makes no difference to anybody now can make one under another policy. What the
same state looks like in another version of Stripe's API, or a pause that is over by the clock, is no difference.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from entitlements.changed import Changed, changed, said
from entitlements.fold import lapsed, not_understood
from entitlements.model import (
    CustomerRecord,
    Fact,
    PauseCollection,
    Snapshot,
    State,
    Subject,
)
from entitlements.order import FINAL

Cause = Literal["missing_here", "stale_here", "gone_there", "different_policy"]
CAUSES: tuple[Cause, ...] = ("missing_here", "stale_here", "gone_there", "different_policy")

Standing = Cause | Literal["in_step", "newer_here"]
"""`newer_here`: what is held happened when the read had begun, or later, so the read says nothing about it."""


class Drift(Struct, frozen=True, kw_only=True, tag_field="object", tag="drift"):
    """A subscription that is not held as Stripe says it is. Null is what there is not, on either side."""

    account: str | None
    customer: str
    subscription: str
    cause: Cause
    status_here: str | None
    pause_here: PauseCollection | None
    status_there: str | None
    pause_there: PauseCollection | None
    paused_because_here: str | None
    """Of the status `paused`: why, where events say it. Those of an API version before `2026-09-30.endive` do not."""
    paused_because_there: str | None
    differs: tuple[Changed, ...]
    """From here to there; nothing where there is but one side."""


def standing(customer: CustomerRecord, state: State | None, read: Fact, policy: str) -> Standing:
    """Return how what is held of a subscription stands to a read, under the policy in force (its digest).

    Never `gone_there`: what was read is there.
    """
    if state is None:
        return "missing_here"
    if state.ambiguous or not same(state, read):
        return "stale_here" if state.at < read.created else "newer_here"
    return "in_step" if customer.policy == policy else "different_policy"


def same(state: State, read: Fact) -> bool:
    """Tell whether a read says of a subscription what is held of it."""
    odd = not_understood(read.snapshot)
    if odd or state.not_understood:
        return odd == state.not_understood
    return _held(state, read.created) == _read(read)


def in_use(state: State) -> bool:
    """Tell whether a subscription is not over yet, by what is held."""
    return state.snapshot.status not in FINAL


def _held(state: State, at: int) -> Snapshot:
    """Return a state as a read at an instant would say it: the pause is known where an old event is silent about it."""
    pause = state.pause
    said = None if pause is None else PauseCollection(pause.behavior, pause.resumes_at)
    return _plain(state.snapshot, said if pause and not lapsed(pause, at) else None)


def _read(read: Fact) -> Snapshot:
    pause = read.snapshot.pause_collection or None
    return _plain(read.snapshot, None if pause and lapsed(pause, read.created) else pause)


def _plain(snapshot: Snapshot, pause: PauseCollection | None) -> Snapshot:
    """Return a snapshot whose items are in one order, whatever order they came in."""
    items = tuple(sorted(snapshot.items, key=lambda item: item.id))
    return replace(snapshot, items=items, pause_collection=pause)


def told(
    subject: Subject, name: str, cause: Cause, here: State | None, there: Snapshot | None
) -> Drift:
    """Return what is told of a subscription that differs."""
    pause = here.pause if here else None
    return Drift(
        account=subject.account,
        customer=subject.customer,
        subscription=name,
        cause=cause,
        status_here=here.snapshot.status if here else None,
        pause_here=PauseCollection(pause.behavior, pause.resumes_at) if pause else None,
        status_there=there.status if there else None,
        pause_there=(there.pause_collection or None) if there else None,
        paused_because_here=here.snapshot.paused_because if here else None,
        paused_because_there=there.paused_because if there else None,
        differs=changed(_shown(here), _plain(there, there.pause_collection or None))
        if here and there
        else (),
    )


def _shown(state: State) -> Snapshot:
    pause = state.pause
    return _plain(
        state.snapshot, PauseCollection(pause.behavior, pause.resumes_at) if pause else None
    )


COLUMNS = (
    *("account", "customer", "subscription", "cause", "status_here", "behavior_here"),
    *("resumes_at_here", "status_there", "behavior_there", "resumes_at_there"),
    *("paused_because_here", "paused_because_there", "differs"),
)


def row(found: Drift) -> tuple[object, ...]:
    """Return one as a row of a table, in the order of COLUMNS; times in Unix seconds."""
    here, there = (
        (pause.behavior, pause.resumes_at) if pause else (None, None)
        for pause in (found.pause_here, found.pause_there)
    )
    named = (found.account, found.customer, found.subscription, found.cause)
    because = found.paused_because_here, found.paused_because_there
    differs = said(found.differs, str) if found.differs else None
    return (*named, found.status_here, *here, found.status_there, *there, *because, differs)
