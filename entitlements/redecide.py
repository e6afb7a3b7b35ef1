"""The same facts under another policy: what a customer's record becomes, and who gains or loses by it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from entitlements.decide import decide
from entitlements.fold import fold
from entitlements.model import (
    CustomerRecord,
    Entitlement,
    PastPolicy,
    Subject,
    SubscriptionRecord,
)
from entitlements.policy import Policy
from entitlements.resolve import entitlement, features, latest_known, next_flip

Kind = Literal["gains", "loses", "flips", "past"]
"""Access now, the next change of access alone, or only what held before."""

BY_POLICY: tuple[Kind, ...] = ("gains", "loses", "flips")
"""What another policy can do: it decides from now on."""


class Whole(Struct, frozen=True):
    """All that is held of one customer."""

    subject: Subject
    record: CustomerRecord
    subscriptions: Mapping[str, SubscriptionRecord]
    due: int | None = None
    """When an answer changes by the clock: what has not been told yet begins there."""


class Difference(Struct, frozen=True):
    """One answer that another policy or more events change: access now, or only when it changes next."""

    customer: str
    account: str | None
    feature: str
    kind: Kind
    was: Entitlement
    becomes: Entitlement
    flip_was: int | None
    flip_becomes: int | None
    since: int | UnsetType = UNSET
    """Of what events change: the first instant of the time in which access differs."""


PAST = 16
"""Earlier policies that a record names: more than any log retention is likely to see."""


def redecided(whole: Whole, policy: Policy) -> Whole:
    """Return what is held of a customer, decided by a policy."""
    subscriptions = {name: _refolded(cold, policy) for name, cold in whole.subscriptions.items()}
    decisions = {
        name: decide(cold.state, policy) for name, cold in subscriptions.items() if cold.state
    }
    record = replace(
        whole.record,
        version=whole.record.version + 1,
        policy=policy.digest,
        decisions={**whole.record.decisions, **decisions},
    )
    return Whole(whole.subject, record, subscriptions)


def superseding(before: CustomerRecord, after: CustomerRecord, now: int) -> CustomerRecord:
    """Return a record that also names the policy which it was decided by until now."""
    past = (*before.past_policies, PastPolicy(now, before.policy))
    return replace(after, past_policies=past[-PAST:])


def policy_at(record: CustomerRecord, known_at: int) -> str | None:
    """Return the digest of the policy that a customer was decided by at an instant; null where it is not known."""
    past = record.past_policies
    if len(past) == PAST and known_at < past[0].until:
        return None
    return next((p.digest for p in past if known_at < p.until), record.policy)


def _refolded(cold: SubscriptionRecord, policy: Policy) -> SubscriptionRecord:
    """Fold again where the policy may have a word in it: it chooses among the possible ends of an ambiguous second."""
    if len({fact.created for fact in cold.facts}) == len(cold.facts):
        return cold
    facts, state = fold(cold.facts, policy, cold.base)
    return replace(cold, facts=facts, state=state)


def differences(before: Whole, after: Whole, at: int) -> Iterator[Difference]:
    """Yield each answer of a customer that differs in access, at an instant or at the next flip after it."""
    for feature in sorted({*features(before.record), *features(after.record)}):
        was, becomes = (
            entitlement(before.record, feature, at),
            entitlement(after.record, feature, at),
        )
        flips = next_flip(before.record, feature, at), next_flip(after.record, feature, at)
        if kind := _kind(was, becomes, *flips):
            subject = before.subject
            yield Difference(subject.customer, subject.account, feature, kind, was, becomes, *flips)


def _kind(
    was: Entitlement, becomes: Entitlement, flip_was: int | None, flip_becomes: int | None
) -> Kind | None:
    if was.granted != becomes.granted:
        return "gains" if becomes.granted else "loses"
    return "flips" if flip_was != flip_becomes else None


def latest(whole: Whole, now: int) -> int:
    """Return the instant to compare at: now, or the latest that is known where another clock is ahead of ours."""
    return max(now, latest_known(whole.record))
