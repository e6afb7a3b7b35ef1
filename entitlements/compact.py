"""What is kept of a subscription for good: old facts become the state that they were folded to. Pure.

Stripe keeps events for 30 days and retries for three, so a fact that is older than what is retained will not find
another in its second, nor one before it. Folding it for good changes no answer from then on, and bounds what a
subscription takes. Asked about an instant before that, the service refuses rather than guesses.
"""

from collections.abc import Iterator, Sequence

from entitlements import order
from entitlements.fold import fold
from entitlements.model import READ, Fact, State, SubscriptionRecord
from entitlements.policy import Policy


def compacted(record: SubscriptionRecord, before: int, policy: Policy) -> SubscriptionRecord:
    """Return a record without the facts that both happened and came before an instant (Unix seconds).

    Facts come in canonical order, and go from its beginning, whole seconds at a time. One that leaves a doubt stays
    for as long as a later fact may settle it.
    """
    facts = record.facts
    for n in _boundaries(facts, _old(facts, before)):
        _, base = fold(facts[:n], policy, record.base)
        if base and not base.ambiguous:
            settled = max(_known(fact) for fact in facts[:n])
            return SubscriptionRecord(facts[n:], record.state, base, max(settled, record.settled))
    return record


def precedes(base: State | None, fact: Fact) -> bool:
    """Tell whether a fact lies before all that is retained, so that it can have no place any more."""
    if base is None:
        return False
    over = base.snapshot.status in order.FINAL and not order.is_final(fact)
    return over or fact.created <= base.at


def _old(facts: Sequence[Fact], before: int) -> int:
    """Return how many facts, from the first on, are old."""
    return next((n for n, fact in enumerate(facts) if _known(fact) >= before), len(facts))


def _known(fact: Fact) -> int:
    """Return from when on a fact had both happened and come."""
    return max(fact.created, fact.received_ms // 1000)


def _boundaries(facts: Sequence[Fact], most: int) -> Iterator[int]:
    """Yield how many facts can go, the most first: no part of a second, and no read without what it may have seen."""
    for n in range(most, 0, -1):
        last = facts[n - 1]
        if n == len(facts) or (last.type != READ and last.created != facts[n].created):
            yield n
