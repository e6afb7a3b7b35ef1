"""Whether Stripe's word reaches this service: which secrets verify it, what was not delivered, and who differs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from entitlements.decode import TYPES
from entitlements.doctor.finding import Finding, fail, ok, warn
from entitlements.errors import StripeMissing
from entitlements.model import Subject
from entitlements.policy import DAY
from entitlements.reading import event_of
from entitlements.redecide import Difference
from entitlements.rehearse import Rehearsal
from entitlements.store.sample import sample
from entitlements.store.secrets import fingerprint
from entitlements.store.store import Store
from entitlements.stripe_api import EventFilter, Place, Read, StripeApi
from entitlements.stripe_api.lists import PAGE

SILENT = DAY
"""Seconds without a verified delivery."""

UNUSED = 3 * DAY
"""Seconds after which a secret that verifies nothing is of no use: for so long Stripe tries a delivery."""

UNDER_WAY = 300
"""Seconds in which an event may still be on its first way here."""

PAGES = 10
"""Of undelivered events."""

GRACE = 5.0
"""Seconds after which a difference is looked at again: its webhook may have been on its way."""

NAMED = 3
"""Of those who differ."""


def secrets(configured: Sequence[str], seen: Mapping[str, int], now: float) -> Finding:
    """Judge the signing secrets by when each verified a delivery, to the hour."""
    names = [fingerprint(secret) for secret in configured]
    check, last = "webhook.secrets", max((seen.get(name, 0) for name in names), default=0)
    if not last:
        return warn(
            check,
            f"no delivery was verified yet with {', '.join(names) or 'any secret'}",
            "let Stripe send an event, and compare ENTITLEMENTS_WEBHOOK_SECRETS with its endpoint's secret "
            "(run book: secret-rotation)",
        )
    if now - last > SILENT:
        return warn(
            check,
            f"the last delivery was verified {(now - last) / DAY:.1f} days ago",
            "look at the endpoint's deliveries in Stripe's Dashboard (run book: webhooks-failing)",
        )
    unused = [name for name in names if now - seen.get(name, 0) > UNUSED]
    used = ", ".join(name for name in names if name not in unused)
    if unused:
        return warn(
            check,
            f"{', '.join(unused)} verified nothing for days, {used} does",
            "remove what Stripe no longer signs with from ENTITLEMENTS_WEBHOOK_SECRETS "
            "(names are the first 8 digits of each secret's SHA-256)",
        )
    return ok(check, f"in use: {used}")


class Beside(Struct, frozen=True):
    """Stripe and what is held here, side by side."""

    api: StripeApi
    store: Store
    livemode: bool | None
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def rehearsal(self) -> Rehearsal:
        """Return what takes events without writing any."""
        policy = await self.store.policy_in_force()
        return Rehearsal(self.store, policy, int(self.clock()), livemode=self.livemode)


class _Created(Struct):
    created: int


async def undelivered(beside: Beside) -> Finding:
    """Judge what Stripe could not deliver within a day to some endpoint of the account: what is held here is well."""
    check, now = "stripe.undelivered", int(beside.clock())
    reads = await _undelivered(beside.api, now - DAY)
    with await beside.rehearsal() as rehearsal:
        foreseen = await rehearsal.take([read.body for read in reads])
    lost = [
        read.id
        for read, (receipt, _) in zip(reads, foreseen, strict=True)
        if receipt.outcome != "duplicate" and now - _created(read) > UNDER_WAY
    ]
    if lost:
        return fail(
            check,
            f"{len(lost)} events of the last day were not delivered and are not held, {lost[-1]} the first of them",
            "`entitlements replay --source stripe --undelivered` shows what they would change "
            "(run book: webhooks-failing)",
        )
    others = f"{len(reads)} were not delivered to some endpoint, and are held or on their way"
    return ok(check, others if reads else "all events of the last day were delivered")


async def _undelivered(api: StripeApi, since: int) -> list[Read]:
    """Return undelivered events, the newest first, up to PAGES of them."""
    asked = EventFilter(types=tuple(sorted(TYPES)), since=since, delivery_success=False)
    page = await api.events(asked)
    found = [*page.data]
    while page.has_more and len(found) < PAGES * PAGE:
        page = await api.events(asked, Place(starting_after=found[-1].id))
        found += page.data
    return found


def _created(read: Read) -> int:
    return msgspec.json.decode(read.body, type=_Created).created


async def drift(beside: Beside, count: int) -> Finding:
    """Compare some subscriptions that are held, and the newest that Stripe has, with each other."""
    held = await sample(beside.store, count)
    newest = await beside.api.subscriptions(Place(limit=count))
    found, looked = await _apart(beside, held, newest.data)
    if found:  # once more, when what is on its way has come
        await beside.sleep(GRACE)
        newest = await beside.api.subscriptions(Place(limit=count))
        found, looked = await _apart(beside, held, newest.data)
    if not found:
        return ok("drift", f"{looked} subscriptions looked at, here and at Stripe, say the same")
    examples = ", ".join(sorted(found)[:NAMED])
    return fail(
        "drift",
        f"of {looked} subscriptions looked at {len(found)} differ between here and Stripe: {examples}",
        "`entitlements reconcile` shows all of them, and mends them with --apply",
    )


async def _apart(
    beside: Beside, held: Sequence[tuple[Subject, str]], newest: Sequence[Read]
) -> tuple[set[str], int]:
    """Return what differs, in words, and how many subscriptions were looked at.

    A difference is one of answers: what Stripe says is rehearsed by the policy in force.
    """
    found = set[str]()
    reads: list[tuple[str | None, Read]] = [(None, read) for read in newest]
    for subject, name in held:
        try:
            read = await beside.api.subscription(subject, name)
        except StripeMissing:
            found.add(f"{name} of {subject} is not at Stripe")
        else:
            reads.append((subject.account, read))
    bodies = {read.id: event_of(read, account) for account, read in reads}
    with await beside.rehearsal() as rehearsal:
        foreseen = await rehearsal.take(list(bodies.values()))
        async for consequence in rehearsal.consequences():
            found |= {_said(d) for d in consequence.differences if d.kind != "past"}
    found |= {f"{name} {why}" for name, (_, why) in zip(bodies, foreseen, strict=True) if why}
    return found, len(bodies)


def _said(difference: Difference) -> str:
    subject = Subject(difference.customer, difference.account)
    return f"{subject} {difference.kind} {difference.feature}"
