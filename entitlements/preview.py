"""What another policy would change, and the change itself: walks every customer held, a batch at a time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple, Self

from msgspec import Struct, field

from entitlements.errors import StoreBusy
from entitlements.model import Subject
from entitlements.policy import Policy
from entitlements.redecide import (
    BY_POLICY,
    Difference,
    Kind,
    differences,
    latest,
    redecided,
)
from entitlements.rewrite import rewrite
from entitlements.store.seen import Seen
from entitlements.store.store import Store

RATE = 2_000
"""Customers decided anew in a second, so that deliveries and queries hardly notice."""

PASSES = 5
LAG = 2.0
"""Seconds within which every process has seen that another policy is in force."""


class Step(NamedTuple):
    """How far a walk is (0 to 1), and what it found in its last batch."""

    share: float
    customers: int
    found: list[Difference]


def _none() -> dict[Kind, int]:
    return dict.fromkeys(BY_POLICY, 0)


class Tally(Struct):
    """The sum of a walk. Bounded: counts, not names."""

    customers: int = 0
    answers: dict[Kind, int] = field(default_factory=_none)
    concerned: dict[Kind, int] = field(default_factory=_none)
    features: dict[str, dict[Kind, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, *kinds: Kind) -> Self:
        """Return an empty one that counts other kinds of differences than those of another policy."""
        return cls(answers=dict.fromkeys(kinds, 0), concerned=dict.fromkeys(kinds, 0))

    def add(self, step: Step) -> None:
        """Count one step's findings; a customer's differences come together in one step."""
        self.customers += step.customers
        for kind in self.concerned:
            self.concerned[kind] += len(
                {(d.account, d.customer) for d in step.found if d.kind == kind}
            )
        for difference in step.found:
            self.answers[difference.kind] += 1
            of_feature = self.features.setdefault(
                difference.feature, dict.fromkeys(self.answers, 0)
            )
            of_feature[difference.kind] += 1

    @property
    def loss(self) -> float:
        """The share of customers who would lose access to something."""
        return self.concerned["loses"] / self.customers if self.customers else 0.0


async def preview(store: Store, policy: Policy, now: int) -> AsyncIterator[Step]:
    """Yield what a policy would change for every customer held, against what holds now. Writes nothing."""
    async for share, fresh in _walk(store):
        wholes = await store.wholes(fresh)
        found = [
            d
            for whole in wholes
            for d in differences(whole, redecided(whole, policy), latest(whole, now))
        ]
        yield Step(share, len(wholes), found)


async def apply(
    store: Store, policy: Policy, now: int, *, rate: float = RATE, lag: float = LAG
) -> AsyncGenerator[Step]:
    """Put a policy in force and decide every customer anew by it, at a bounded rate.

    Stopped in the middle, it goes on where it was: who is decided by this policy already is passed over. Another round
    follows for as long as a process that had not heard of the policy yet may have decided by the old one.
    Raises StoreBusy where somebody else puts another policy in force meanwhile.
    """
    await store.enforce(policy)
    for _ in range(PASSES):
        written = 0
        async for share, fresh in _walk(store):
            await _require_in_force(store, policy)
            behind = [w for w in await store.wholes(fresh) if w.record.policy != policy.digest]
            found = [d for whole in behind for d in await rewrite(store, whole, policy, now)]
            written += len(behind)
            yield Step(share, len(behind), found)
            await asyncio.sleep(len(behind) / rate)
        if not written:
            return
        await asyncio.sleep(lag)


async def _require_in_force(store: Store, policy: Policy) -> None:
    """Give way to another policy: two that are applied at once would decide everybody to and fro."""
    if (found := (await store.policy_in_force()).digest) != policy.digest:
        raise StoreBusy(
            f"Policy {found} was put in force while {policy.digest} was being applied. "
            "Apply the one that is to hold."
        )


async def _walk(store: Store) -> AsyncIterator[tuple[float, list[Subject]]]:
    """Yield every customer once, although SCAN may give one twice."""
    seen = Seen()
    async for share, subjects in store.subjects():
        yield share, [subject for subject in subjects if seen.add(hash(subject))]


COLUMNS = (
    "account",
    "customer",
    "feature",
    "kind",
    "granted",
    "reason",
    "rule",
    "next_flip",
    "would_be_granted",
    "would_be_reason",
    "would_be_rule",
    "would_flip",
)


def row(found: Difference) -> tuple[object, ...]:
    """Return a difference as a row of a table, in the order of COLUMNS; times in Unix seconds."""
    was, becomes = found.was, found.becomes
    return (
        found.account or "",
        found.customer,
        found.feature,
        found.kind,
        was.granted,
        was.reason,
        was.rule,
        found.flip_was,
        becomes.granted,
        becomes.reason,
        becomes.rule,
        found.flip_becomes,
    )
