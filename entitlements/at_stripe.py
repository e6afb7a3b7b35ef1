"""What people have Stripe do: pause the collection of payment, collect again, open the customer portal.

Nothing of it is written to decisions here: Stripe tells what it did by a webhook, as always. Each deed is recorded
before Stripe is asked and after it answered, so that nothing is done there that nobody wrote down here.
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from entitlements.errors import BadRequest, NotFound, StripeError, StripeRefused
from entitlements.model import PauseCollection, Subject
from entitlements.reading import event_of
from entitlements.redecide import Difference
from entitlements.rehearse import Rehearsal
from entitlements.store import audit
from entitlements.store.audit import Deed
from entitlements.store.store import Store
from entitlements.stripe_api import Read, StripeApi
from entitlements.stripe_api.lists import decoded
from entitlements.stripe_api.shapes import Pause, PortalRequest, PortalSession, Subscription


class Order(Struct, frozen=True):
    """How the collection of payment for a subscription is to be; without a pause it is collected."""

    subscription: str
    pause: Pause | None = None
    account: str | None = None

    def __str__(self) -> str:
        """Return it in words, for the record."""
        if self.pause is None:
            return f"{self.subscription} collects"
        until = self.pause.resumes_at
        return f"{self.subscription} {self.pause.behavior}" + (f" until {until}" if until else "")


class Collection(Struct, frozen=True, tag_field="object", tag="collection"):
    """How payment for a subscription is collected, as Stripe has it. Times are Unix seconds."""

    subscription: str
    customer: str
    status: str
    was: PauseCollection | None
    """The pause before."""
    pause_collection: PauseCollection | None
    """The pause that Stripe holds now; of a preview, the one that it would."""
    as_of: int
    applied: bool
    account: str | UnsetType = UNSET
    idempotency_key: str | UnsetType = UNSET
    """Under which it was sent: sent again under the same, it is done once."""
    data: list[Difference] | UnsetType = UNSET
    """Of a preview: the answers that would change here."""


async def foresee(
    api: StripeApi, store: Store, order: Order, now: int, *, livemode: bool | None = None
) -> Collection:
    """Return what an order would change at Stripe, and the answers that would change by it here. Nothing is sent.

    `livemode` is the mode of the service; null for the one that is pinned. Raises BadRequest, StripeError, StoreError.
    """
    read, found = await _look(api, order, now)
    body = msgspec.json.decode(read.body) | {"pause_collection": found.pause_collection}
    becomes = read._replace(body=msgspec.json.encode(body))
    with Rehearsal(store, await store.policy_in_force(), now, livemode=livemode) as rehearsal:
        await rehearsal.take([event_of(becomes, order.account)])
        changed = [d async for one in rehearsal.consequences() for d in one.differences]
    return replace(found, data=changed)


async def _look(api: StripeApi, order: Order, now: int) -> tuple[Read, Collection]:
    """Return a subscription as Stripe has it, and what an order would make of it."""
    if order.pause and order.pause.resumes_at is not None and order.pause.resumes_at <= now:
        raise BadRequest("resumes_at has passed. Give a time to come, or none.")
    read = await api.subscription(Subject("", order.account), order.subscription)
    held, pause = decoded(read.body, Subscription), order.pause
    becomes = PauseCollection(pause.behavior, pause.resumes_at) if pause else None
    return read, Collection(
        subscription=held.id,
        customer=held.customer,
        status=held.status,
        was=held.pause_collection,
        pause_collection=becomes,
        as_of=read.stamp,
        applied=False,
        account=order.account or UNSET,
    )


async def change(
    api: StripeApi, store: Store, order: Order, deed: Deed, key: str | None = None
) -> Collection:
    """Carry out an order; return what Stripe holds now.

    `key` is the idempotency key, made up where none is given. Raises BadRequest, StripeError, StoreError.
    """
    key = key or new_key()
    _, before = await _look(api, order, deed.at)
    subject = Subject(before.customer, order.account)
    verb = "pause" if order.pause else "resume"
    async with _recorded(store, deed, f"subscription.{verb}", subject, str(order)):
        read = await _send(api, order, key)
    held = decoded(read.body, Subscription)
    return replace(
        before,
        status=held.status,
        pause_collection=held.pause_collection,
        as_of=read.stamp,
        applied=True,
        idempotency_key=key,
    )


async def _send(api: StripeApi, order: Order, key: str) -> Read:
    name, account = order.subscription, order.account
    if order.pause is None:
        return await api.clear_pause(name, key=key, account=account)
    return await api.set_pause(name, order.pause, key=key, account=account)


class PortalPreview(Struct, frozen=True, tag_field="object", tag="portal_preview"):
    """What a portal session would be made with."""

    customer: str
    configuration: str | None
    """The one that is asked for, or the default one; null where Stripe has none yet."""
    subscription_pause: bool
    """Whether customers pause by themselves there."""
    return_url: str | None
    flow: str | None
    subscription: str | None


async def foresee_portal(
    api: StripeApi, asked: PortalRequest, account: str | None = None
) -> PortalPreview:
    """Return what a session would be made with. Nothing is sent. Raises NotFound, StripeError."""
    configurations = await api.portal_configurations(account=account)
    named = asked.configuration
    found = [c for c in configurations if (c.id == named if named else c.is_default)]
    if named and not found:
        raise NotFound(f"Stripe has no portal configuration {named}.")
    return PortalPreview(
        customer=asked.customer,
        configuration=found[0].id if found else None,
        subscription_pause=bool(found and found[0].customers_pause),
        return_url=asked.return_url,
        flow=asked.flow,
        subscription=asked.subscription,
    )


async def open_portal(  # noqa: PLR0913  who, what and why
    api: StripeApi,
    store: Store,
    asked: PortalRequest,
    deed: Deed,
    *,
    key: str | None = None,
    account: str | None = None,
) -> PortalSession:
    """Make a customer's way into the portal. Raises StripeError, StoreError."""
    what = asked.configuration or "the default configuration"
    subject = Subject(asked.customer, account)
    async with _recorded(store, deed, "portal.open", subject, what):
        return await api.portal_session(asked, key=key or new_key(), account=account)


def new_key() -> str:
    """Return an idempotency key that nobody has used."""
    return f"entitlements_{secrets.token_urlsafe(16)}"


@asynccontextmanager
async def _recorded(
    store: Store, deed: Deed, action: str, subject: Subject, what: str
) -> AsyncGenerator[None]:
    """Record what the block is about to do, and what became of it. One record alone: nobody knows."""
    about = str(subject)
    await audit.write(store, deed.record(action, about, f"asked: {what}"))
    try:
        yield
    except StripeError as error:
        became = "refused" if isinstance(error, StripeRefused) else "unknown"
        await audit.write(store, deed.record(action, about, f"{became}: {what}: {error}"))
        raise
    await audit.write(store, deed.record(action, about, f"done: {what}"))
