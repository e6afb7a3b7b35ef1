"""A subscription's whole life as one decision: what its timelines were, are and will be. Pure.

`answer(at) = decide(fold(facts created up to at)) at at`. Asked over every second in which something was created, that
definition is a timeline too: the past is answered by the same rules as the present, `until` and `then` included.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import inf

from msgspec.structs import replace

from entitlements.decide import cut, decide
from entitlements.fold import fold, follows, step
from entitlements.model import (
    SILENCE,
    CustomerRecord,
    Decision,
    Fact,
    Segment,
    State,
    SubscriptionRecord,
    Timeline,
)
from entitlements.policy import Policy
from entitlements.words import (
    NOTHING_SAID,
    Steps,
    Words,
    adopted,
    overruling,
    reviewed,
    steps,
    told_by,
)


def history(
    facts: Sequence[Fact], policy: Policy, base: State | None = None, reviews: Steps = ()
) -> Decision | None:
    """Return the decision on a subscription from its first fact on, reviews included; null where nothing is held.

    With a base, which older facts were folded to, it begins there: what was before is not known any more.
    """
    # by their beginning: an end that is younger than the base, and claims to be older, comes with the base
    eras = list({era.as_of: era for era in _eras(facts, policy, base)}.values())
    if not eras:
        return None
    names = {name for era in eras for name in era.features}
    features = {name: _life(name, eras, reviews) for name in sorted(names)}
    return Decision(
        as_of=eras[0].as_of, features=features, flags=eras[-1].flags, since=eras[-1].since
    )


def relived(
    record: CustomerRecord,
    colds: Mapping[str, SubscriptionRecord],
    policy: Policy,
    known_at: int | None = None,
    words: Words = NOTHING_SAID,
) -> CustomerRecord:
    """Return a customer's record with the whole life of each subscription and of what people said, by one policy.

    With `known_at` (Unix seconds), by what had been received by then: nobody may have been known at all.
    """
    said = told_by(adopted(words, record), known_at)
    found = (
        (name, history(_known(cold.facts, known_at), policy, cold.base, steps(said.reviews, name)))
        for name, cold in colds.items()
    )
    lives = {name: life for name, life in found if life}
    known = lives or said.overrides or said.settled
    return replace(
        record,
        version=record.version if known or known_at is None else 0,
        policy=policy.digest,
        decisions=lives,
        overruled=overruling(said.overrides),
    )


def state_at(
    cold: SubscriptionRecord, policy: Policy, at: int, known_at: int | None = None
) -> State | None:
    """Return what a subscription was like at an instant, by what had been received by another; null before it was."""
    facts = counted(cold.facts, at, known_at)
    return cold.state if len(facts) == len(cold.facts) else fold(facts, policy, cold.base)[1]


def counted(facts: Sequence[Fact], at: int, known_at: int | None = None) -> list[Fact]:
    """Return the facts that an answer about an instant depends on, by what had been received by another."""
    return [fact for fact in _known(facts, known_at) if fact.created <= at]


def _known(facts: Sequence[Fact], at: int | None) -> Sequence[Fact]:
    return facts if at is None else [f for f in facts if f.received_ms // 1000 <= at]


def states(
    facts: Sequence[Fact], policy: Policy, base: State | None = None
) -> Iterator[tuple[int, State]]:
    """Yield the state after each second in which something was created, and from when on it was that one."""
    ordered = sorted(facts, key=lambda f: (f.created, f.event))
    state, seen = base, 0
    if base:
        yield base.at, base
    for at, group in groupby(ordered, key=lambda f: f.created):
        second = list(group)
        seen += len(second)
        if follows(state, second[0]) and len(second) == 1:
            state = step(state, second[0])
        else:
            _, state = fold(ordered[:seen], policy, base)
        assert state is not None  # a second has facts
        yield max(at, base.at) if base else at, state


def _eras(facts: Sequence[Fact], policy: Policy, base: State | None) -> Iterable[Decision]:
    """Yield the decision that held from each second in which something was created."""
    for at, state in states(facts, policy, base):
        yield replace(decide(state, policy), as_of=at)


def _life(name: str, eras: Sequence[Decision], reviews: Steps) -> Timeline:
    """Join what the eras say of one feature; an era that does not speak of it is silent.

    Each begins anew, though it say what the one before it said: the latest word on a feature is told by its beginning.
    """
    ends = [*(later.as_of for later in eras[1:]), inf]
    pairs = zip(eras, ends, strict=True)
    return tuple(s for era, end in pairs for s in _within(era, end, name, reviews))


def _within(era: Decision, end: float, name: str, reviews: Steps) -> Iterable[Segment]:
    said = era.features.get(name)
    if said is None:
        return [Segment(era.as_of, *SILENCE)]
    return (s for s in reviewed(cut(said, era.as_of), era.since, reviews) if s.start < end)
