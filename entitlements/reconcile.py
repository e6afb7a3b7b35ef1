"""What is held, reconciled with Stripe: its subscriptions are walked, and what differs is read in by the one door.

Each read is fenced (reading.py): it never overwrites what is newer, whatever comes between the preview and the writing,
and what is in step is not written. Only a whole walk can say what is gone there, and even then Stripe is asked for it.
"""

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from msgspec import Struct, field

from entitlements import drift
from entitlements.decode import NotUnderstood, decode
from entitlements.drift import CAUSES, Cause, Drift
from entitlements.errors import Conflict, StripeMissing
from entitlements.ingest import Ingest
from entitlements.model import State, Subject, SubscriptionEvent
from entitlements.patience import patiently
from entitlements.reading import event_of
from entitlements.redecide import Difference, Whole, differences, latest, redecided
from entitlements.rehearse import Rehearsal
from entitlements.rewrite import rewrite
from entitlements.store import audit, standing
from entitlements.store.audit import Deed
from entitlements.store.seen import Seen
from entitlements.stripe_api import Read, StripeApi

GONE = 1_000
"""Subscriptions that are asked for by their ids because a whole walk did not have them; more have another reason."""

SAID = 10
"""Sentences on what cannot be read."""

BEHIND: Cause = "different_policy"

UNDONE = ("stale", "ambiguous", "quarantined")
"""What becomes of a read that heals nothing: it changes nothing, settles nothing, or cannot be understood."""


class Scope(NamedTuple):
    """Which subscriptions: of a connected account or the key's own, of everybody or one customer."""

    account: str | None = None
    customer: str | None = None

    def __str__(self) -> str:
        """Return it in words, for the record."""
        names = [name for name in (self.account, self.customer) if name]
        return "/".join(names) or "every subscription"


class Sums(Struct, tag_field="object", tag="reconciliation"):
    """What a walk has come to. Bounded: counts, not names."""

    looked: int = 0
    in_step: int = 0
    newer_here: int = 0
    """Happened after the read had begun: not compared, and nothing is wrong with it."""
    drift: dict[Cause, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    unreadable: int = 0
    healed: int = 0
    complete: bool = False
    """Whether all of Stripe's subscriptions were seen in one walk. Else nothing is known of what was not."""
    cursor: str | None = None
    """Behind which subscription to go on, where there are more."""

    @property
    def left(self) -> int:
        """Return how many are not in step, as far as was seen."""
        return sum(self.drift.values()) + self.unreadable - self.healed


class Found(NamedTuple):
    """What was found in some of the walk: what differs, and the answers that another policy alone changes."""

    drift: list[Drift]
    differences: list[Difference]


class _One(NamedTuple):
    """A subscription that differs: as it was read, and as it is held."""

    body: bytes
    told: SubscriptionEvent
    state: State | None
    cause: Cause


class Reconciliation:
    """One walk. With a deed it heals, else it writes nothing; with a rehearsal it foresees who gains or loses."""

    def __init__(  # noqa: PLR0913  whom it speaks to, and what about
        self,
        api: StripeApi,
        ingest: Ingest,
        scope: Scope,
        *,
        deed: Deed | None = None,
        rehearsal: Rehearsal | None = None,
        gone: int = GONE,
        thorough: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`ingest` has the policy in force, and the mode; null is the mode that is pinned, if one is.

        What is missing or stale is healed. `thorough` also asks what is gone, and decides anew by the policy.
        """
        self._api = api
        self._store = ingest.store
        self._ingest = ingest
        self._scope = scope
        self._deed = deed
        self._rehearsal = rehearsal
        self._livemode = ingest.livemode
        self._gone = gone
        self._thorough = thorough
        self._clock = clock
        self._run = f"rc_{secrets.token_hex(4)}"
        self._seen, self._behind = Seen(), Seen()
        self._stopped = False
        self.sums = Sums()
        self.why: list[str] = []
        """Of what cannot be read, or is not known: a sentence each, the first ones."""

    def stop(self) -> None:
        """Let it end behind the page at hand."""
        self._stopped = True

    async def go(self, after: str | None = None) -> AsyncGenerator[Found]:
        """Yield what differs, some at a time, from behind the subscription `after` on; the newest come first.

        Begun from the beginning and not stopped, it ends with what is gone there. Raises Conflict where the key is of
        the other mode, StripeError where the walk ends early, StoreError: `sums.cursor` says where to go on.
        """
        account, customer = self._scope
        filters = {"customer": customer} if customer else {}
        await self._record("began")
        self.sums.cursor = after
        pages = self._api.walk_subscriptions(after, account=account, **filters)
        async for page in pages:
            found = await self._read(page.data)
            self.sums.cursor = page.data[-1].id if page.has_more else None
            yield found
            if self._stopped and page.has_more:
                break
        else:
            if after is None and self._thorough:
                async with aclosing(self._unseen()) as unseen:
                    async for found in unseen:
                        yield found
                self.sums.complete = not self._stopped
        await self._record(f"healed {self.sums.healed} of {self.sums.looked}")

    async def _record(self, outcome: str) -> None:
        if self._deed:
            record = self._deed.record(
                "reconcile.apply", str(self._scope), f"{self._run} {outcome}"
            )
            await patiently(lambda: audit.write(self._store, record))

    async def _read(self, reads: Sequence[Read]) -> Found:
        """Compare some subscriptions with what is held of them, and heal what differs."""
        for read in reads:
            self._seen.add(hash(read.id))
        self.sums.looked += len(reads)
        told = await self._understood(reads)
        found = await self._compared(told)
        await self._read_in([one.body for one in found if one.cause != BEHIND])
        behind = [one.told.subject for one in found if one.cause == BEHIND]
        return Found(
            [
                drift.told(
                    one.told.subject,
                    one.told.subscription,
                    one.cause,
                    one.state,
                    one.told.fact.snapshot,
                )
                for one in found
            ],
            await self._decide_anew(behind),
        )

    async def _understood(self, reads: Sequence[Read]) -> list[tuple[bytes, SubscriptionEvent]]:
        """Return what can be understood, as bodies of events and decoded. Raises Conflict."""
        key, found = self._ingest.policy.metadata_key, list[tuple[bytes, SubscriptionEvent]]()
        for read in reads:
            body = event_of(read, self._scope.account)
            one = decode(body, key)
            if isinstance(one, SubscriptionEvent):
                found.append((body, one))
            elif isinstance(one, NotUnderstood):
                self.sums.unreadable += 1
                self._say(f"{read.id}: {one.why}.")
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

    def _say(self, sentence: str) -> None:
        self.why += [sentence] if len(self.why) < SAID else []

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

    async def _unseen(self) -> AsyncGenerator[Found]:
        """Yield what is in use here and was not seen there, after asking for each: it may have come meanwhile."""
        asked = 0
        async for subjects in self._subjects():
            for subject, name, state in await self._in_use(subjects):
                asked += 1
                if asked > self._gone:
                    self._say(f"Over {self._gone} are gone. Is it the key of this account?")
                    self.stop()
                if self._stopped:
                    return
                yield await self._ask_for(subject, name, state)

    async def _subjects(self) -> AsyncGenerator[list[Subject]]:
        account, customer = self._scope
        if customer:
            yield [Subject(customer, account)]
            return
        async for _, subjects in self._store.subjects():
            yield [subject for subject in subjects if subject.account == account]

    async def _in_use(self, subjects: list[Subject]) -> list[tuple[Subject, str, State]]:
        """Return the subscriptions of some customers that are in use here, and were not seen."""
        records = await patiently(lambda: self._store.customers(subjects))
        pairs = [
            (subject, name)
            for subject, record in zip(subjects, records, strict=True)
            for name in record.decisions
            if self._seen.add(hash(name))
        ]
        found = await patiently(lambda: standing.held(self._store, pairs))
        states = [held.subscription.state for held in found]
        return [(*p, s) for p, s in zip(pairs, states, strict=True) if s and drift.in_use(s)]

    async def _ask_for(self, subject: Subject, name: str, state: State) -> Found:
        try:
            return await self._read([await self._api.subscription(subject, name)])
        except StripeMissing:
            self.sums.drift["gone_there"] += 1
        here = drift.told(subject, name, "gone_there", state, None)
        return Found([here], [])
