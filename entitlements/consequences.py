"""Who gains and who loses what, and when, once more events of a customer are held. Pure.

Events may tell of what happened long ago. So beside what is answered now and from the next flip on, the whole life of
each subscription is compared: since when access differs, and where it did for a while and does no more.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from entitlements.history import relived
from entitlements.model import CustomerRecord
from entitlements.policy import Policy
from entitlements.redecide import Difference, Whole, differences
from entitlements.resolve import entitlement, features, instants, next_flip
from entitlements.words import Words


def consequences(
    before: Whole, after: Whole, policy: Policy, at: int, words: Words
) -> Iterator[Difference]:
    """Yield each answer that differs between two states of a customer: at an instant, at the next flip, or before.

    `policy` judges the past, which is compared as far back as both know it. `words` are all that people said over it:
    what was answered then was theirs too, though it has ended since.
    """
    found = {difference.feature: difference for difference in differences(before, after, at)}
    was, becomes = (
        relived(w.record, w.subscriptions, policy, None, words) for w in (before, after)
    )
    since = max(_begins(before), _begins(after), words.settled)
    for feature in sorted({*features(was), *features(becomes), *found}):
        apart = list(_apart(was, becomes, feature, (since, at)))
        if difference := found.get(feature):
            yield difference if difference.kind == "flips" else _dated(difference, apart, at)
        elif apart:
            yield _past(before, was, becomes, feature, apart[0][0])


def _begins(whole: Whole) -> int:
    """Return from when on a customer's past is known."""
    return max((cold.base.at for cold in whole.subscriptions.values() if cold.base), default=0)


def _apart(
    was: CustomerRecord, becomes: CustomerRecord, feature: str, span: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Yield each stretch of a span, its end included, in which access differs: from, and to where it is the same again.

    The end of a stretch that lasts is behind that of the span.
    """
    first, last = span
    moments = {first, *instants(was, feature, first), *instants(becomes, feature, first)}
    start = None
    for moment in sorted(m for m in moments if m <= last):
        differs = (
            entitlement(was, feature, moment).granted
            != entitlement(becomes, feature, moment).granted
        )
        if differs and start is None:
            start = moment
        elif not differs and start is not None:
            yield start, moment
            start = None
    if start is not None:
        yield start, last + 1


def _dated(difference: Difference, apart: list[tuple[int, int]], at: int) -> Difference:
    """Say since when a difference holds: from now on, where only the policy that a record was decided by made it."""
    since = next((start for start, end in apart if end > at), at)
    return replace(difference, since=since)


def _past(
    whole: Whole, was: CustomerRecord, becomes: CustomerRecord, feature: str, since: int
) -> Difference:
    return Difference(
        customer=whole.subject.customer,
        account=whole.subject.account,
        feature=feature,
        kind="past",
        was=entitlement(was, feature, since),
        becomes=entitlement(becomes, feature, since),
        flip_was=next_flip(was, feature, since),
        flip_becomes=next_flip(becomes, feature, since),
        since=since,
    )
