"""What product services ask for: a customer's record, good for one instant."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from entitlements.errors import BeyondRetention, VersionNotReached
from entitlements.history import history
from entitlements.model import CustomerRecord, Decision, Subject
from entitlements.policy import Policy
from entitlements.resolve import present
from entitlements.store.store import Store

PATIENCE = 0.5
"""Seconds for which a version that the caller has already seen is waited for."""

PAUSE = 0.02


class Answers:
    """Reads records from a store, by one policy."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store = store
        self.policy = policy
        """The one in force, as far as this process knows."""

    async def record(self, subject: Subject, at: int, min_version: int = 0) -> CustomerRecord:
        """Return the record to resolve at an instant, past or future, by all that is known now.

        Raises VersionNotReached where the store does not hold `min_version` in time, StoreUnavailable.
        """
        record = await self._reached(subject, min_version)
        return await self._as_of(subject, record, at)

    async def now(
        self, subject: Subject, now: int, min_version: int = 0
    ) -> tuple[CustomerRecord, int]:
        """Return the record to resolve at present, and the instant that is the present for this customer."""
        record = await self._reached(subject, min_version)
        at = present(record, now)
        return await self._as_of(subject, record, at), at

    async def records(
        self, questions: Sequence[tuple[Subject, int | None]], now: int
    ) -> list[tuple[CustomerRecord, int] | BeyondRetention]:
        """Return what each of many questions (a subject, and an instant or null for the present) is to be resolved by.

        A record and an instant each, in the order of the questions, or why there is none.
        """
        subjects = list(dict.fromkeys(subject for subject, _ in questions))
        found = dict(zip(subjects, await self._store.customers(subjects), strict=True))
        asked = [(s, present(found[s], now) if at is None else at) for s, at in questions]
        return [await self._each(subject, found[subject], at) for subject, at in asked]

    async def _each(
        self, subject: Subject, record: CustomerRecord, at: int
    ) -> tuple[CustomerRecord, int] | BeyondRetention:
        try:
            return await self._as_of(subject, record, at), at
        except BeyondRetention as error:
            return error

    async def _reached(self, subject: Subject, min_version: int) -> CustomerRecord:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (record := await self._store.customer(subject)).version < min_version:
            if asyncio.get_running_loop().time() > deadline:
                raise VersionNotReached(
                    f"The newest version held of this customer is {record.version}, not yet {min_version}. "
                    "Ask again shortly, or without min_version."
                )
            await asyncio.sleep(PAUSE)
        return record

    async def _as_of(self, subject: Subject, record: CustomerRecord, at: int) -> CustomerRecord:
        """Return the record itself, or what it was where the instant lies before its latest event."""
        if not record.version:
            return replace(record, policy=self.policy.digest)
        if all(decision.as_of <= at for decision in record.decisions.values()):
            return record
        if record.policy != self.policy.digest:
            self.policy = await self._store.policy_in_force()
        policy = self.policy  # it may become another one while the store is asked
        lives = await self._lives(subject, record, policy, at)
        return replace(record, policy=policy.digest, decisions=lives)

    async def _lives(
        self, subject: Subject, record: CustomerRecord, policy: Policy, at: int
    ) -> dict[str, Decision]:
        """Return a customer's decisions over all that is kept of each subscription, by one policy."""
        names = list(record.decisions)
        colds = await self._store.subscriptions(subject, names)
        if begins := max((cold.base.at for cold in colds if cold.base), default=0):
            _require_kept(at, begins)
        lives = zip(names, (history(c.facts, policy, c.base) for c in colds), strict=True)
        return {name: life for name, life in lives if life}


def _require_kept(at: int, begins: int) -> None:
    if at < begins:
        raise BeyondRetention(
            f"What held at {at} is not known any more: of this customer, the time from {begins} on is kept "
            "(the policy's log_retention). Ask about a later instant."
        )
