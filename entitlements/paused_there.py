"""What Stripe itself says is paused, and where that is not what is held here."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Literal

from msgspec import Struct

from entitlements.decode import decode
from entitlements.model import PauseCollection, Subject, SubscriptionEvent
from entitlements.patience import patiently
from entitlements.pauses import Wanted, cells, pause_here, pause_there, prices, products
from entitlements.reading import event_of
from entitlements.store import standing
from entitlements.store.places import Place
from entitlements.store.seen import Seen
from entitlements.store.store import Store
from entitlements.stripe_api import Page, StripeApi


class There(Struct, frozen=True, kw_only=True, tag_field="object", tag="subscription"):
    """A subscription whose collection is paused at Stripe while it stays in use. Since when is not told there."""

    account: str | None
    customer: str
    subscription: str
    status: str
    behavior: str
    resumes_at: int | None
    products: tuple[str, ...]
    prices: tuple[str, ...]


class Differs(Struct, frozen=True, kw_only=True, tag_field="object", tag="paused_difference"):
    """A subscription that is paused in another way here than at Stripe; null where it is not paused."""

    account: str | None
    customer: str
    subscription: str
    kind: Literal["only_here", "only_there", "differs"]
    here: PauseCollection | None
    there: PauseCollection | None


COLUMNS = (
    *("account", "customer", "subscription", "status", "behavior", "resumes_at"),
    *("products", "prices"),
)

DIFFERING = (
    *("account", "customer", "subscription", "kind", "behavior_here", "resumes_at_here"),
    *("behavior_there", "resumes_at_there"),
)


def row(found: There) -> tuple[object, ...]:
    """Return one as a row of a table, in the order of COLUMNS; times in Unix seconds."""
    return cells(found, COLUMNS)


def differing(found: Differs) -> tuple[object, ...]:
    """Return a difference as a row of a table, in the order of DIFFERING; times in Unix seconds."""
    pauses = [(p.behavior, p.resumes_at) if p else (None, None) for p in (found.here, found.there)]
    return found.account, found.customer, found.subscription, found.kind, *pauses[0], *pauses[1]


async def report_there(
    api: StripeApi, wanted: Wanted, now: int
) -> AsyncGenerator[tuple[int, list[There]]]:
    """Yield at how many subscriptions of Stripe was looked, and those that are paused; the newest come first.

    Of `wanted` counts what Stripe knows; the account is the key's own where it names none.
    Raises StripeError where the walk ends early: of the rest nothing is known.
    """
    async for page in api.walk_subscriptions(account=wanted.account):
        found = (_there(told, wanted, now) for told in _told(page, wanted.account))
        yield len(page.data), [one for one in found if one]


async def compare(
    store: Store, api: StripeApi, account: str | None, now: int
) -> AsyncGenerator[tuple[int, list[Differs]]]:
    """Yield at how many subscriptions was looked, and where the two differ; what only is here comes last.

    Where something newer is held than what was read, the read says nothing about it. Raises StripeError, StoreError.
    """
    seen, began = Seen(), now
    async for page in api.walk_subscriptions(account=account):
        told = _told(page, account)
        began = min([began, *(read.stamp for read in page.data)])
        for one in told:
            seen.add(hash(_member(one)))
        yield len(page.data), await patiently(partial(_of_page, store, told, now))
    async with aclosing(standing.walk(store, "paused", pace=patiently)) as walk:
        async for places in walk:
            missed = [
                place
                for place in places
                if place.subject.account == account
                and place.at < began
                and seen.add(hash(place.member))
            ]
            yield 0, await patiently(partial(_only_here, store, missed, now))


def _told(page: Page, account: str | None) -> list[SubscriptionEvent]:
    """Return what a page says. What cannot be read is left out: an event of it is in the quarantine, for a person."""
    found = (decode(event_of(read, account)) for read in page.data)
    return [one for one in found if isinstance(one, SubscriptionEvent)]


def _there(told: SubscriptionEvent, wanted: Wanted, now: int) -> There | None:
    snapshot = told.fact.snapshot
    pause = pause_there(snapshot, now)
    if pause is None or not wanted.covers(pause, products(snapshot), now):
        return None
    return There(
        account=told.subject.account,
        customer=told.subject.customer,
        subscription=told.subscription,
        status=snapshot.status,
        behavior=pause.behavior,
        resumes_at=pause.resumes_at,
        products=products(snapshot),
        prices=prices(snapshot),
    )


async def _of_page(store: Store, told: Sequence[SubscriptionEvent], now: int) -> list[Differs]:
    found = await standing.held(store, [(one.subject, one.subscription) for one in told])
    pairs = (
        _differs(
            one.subject,
            one.subscription,
            pause_here(state, now),
            pause_there(one.fact.snapshot, now),
        )
        for one, state in zip(told, (held.subscription.state for held in found), strict=True)
        if state is None or state.at <= one.fact.created
    )
    return [one for one in pairs if one]


async def _only_here(store: Store, places: Sequence[Place], now: int) -> list[Differs]:
    found = await standing.held(store, [(place.subject, place.about) for place in places])
    pairs = (
        _differs(place.subject, place.about, pause_here(one.subscription.state, now), None)
        for place, one in zip(places, found, strict=True)
    )
    return [one for one in pairs if one]


def _differs(
    subject: Subject, name: str, here: PauseCollection | None, there: PauseCollection | None
) -> Differs | None:
    if here == there:
        return None
    return Differs(
        account=subject.account,
        customer=subject.customer,
        subscription=name,
        kind="only_here" if there is None else "only_there" if here is None else "differs",
        here=here,
        there=there,
    )


def _member(told: SubscriptionEvent) -> str:
    return f"{told.subject} {told.subscription}"
