"""A walk of Stripe's subscriptions, and after it of what is in use here and was not seen there."""

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from entitlements import drift
from entitlements.errors import StripeMissing
from entitlements.ingest import Ingest
from entitlements.model import State, Subject
from entitlements.patience import patiently
from entitlements.reconcile.compare import Comparison
from entitlements.reconcile.found import Found, Scope, Sums
from entitlements.rehearse import Rehearsal
from entitlements.store import audit, standing
from entitlements.store.audit import Deed
from entitlements.store.seen import Seen
from entitlements.stripe_api import Read, StripeApi

GONE = 1_000
"""Subscriptions that are asked for by their ids because a whole walk did not have them; more have another reason."""


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
        self._scope = scope
        self._deed = deed
        self._gone = gone
        self._thorough = thorough
        self._run = f"rc_{secrets.token_hex(4)}"
        self._comparison = Comparison(
            ingest,
            scope.account,
            self._run,
            deed=deed,
            rehearsal=rehearsal,
            thorough=thorough,
            clock=clock,
        )
        self._seen = Seen()
        self._stopped = False

    @property
    def sums(self) -> Sums:
        """What it has come to so far."""
        return self._comparison.sums

    @property
    def why(self) -> list[str]:
        """Of what cannot be read, or is not known: a sentence each, the first ones."""
        return self._comparison.why

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
        for read in reads:
            self._seen.add(hash(read.id))
        return await self._comparison.read(reads)

    async def _unseen(self) -> AsyncGenerator[Found]:
        """Yield what is in use here and was not seen there, after asking for each: it may have come meanwhile."""
        asked = 0
        async for subjects in self._subjects():
            for subject, name, state in await self._in_use(subjects):
                asked += 1
                if asked > self._gone:
                    self._comparison.say(
                        f"Over {self._gone} are gone. Is it the key of this account?"
                    )
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
