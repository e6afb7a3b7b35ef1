"""A subscription's whole life as one decision: what its timelines were, are and will be. Pure.

`answer(at) = decide(fold(facts created up to at)) at at`. Asked over every second in which something was created, that
definition is a timeline too: the past is answered by the same rules as the present, `until` and `then` included.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec.structs import replace

from entitlements.decide import cut, decide, minimal
from entitlements.fold import fold, fold_second, follows
from entitlements.model import SILENCE, Decision, Fact, Segment, State, Timeline
from entitlements.policy import Policy


def history(facts: Sequence[Fact], policy: Policy) -> Decision | None:
    """Return the decision on a subscription from its first fact on; null without facts."""
    eras = list(_eras(facts, policy))
    if not eras:
        return None
    names = {name for era in eras for name in era.features}
    features = {name: _life(name, eras) for name in sorted(names)}
    return Decision(
        as_of=eras[0].as_of, features=features, flags=eras[-1].flags, since=eras[-1].since
    )


def _eras(facts: Sequence[Fact], policy: Policy) -> Iterable[Decision]:
    """Yield the decision that held from each second in which something was created."""
    ordered = sorted(facts, key=lambda f: (f.created, f.event))
    state: State | None = None
    seen = 0
    for at, group in groupby(ordered, key=lambda f: f.created):
        second = list(group)
        seen += len(second)
        state = _after(state, second, ordered[:seen], policy)
        decision = decide(state, policy)
        yield replace(decision, as_of=at)


def _after(
    state: State | None, second: list[Fact], all_so_far: list[Fact], policy: Policy
) -> State:
    if follows(state, second[0]) and len(second) == 1:
        return fold_second(state, second, policy)[1]
    _, folded = fold(all_so_far, policy)
    assert folded is not None  # a second has facts
    return folded


def _life(name: str, eras: Sequence[Decision]) -> Timeline:
    """Join what the eras say of one feature; an era that does not speak of it is silent."""
    ends = [*(later.as_of for later in eras[1:]), None]
    return minimal(s for era, end in zip(eras, ends, strict=True) for s in _within(era, end, name))


def _within(era: Decision, end: int | None, name: str) -> Iterable[Segment]:
    said = era.features.get(name)
    if said is None:
        return [Segment(era.as_of, *SILENCE)]
    return (s for s in cut(said, era.as_of) if end is None or s.start < end)
