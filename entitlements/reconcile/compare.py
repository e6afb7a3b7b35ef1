"""What was read at Stripe beside what is held: what differs is told, and healed where that is asked for."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from entitlements import drift
from entitlements.decode import NotUnderstood, decode
from entitlements.drift import Cause, Drift
from entitlements.errors import Conflict
from entitlements.ingest import Ingest
from entitlements.model import State, Subject, SubscriptionEvent
from entitlements.patience import patiently
from entitlements.reading import event_of
from entitlements.reconcile.found import Found, Sums
from entitlements.redecide import Difference, Whole, differences, latest, redecided
from entitlements.rehearse import Rehearsal
from entitlements.rewrite import rewrite
from entitlements.store import standing
from entitlements.store.audit import Deed
from entitlements.store.seen import Seen
from entitlements.stripe_api import Read

SAID = 10
"""Sentences on what cannot be read."""

BEHIND: Cause = "different_policy"

UNDONE = ("stale", "ambiguous", "quarantined")
"""What becomes of a read that heals nothing: it changes nothing, settles nothing, or cannot be understood."""


class _One(NamedTuple):
    """A subscription that differs: as it was read, and as it is held."""

    body: bytes
    told: SubscriptionEvent
    state: State | None
    cause: Cause

    def drift(self) -> Drift:
        """Return what is told of it."""
        told = self.told
        return drift.told(
            told.subject, told.subscription, self.cause, self.state, told.fact.snapshot
        )


class Comparison:
    """Compares subscriptions of one account. With a deed it heals what differs, else it writes nothing."""

    def __init__(  # noqa: PLR0913  what is compared, and what becomes of it
        self,
        ingest: Ingest,
        account: str | None,
        run: str,
        *,
        deed: Deed | None = None,
        rehearsal: Rehearsal | None = None,
        thorough: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`run` names it; `thorough` also decides anew who is decided by another policy than the one in force."""
        self._store = ingest.store
        self._ingest = ingest
        self._account = account
        self._run = run
        self._deed = deed
        self._rehearsal = rehearsal
        self._livemode = ingest.livemode
        self._thorough = thorough
        self._clock = clock
        self._behind = Seen()
        self.sums = Sums()
        self.why: list[str] = []
        """Of what cannot be read, or is not known: a sentence each, the first ones."""

    async def read(self, reads: Sequence[Read]) -> Found:
        """Compare some, and heal what differs. Raises Conflict where the key is of the other mode, StoreError."""
        self.sums.looked += len(reads)
        told = await self._understood(reads)
        found = await self._compared(told)
        await self._read_in([one.body for one in found if one.cause != BEHIND])
        behind = [one.told.subject for one in found if one.cause == BEHIND]
        return Found([one.drift() for one in found], await self._decide_anew(behind))

    def say(self, sentence: str) -> None:
        """Say what is not known, unless enough was said."""
        self.why += [sentence] if len(self.why) < SAID else []

    async def _understood(self, reads: Sequence[Read]) -> list[tuple[bytes, SubscriptionEvent]]:
        """Return what can be understood, as bodies of events and decoded. Raises Conflict."""
        key, found = self._ingest.policy.metadata_key, list[tuple[bytes, SubscriptionEvent]]()
        for read in reads:
            body = event_of(read, self._account)
            one = decode(body, key)
            if isinstance(one, SubscriptionEvent):
                found.append((body, one))
            elif isinstance(one, NotUnderstood):
                self.sums.unreadable += 1
                self.say(f"{read.id}: {one.why}.")
        await self._require_mode([one for _, one in found])
        return found

    async def _require_mode(self, told: Sequence[SubscriptionEvent]) -> None:
        """Refuse what would all go to the quarantine."""
        if self._livemode is None:
            self._livemode = await self._store.livemode()
        if any(self._livemode not in {None, one.livemode} for one in told):
            raise Conflict(
                f"The key is of the other mode: this service is for livemode={self._livemode}. "
                "Set ENTITLEMENTS_STRIPE_API_KEY to one of that mode."
            )

    async def _compared(self, told: Sequence[tuple[bytes, SubscriptionEvent]]) -> list[_One]:
        """Return those that are not held as they were read."""
        pairs = [(one.subject, one.subscription) for _, one in told]
        found = list[_One]()
        helds = await patiently(lambda: standing.held(self._store, pairs))
        for (body, one), held in zip(told, helds, strict=True):
            state, digest = held.subscription.state, self._ingest.policy.digest
            stands = drift.standing(held.customer, state, one.fact, digest)
            if stands == "in_step":
                self.sums.in_step += 1
            elif stands == "newer_here":
                self.sums.newer_here += 1
            else:
                self.sums.drift[stands] += 1
                found.append(_One(body, one, state, stands))
        return found

    async def _read_in(self, bodies: Sequence[bytes]) -> None:
        """Foresee what reads would do, and let them do it."""
        if (rehearsal := self._rehearsal) and bodies:
            await patiently(lambda: rehearsal.take(bodies))
        if self._deed and bodies:
            deed, now, run = self._deed, self._clock(), f"{self._run}.{self.sums.looked}"
            names = [f"{run}.{n}" for n in range(len(bodies))]
            receipts = await patiently(lambda: self._ingest.replay(bodies, now, deed, names))
            self.sums.healed += sum(receipt.outcome not in UNDONE for receipt in receipts)

    async def _decide_anew(self, behind: Sequence[Subject]) -> list[Difference]:
        """Decide by the policy in force who still is decided by another one; return whom that gives or takes what."""
        if not self._thorough:
            return []
        fresh = [one for one in dict.fromkeys(behind) if self._behind.add(hash(one))]
        wholes = await patiently(lambda: self._store.wholes(fresh)) if fresh else []
        if self._deed is None:
            return [found for whole in wholes for found in self._by_policy(whole)]
        policy, now = self._ingest.policy, int(self._clock())
        self.sums.healed += len(behind)
        calls = [partial(rewrite, self._store, whole, policy, now) for whole in wholes]
        return [found for call in calls for found in await patiently(call)]

    def _by_policy(self, whole: Whole) -> Iterator[Difference]:
        after = redecided(whole, self._ingest.policy)
        return differences(whole, after, latest(whole, int(self._clock())))
