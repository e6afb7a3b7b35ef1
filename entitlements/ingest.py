"""The one way in: decode, order, fold, decide, commit. A delivery, a replay and a reconciliation all come through here.

Nothing is acknowledged that is not stored. Whoever calls may call again with the same event: it is held once.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from entitlements import metrics
from entitlements.absorb import Absorbed, absorb, known
from entitlements.compact import precedes
from entitlements.decode import Decoded, NotUnderstood, OtherEvent, decode
from entitlements.errors import StoreBusy
from entitlements.model import Outcome, Subject, SubscriptionEvent
from entitlements.policy import Policy
from entitlements.rewrite import rewrite
from entitlements.side_by_side import side_by_side
from entitlements.store import marks, quarantine
from entitlements.store.audit import Deed, Record
from entitlements.store.entry import Entry
from entitlements.store.store import Store
from entitlements.turns import Turns

LATE = 60
"""Seconds after its creation from which a delivery may be one that was quarantined before, and is looked up there."""

ATTEMPTS = 8
"""Processes may race for one customer; an attempt that is lost means that somebody else's was won."""

AT_ONCE = 48
"""Customers whose events are replayed side by side: fewer than a client has connections."""

TOO_OLD = "it is older than all that is retained of its subscription (log_retention)"
WRONG_MODE = "its livemode is not the one that this service is for (ENTITLEMENTS_LIVEMODE)"


class Receipt(Struct, frozen=True, omit_defaults=True):
    """What became of one event."""

    event: str | None
    outcome: Outcome
    customer: str | None
    subscription: str | None
    version: int | None
    first: Outcome | None = None
    """Of a duplicate: the outcome of the delivery that came first."""


class Delivery(Struct, frozen=True):
    """One authentic body, when it came, and a name that no other delivery has."""

    body: bytes
    received_ms: int
    name: str
    replayed: bool = False
    """What it changes is marked in the feed."""


class Ingest:
    """Takes deliveries into a store, by one policy and for one mode."""

    def __init__(self, store: Store, policy: Policy, *, livemode: bool | None = None) -> None:
        self.store = store
        self.policy = policy
        """The one in force, as far as this process knows."""
        self.livemode = livemode
        """Null until the first verified event pins it."""
        self._turns = Turns()
        """Of customers. Without them a burst about one would be read at once and written once, over and over."""

    async def deliver(self, body: bytes, now: float) -> Receipt:
        """Take in one verified body, received at `now` (Unix seconds).

        Raises BadRequest where it is not JSON, StoreError where it could not be stored: then nothing is acknowledged.
        """
        decoded = decode(body, self.policy.metadata_key)
        delivery = Delivery(body, int(now * 1000), secrets.token_urlsafe(6))
        receipt = await self._enter(delivery, decoded)
        if _settled(receipt) and _late(decoded, now):
            await quarantine.leaves(self.store, *_come_again(receipt, int(now)))
        return receipt

    async def replay(
        self, bodies: Sequence[bytes], now: float, deed: Deed, names: Sequence[str]
    ) -> list[Receipt]:
        """Take in authentic bodies again, or for the first time, for a replay; in their order.

        What is about different customers goes in side by side. `names` are those of the deliveries, as no others have
        them. Raises as `deliver`: all of it may be tried again under the same names, and has the same outcomes then.
        """
        read = [decode(body, self.policy.metadata_key) for body in bodies]
        queues: dict[object, list[int]] = {}
        for n, one in enumerate(read):
            about = one.subject if isinstance(one, SubscriptionEvent) else event_id(one, bodies[n])
            queues.setdefault(about, []).append(n)
        for first in (one for one in read if not isinstance(one, NotUnderstood)):
            await self._of_other_mode(first)
            break
        receipts: dict[int, Receipt] = {}

        async def follow(queue: Sequence[int]) -> None:
            for n in queue:
                delivery = Delivery(bodies[n], int(now * 1000), names[n], replayed=True)
                receipts[n] = await self._enter(delivery, read[n])

        await side_by_side((follow(queue) for queue in queues.values()), AT_ONCE)
        found = [receipts[n] for n in range(len(bodies))]
        events = [r.event for r in found if r.event and _settled(r)]
        for event in await marks.waiting(self.store, events):
            await quarantine.leaves(self.store, event, deed.record("quarantine.replayed", event))
        return found

    async def _enter(self, delivery: Delivery, decoded: Decoded) -> Receipt:
        if isinstance(decoded, NotUnderstood):
            return await self._keep(delivery, decoded, "quarantined", decoded.why)
        if await self._of_other_mode(decoded):
            return await self._keep(delivery, decoded, "quarantined", WRONG_MODE)
        return await self._take(delivery, decoded, self.policy)

    async def readmit(self, body: bytes, now: float) -> Receipt | str:
        """Take in a body that was quarantined, by the same steps; or return why it cannot be.

        It counts as received now: before, nobody's answer knew of it. Whoever calls takes it out of the quarantine.
        """
        policy = self.policy
        decoded = decode(body, policy.metadata_key)
        if isinstance(decoded, NotUnderstood):
            return decoded.why
        if await self._of_other_mode(decoded):
            return WRONG_MODE
        delivery = Delivery(body, int(now * 1000), secrets.token_urlsafe(6))
        return await self._take(delivery, decoded, policy)

    async def _of_other_mode(self, decoded: SubscriptionEvent | OtherEvent) -> bool:
        if self.livemode is None:
            self.livemode = await self.store.pin_livemode(livemode=decoded.livemode)
        return decoded.livemode != self.livemode

    async def _take(
        self, delivery: Delivery, decoded: SubscriptionEvent | OtherEvent, policy: Policy
    ) -> Receipt:
        if isinstance(decoded, SubscriptionEvent):
            async with self._turns.of(str(decoded.subject)):
                return await self._absorb(delivery, decoded, policy)
        return await self._keep(delivery, decoded, "ignored")

    async def _absorb(
        self, delivery: Delivery, decoded: SubscriptionEvent, policy: Policy
    ) -> Receipt:
        event, now = _received(delivery, decoded), delivery.received_ms // 1000
        for _ in range(ATTEMPTS):
            held = await self.store.held(event.subject, event.subscription)
            if known(held, event.fact.event):
                held = await self.store.confirmed(held, event.subject, event.subscription)
            if first := known(held, event.fact.event):
                return receipt_of(
                    event, held.customer.version, *_again(delivery, first.outcome, first.delivery)
                )
            if precedes(held.subscription.base, event.fact):
                return await self._keep(delivery, event, "stale", TOO_OLD)
            if held.customer.version and held.customer.policy != policy.digest:
                policy = await self._catch_up(event.subject, now)
                event = _received(delivery, decode(delivery.body, policy.metadata_key))
                continue
            absorbed = absorb(held, event, policy, now)
            if delivery.replayed:
                absorbed = _marked(absorbed)
            entry = _entry(delivery, event, absorbed.outcome)
            if await self.store.commit(held, absorbed, event.subject, entry):
                return receipt_of(event, absorbed.customer.version, absorbed.outcome)
            metrics.commit_conflict()
        raise StoreBusy(
            "Other deliveries about this customer came first, several times over. Try again shortly."
        )

    async def _catch_up(self, subject: Subject, now: int) -> Policy:
        """Learn which policy is in force and decide a customer by it whole: no record mixes two."""
        self.policy = policy = await self.store.policy_in_force()
        (whole,) = await self.store.wholes([subject])
        await rewrite(self.store, whole, policy, now)
        return policy

    async def _keep(
        self, delivery: Delivery, decoded: Decoded, outcome: Outcome, why: str = ""
    ) -> Receipt:
        entry = _entry(delivery, decoded, outcome, why)
        held, by = await self.store.keep(entry)
        return receipt_of(decoded, None, *_again(delivery, held, by))


def _received(delivery: Delivery, decoded: Decoded) -> SubscriptionEvent:
    """Return what a delivery about a subscription says, with the delivery's name in its fact."""
    assert isinstance(
        decoded, SubscriptionEvent
    )  # the same body read by another key of its metadata
    fact = replace(decoded.fact, received_ms=delivery.received_ms, delivery=delivery.name)
    return replace(decoded, fact=fact)


def _marked(absorbed: Absorbed) -> Absorbed:
    """Mark the changes that the event makes, and not those that the clock had made before."""
    told = (
        replace(change, replayed=True) if change.event else change for change in absorbed.changes
    )
    return replace(absorbed, changes=tuple(told))


def _settled(receipt: Receipt) -> bool:
    """Tell whether an event is taken in, and has nothing more to wait for."""
    return "quarantined" not in {receipt.outcome, receipt.first}


def _late(decoded: Decoded, now: float) -> bool:
    """Tell whether an event may have come before, and been quarantined."""
    if isinstance(decoded, NotUnderstood):
        return False
    created = decoded.fact.created if isinstance(decoded, SubscriptionEvent) else decoded.created
    return now - created > LATE


def _come_again(receipt: Receipt, now: int) -> tuple[str, Record]:
    """Return an event that is taken in, and what to record if it turns out to have been quarantined."""
    event = receipt.event or ""
    return event, Record(
        at=now,
        by="stripe",
        action="quarantine.delivered",
        about=event,
        reason="it was delivered again, and is understood",
        outcome=receipt.outcome,
    )


def _again(delivery: Delivery, held: Outcome, by: str) -> tuple[Outcome, Outcome | None]:
    """Return the outcome, and that of the first delivery if this is another one.

    The client may repeat a write whose reply was lost: then it finds its own name, and the outcome is its own.
    """
    return (held, None) if by == delivery.name else ("duplicate", held)


def receipt_of(
    decoded: Decoded, version: int | None, outcome: Outcome, first: Outcome | None = None
) -> Receipt:
    """Return what became of an event, and of a customer's record."""
    if isinstance(decoded, SubscriptionEvent):
        customer = decoded.subject.customer
        return Receipt(decoded.fact.event, outcome, customer, decoded.subscription, version, first)
    return Receipt(decoded.event, outcome, None, None, version, first)


def event_id(decoded: Decoded, body: bytes) -> str:
    """Return the id of an event; what has none is known by its content."""
    if isinstance(decoded, SubscriptionEvent):
        return decoded.fact.event
    return decoded.event or f"sha256:{hashlib.sha256(body).hexdigest()}"


def _entry(delivery: Delivery, decoded: Decoded, outcome: Outcome, why: str = "") -> Entry:
    """Return the line for the log."""
    subject, subscription, created = "", "", None
    match decoded:
        case SubscriptionEvent(fact=fact):
            kind, created = fact.type, fact.created
            subject, subscription = str(decoded.subject), decoded.subscription
        case OtherEvent():
            kind, created = decoded.type, decoded.created
        case NotUnderstood():
            kind = decoded.type or "unknown"
        case _:
            assert_never(decoded)
    return Entry(
        event=event_id(decoded, delivery.body),
        type=kind,
        outcome=outcome,
        delivery=delivery.name,
        received_ms=delivery.received_ms,
        body=delivery.body,
        created=created,
        subject=subject,
        subscription=subscription,
        why=why,
    )
