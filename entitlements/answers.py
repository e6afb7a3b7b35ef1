"""What product services ask for: a customer's record, good for one instant."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from entitlements.cache import Cache
from entitlements.errors import BeyondRetention, StoreUnavailable, VersionNotReached
from entitlements.history import relived, state_at
from entitlements.model import CustomerRecord, State, Subject, SubscriptionRecord
from entitlements.policy import Policy
from entitlements.redecide import policy_at
from entitlements.resolve import latest_known, present
from entitlements.store.store import Store
from entitlements.words import NOTHING_SAID, Words, adopted, holding

PATIENCE = 0.5
"""Seconds for which a version that the caller has already seen is waited for."""

PAUSE = 0.02


class Life(NamedTuple):
    """All that leads to a customer's answers at an instant."""

    at: int
    record: CustomerRecord
    """What they are resolved by."""
    whole: CustomerRecord
    """The same over the whole life of each subscription."""
    policy: Policy
    subscriptions: dict[str, SubscriptionRecord]


class Answers:
    """Reads records from a store, or from what a cache knows of it, by one policy."""

    def __init__(self, store: Store, policy: Policy, cache: Cache | None = None) -> None:
        self._store = store
        self.cache = cache or Cache(store)
        self.policy = policy
        """The one in force, as far as this process knows."""

    async def record(
        self,
        subject: Subject,
        at: int,
        min_version: int = 0,
        known_at: int | None = None,
        *,
        newest: bool = False,
    ) -> CustomerRecord:
        """Return the record to resolve at an instant, past or future, by all that is known now or was by `known_at`.

        With `newest` the store itself is asked. While it cannot be reached, the last record that was seen is returned
        with its age, for as long as the policy's `stale_ttl` allows.
        Raises VersionNotReached where the store does not hold `min_version` in time, BeyondRetention, StoreUnavailable.
        """
        record = await self._reached(subject, min_version, newest=newest)
        return await self._as_of(subject, record, at, known_at)

    async def now(
        self,
        subject: Subject,
        now: int,
        min_version: int = 0,
        known_at: int | None = None,
        *,
        newest: bool = False,
    ) -> tuple[CustomerRecord, int]:
        """Return the record to resolve at present, and the instant that is the present for this customer."""
        record = await self._reached(subject, min_version, newest=newest)
        at = present(record, now)
        return await self._as_of(subject, record, at, known_at), at

    async def records(
        self,
        questions: Sequence[tuple[Subject, int | None]],
        now: int,
        *,
        newest: bool = False,
    ) -> list[tuple[CustomerRecord, int] | BeyondRetention]:
        """Return what each of many questions (a subject, and an instant or null for the present) is to be resolved by.

        A record and an instant each, in the order of the questions, or why there is none.
        """
        found = await self._held([subject for subject, _ in questions], newest=newest)
        asked = [(s, present(found[s], now) if at is None else at) for s, at in questions]
        return [await self._each(subject, found[subject], at) for subject, at in asked]

    async def _each(
        self, subject: Subject, record: CustomerRecord, at: int
    ) -> tuple[CustomerRecord, int] | BeyondRetention:
        try:
            return await self._as_of(subject, record, at), at
        except BeyondRetention as error:
            return error

    async def _held(
        self, subjects: Sequence[Subject], *, newest: bool
    ) -> dict[Subject, CustomerRecord]:
        found = await self.cache.customers(subjects, newest=newest)
        oldest = max((record.age for record in found.values() if record.age is not None), default=0)
        if oldest > self.policy.stale_ttl:
            raise StoreUnavailable(
                f"The store cannot be reached, and what was seen last is {oldest:.0f} s old: more than "
                f"the policy's stale_ttl of {self.policy.stale_ttl} s. Try again shortly."
            )
        return found

    async def _reached(self, subject: Subject, min_version: int, *, newest: bool) -> CustomerRecord:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            record = (await self._held([subject], newest=newest))[subject]
            if record.version >= min_version:
                return record
            newest = True
            if asyncio.get_running_loop().time() > deadline:
                raise VersionNotReached(
                    f"The newest version held of this customer is {record.version}, not yet {min_version}. "
                    "Ask again shortly, or without min_version."
                )
            await asyncio.sleep(PAUSE)

    async def _as_of(
        self, subject: Subject, record: CustomerRecord, at: int, known_at: int | None = None
    ) -> CustomerRecord:
        """Return the record itself, or what it was where the instant lies before the latest that is known."""
        if not record.version:
            return replace(record, policy=self.policy.digest)
        if known_at is None and latest_known(record) <= at:
            return record
        return await self._relived(subject, record, at, known_at)

    async def _relived(
        self, subject: Subject, record: CustomerRecord, at: int, known_at: int | None
    ) -> CustomerRecord:
        """Return a record made anew of its facts: over all that is kept of each subscription, or was known by then."""
        policy = await self._policy(record, known_at)
        names = list(record.decisions)
        colds = dict(zip(names, await self._store.subscriptions(subject, names), strict=True))
        (words,) = await self._store.words([subject]) if record.said_at else [NOTHING_SAID]
        _require_kept(colds, words, at, known_at)
        found, held = relived(record, colds, policy, known_at, words), adopted(words, record)
        then = at if known_at is None else min(at, known_at)
        return replace(
            found, overrides=holding(held.overrides, then), reviews=holding(held.reviews, then)
        )

    async def states(
        self, subject: Subject, record: CustomerRecord, at: int, known_at: int | None = None
    ) -> dict[str, State]:
        """Return what each subscription of a record, as `record` or `now` gave it, was like at its instant."""
        policy = await self._policy(record, None)
        names = list(record.decisions)
        colds = await self._store.subscriptions(subject, names)
        found = {n: state_at(c, policy, at, known_at) for n, c in zip(names, colds, strict=True)}
        return {name: state for name, state in found.items() if state}

    async def life(
        self, subject: Subject, now: int, at: int | None = None, known_at: int | None = None
    ) -> Life:
        """Return the record to resolve at an instant, or at present, with all that leads to it, from the store itself.

        Raises BeyondRetention, StoreUnavailable.
        """
        held = await self._reached(subject, 0, newest=True)
        at = present(held, now) if at is None else at
        record = await self._as_of(subject, held, at, known_at)
        if not held.decisions:
            return Life(at, record, record, self.policy, {})
        names = list(held.decisions)
        colds = await self._store.subscriptions(subject, names)
        return Life(
            at,
            record,
            await self._relived(subject, held, at, known_at),
            await self._policy(held, known_at),
            dict(zip(names, colds, strict=True)),
        )

    async def _policy(self, record: CustomerRecord, known_at: int | None) -> Policy:
        """Return the policy in force, or the one that a customer was decided by at an instant."""
        digest = record.policy if known_at is None else policy_at(record, known_at)
        if digest is None:
            raise BeyondRetention(
                "The policy of that time is not known any more. Ask about a later known_at, or without it."
            )
        if digest == self.policy.digest:
            return self.policy
        if known_at is None:
            self.policy = policy = await self._store.policy_in_force()
            return policy  # self.policy may become another one while the store is asked
        return await self._store.policy_named(digest)


def _require_kept(
    colds: Mapping[str, SubscriptionRecord], words: Words, at: int, known_at: int | None
) -> None:
    begins = max([words.settled, *(cold.base.at for cold in colds.values() if cold.base)])
    settled = max([words.settled, *(cold.settled for cold in colds.values())])
    if at < begins:
        raise BeyondRetention(
            f"What held at {at} is not known any more: of this customer, the time from {begins} on is kept "
            "(the policy's log_retention). Ask about a later instant."
        )
    if known_at is not None and known_at < settled:
        raise BeyondRetention(
            f"What was known at {known_at} is not known any more: of this customer, that is kept from {settled} on "
            "(the policy's log_retention). Ask about a later known_at, or without it."
        )
