"""What people do about events that were quarantined: see what taking one in would mean, take it in, discard it."""

from collections.abc import Sequence

from msgspec import Struct

from entitlements.errors import Conflict
from entitlements.ingest import WRONG_MODE, Ingest
from entitlements.model import Outcome
from entitlements.redecide import Difference
from entitlements.rehearse import Rehearsal
from entitlements.store import quarantine
from entitlements.store.audit import Deed
from entitlements.store.store import Store

RETRY, DISCARD = "quarantine.retry", "quarantine.discard"


class Settled(Struct, frozen=True, tag_field="object", tag="quarantine_retry"):
    """What became, or would become, of an event that is tried again; `quarantined` says that it stays, and `why`."""

    event: str
    outcome: Outcome
    customer: str | None = None
    subscription: str | None = None
    version: int | None = None
    why: str | None = None
    data: Sequence[Difference] = ()
    """Of a preview: the answers that would change."""


async def retry(store: Store, ingest: Ingest, event: str, deed: Deed) -> Settled:
    """Try an event again. It leaves the quarantine once it is stored where it belongs; else it stays, with the reason.

    Stopped in between, it is tried again as a `duplicate`, and leaves. Raises NotFound; Conflict for the wrong mode.
    """
    _, body = await quarantine.one(store, event)
    receipt = await ingest.readmit(body, deed.at)
    if isinstance(receipt, str):
        if receipt == WRONG_MODE:
            raise Conflict(f"{event} stays in the quarantine: {WRONG_MODE}.")
        await quarantine.stays(store, event, receipt, deed.record(RETRY, event, "quarantined"))
        return Settled(event, "quarantined", why=receipt)
    await quarantine.leaves(store, event, deed.record(RETRY, event, receipt.outcome))
    return Settled(event, receipt.outcome, receipt.customer, receipt.subscription, receipt.version)


async def discard(store: Store, event: str, deed: Deed) -> quarantine.Waiting:
    """Take an event out of the quarantine for good; the log keeps it as long as any. Raises NotFound."""
    waiting, _ = await quarantine.one(store, event)
    await quarantine.leaves(store, event, deed.record(DISCARD, event))
    return waiting


async def foresee(store: Store, event: str, now: int, *, livemode: bool | None = None) -> Settled:
    """Return what a retry would make of an event. Writes nothing. Raises NotFound.

    `livemode` is the mode of the service; null for the one that is pinned, if one is.
    """
    _, body = await quarantine.one(store, event)
    with Rehearsal(store, await store.policy_in_force(), now, livemode=livemode) as rehearsal:
        ((receipt, why),) = await rehearsal.take([body])
        found = [d async for customer in rehearsal.consequences() for d in customer.differences]
    if receipt.first == "quarantined":
        return Settled(event, "quarantined", why=why)
    return Settled(
        event,
        receipt.outcome,
        receipt.customer,
        receipt.subscription,
        receipt.version,
        why or None,
        found,
    )
