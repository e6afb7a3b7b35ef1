"""What would become of events, and of answers, if they were taken in: by the same rules, and nothing is written.

Events of one customer build on each other, as they would. So what is foreseen is the difference that all of them make
together to what holds now, whatever each by itself would do.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, Self

from msgspec import UNSET
from msgspec.structs import replace

from entitlements import preview
from entitlements.absorb import Held, absorb, known
from entitlements.compact import precedes
from entitlements.consequences import consequences
from entitlements.decode import Decoded, NotUnderstood, OtherEvent, decode
from entitlements.ingest import TOO_OLD, WRONG_MODE, Receipt, event_id, receipt_of
from entitlements.model import Outcome, Subject, SubscriptionEvent
from entitlements.overlay import MOST, Foretold, Overlay
from entitlements.patience import patiently
from entitlements.policy import Policy
from entitlements.redecide import Difference, Whole, latest, redecided, superseding
from entitlements.store import marks
from entitlements.store.cold import NOTHING
from entitlements.store.marks import Marked
from entitlements.store.store import Store
from entitlements.words import NOTHING_SAID, Words

TOGETHER = 100
"""Customers compared at a time."""


class Foreseen(NamedTuple):
    """What would become of one event."""

    receipt: Receipt
    why: str = ""
    """Why it could not be taken in, or would have no place any more."""


class Consequence(NamedTuple):
    """What all of the events together would do to one customer."""

    subject: Subject
    differences: list[Difference]
    ambiguous: list[str]
    """Of the subscriptions that they are about, those whose latest second would be in doubt."""


class Rehearsal:
    """Takes events as `Ingest` does, into what is held as it is now, and nowhere else. Closed with a `with` block."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        now: int,
        *,
        livemode: bool | None = None,
        most: int = MOST,
    ) -> None:
        """`policy` is the one in force; `livemode` is null for the mode that is pinned, if one is.

        Up to `most` of the customers whom the events would change are held in memory.
        """
        self._store = store
        self._policy = policy
        self._now = now
        self._livemode = livemode
        self._overlay = Overlay(most)
        self._customers: dict[Subject, Foretold] = {}
        """Of the batch at hand, whoever it is about."""
        self._marks: dict[Marked, Outcome] = {}
        """Likewise of what moves no subscription."""

    def __enter__(self) -> Self:
        """Return itself, to be closed with the block."""
        return self

    def __exit__(self, *_: object) -> None:
        self._overlay.close()

    async def take(self, bodies: Sequence[bytes]) -> list[Foreseen]:
        """Foresee what would become of authentic bodies, in their order, after all that were taken before.

        A batch is read at once: some hundreds are a good number. Raises BadRequest for what is not JSON, StoreError.
        """
        read = [decode(body, self._policy.metadata_key) for body in bodies]
        if self._livemode is None:
            self._livemode = await self._store.livemode()
        await self._fetch([one for one in read if isinstance(one, SubscriptionEvent)])
        pairs = [(one, event_id(one, body)) for one, body in zip(read, bodies, strict=True)]
        named = {self._marked(one, name) for one, name in pairs if self._may_be_marked(one)}
        self._marks = await marks.outcomes(self._store, named)
        return [self._foreseen(one, name) for one, name in pairs]

    async def _fetch(self, events: Sequence[SubscriptionEvent]) -> None:
        found = {subject: self._overlay.get(subject) for subject in {e.subject for e in events}}
        self._customers = {subject: one for subject, one in found.items() if one}
        for whole in await self._store.wholes([s for s, one in found.items() if not one]):
            self._customers[whole.subject] = Foretold(whole, whole)

    def _may_be_marked(self, one: Decoded) -> bool:
        """Tell whether an event is not simply a fact; one that is too old while others are taken in was so before."""
        if not isinstance(one, SubscriptionEvent) or one.livemode != self._livemode:
            return True
        cold = self._customers[one.subject].after.subscriptions.get(one.subscription, NOTHING)
        return precedes(cold.base, one.fact)

    def _marked(self, one: Decoded, name: str) -> Marked:
        """Return where the mark of an event is looked for that moves no subscription (`Store.keep`)."""
        if isinstance(one, SubscriptionEvent) and one.livemode == self._livemode:
            return Marked(self._store.partition(str(one.subject)), name)
        return Marked(self._store.partition(name), name)

    def _foreseen(self, one: Decoded, name: str) -> Foreseen:
        if isinstance(one, NotUnderstood):
            return self._keep(one, name, "quarantined", one.why)
        if self._livemode is None:
            self._livemode = one.livemode
        if one.livemode != self._livemode:
            return self._keep(one, name, "quarantined", WRONG_MODE)
        if isinstance(one, OtherEvent):
            return self._keep(one, name, "ignored")
        whole = self._customers[one.subject].after
        held = Held(whole.record, whole.subscriptions.get(one.subscription, NOTHING))
        if first := known(held, name):
            return Foreseen(receipt_of(one, whole.record.version, "duplicate", first.outcome))
        if precedes(held.subscription.base, one.fact):
            return self._keep(one, name, "stale", TOO_OLD)
        return self._absorb(one)

    def _absorb(self, event: SubscriptionEvent) -> Foreseen:
        before, whole = self._customers[event.subject]
        whole, name = self._caught_up(whole), event.subscription
        told = replace(event, fact=replace(event.fact, received_ms=self._now * 1000))
        held = Held(whole.record, whole.subscriptions.get(name, NOTHING))
        found = absorb(held, told, self._policy, self._now)
        subscriptions = {**whole.subscriptions, name: found.subscription}
        after = Foretold(before, Whole(event.subject, found.customer, subscriptions))
        self._customers[event.subject] = after
        self._overlay.put(after)
        return Foreseen(receipt_of(event, found.customer.version, found.outcome))

    def _caught_up(self, whole: Whole) -> Whole:
        """Return a customer as it would first be decided anew, where it is still decided by another policy."""
        if not whole.record.decisions or whole.record.policy == self._policy.digest:
            return whole
        anew = redecided(whole, self._policy)
        return replace(anew, record=superseding(whole.record, anew.record, self._now))

    def _keep(self, one: Decoded, name: str, outcome: Outcome, why: str = "") -> Foreseen:
        """Foresee what store/keep.lua would do: what was quarantined and is understood when it comes again is news."""
        where = self._marked(one, name)
        held = self._overlay.kept(where) or self._marks.get(where)
        if held and (outcome == "quarantined" or held != "quarantined"):
            return Foreseen(receipt_of(one, None, "duplicate", held), why)
        self._overlay.keep(where, outcome)
        return Foreseen(receipt_of(one, None, outcome), why)

    async def consequences(self, *, happened: bool = False) -> AsyncIterator[Consequence]:
        """Yield what would become of each customer whom the events would change, once each.

        Or, with `happened`, what has become of them since they were taken, by what the store holds now.
        """
        customers = iter(self._overlay)
        while some := list(islice(customers, TOGETHER)):
            afters = [after for _, after in some]
            if happened:
                subjects = [after.subject for after in afters]
                afters = await patiently(partial(self._store.wholes, subjects))
            said = await self._said(afters)
            await asyncio.sleep(0)  # whoever else works in this process has a turn
            for (before, _), after in zip(some, afters, strict=True):
                at, words = latest(after, self._now), said.get(after.subject, NOTHING_SAID)
                found = consequences(before, after, self._policy, at, words)
                yield Consequence(before.subject, list(found), _ambiguous(before, after))

    async def _said(self, wholes: Sequence[Whole]) -> dict[Subject, Words]:
        """Return all that people said over policy, about the customers about whom they said anything."""
        subjects = [whole.subject for whole in wholes if whole.record.said_at]
        if not subjects:
            return {}
        words = await patiently(partial(self._store.words, subjects))
        return dict(zip(subjects, words, strict=True))


COLUMNS = (*preview.COLUMNS, "since")


def row(found: Difference) -> tuple[object, ...]:
    """Return a difference as a row of a table, in the order of COLUMNS; times in Unix seconds."""
    return (*preview.row(found), "" if found.since is UNSET else found.since)


def _ambiguous(before: Whole, after: Whole) -> list[str]:
    return [
        name
        for name, cold in after.subscriptions.items()
        if cold.state and cold.state.ambiguous and cold != before.subscriptions.get(name)
    ]
