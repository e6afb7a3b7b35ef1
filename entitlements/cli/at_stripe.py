"""`entitlements pause`, `resume` and `portal`: what people have Stripe do, after a look at what is there."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli import deeds
from entitlements.cli.deeds import Actor, AsJson
from entitlements.model import KnownBehavior

if TYPE_CHECKING:
    from entitlements.at_stripe import Collection, Order, PortalPreview
    from entitlements.model import PauseCollection
    from entitlements.settings import Settings
    from entitlements.store.audit import Deed
    from entitlements.store.store import Store
    from entitlements.stripe_api import StripeApi
    from entitlements.stripe_api.shapes import PortalRequest, PortalSession

Subscription = Annotated[str, typer.Argument(help="The subscription's id: sub_….")]
Account = Annotated[str | None, typer.Option(help="The connected account that it belongs to.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", help="Under which Stripe does it once, however often it is run."
    ),
]
Confirmed = Annotated[bool, typer.Option("--apply", help="Do it at Stripe; without it only look.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the record; needed with --apply.")]


def pause(  # noqa: PLR0913  one for each option
    subscription: Subscription,
    *,
    behavior: Annotated[
        KnownBehavior, typer.Option(help="What becomes of the invoices of that time.")
    ],
    resumes_at: Annotated[
        str | None,
        typer.Option(
            help="When to collect again (Unix seconds, RFC 3339, +30d); without it when somebody resumes it."
        ),
    ] = None,
    account: Account = None,
    key: Key = None,
    confirmed: Confirmed = False,
    reason: Reason = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Pause the collection of payment for a subscription, at Stripe.

    Without --apply it only shows what Stripe holds, what would be set, and who would gain or lose access by it. Access
    follows from Stripe's webhook.
    """
    from entitlements.at_stripe import Order
    from entitlements.cli.times import instant
    from entitlements.stripe_api.shapes import Pause

    until = None if resumes_at is None else instant(resumes_at, int(time.time()))
    order = Order(subscription, Pause(behavior, until), account)
    _change(order, deeds.deed_if(actor, reason, confirmed=confirmed), key, as_json=as_json)


def resume(  # noqa: PLR0913  one for each option
    subscription: Subscription,
    *,
    account: Account = None,
    key: Key = None,
    confirmed: Confirmed = False,
    reason: Reason = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Collect payment for a subscription again, at Stripe.

    Without --apply it only shows what Stripe holds. Invoices that were drafted meanwhile stay drafts.
    """
    from entitlements.at_stripe import Order

    order = Order(subscription, None, account)
    _change(order, deeds.deed_if(actor, reason, confirmed=confirmed), key, as_json=as_json)


def portal(  # noqa: PLR0913  one for each option
    customer: Annotated[str, typer.Argument(help="The customer's id: cus_….")],
    *,
    configuration: Annotated[
        str | None, typer.Option(help="How the portal looks: bpc_…; without it the default one.")
    ] = None,
    return_url: Annotated[
        str | None, typer.Option(help="Where the customer goes on leaving it.")
    ] = None,
    flow: Annotated[
        str | None,
        typer.Option(
            help="Lead to one purpose alone: payment_method_update, subscription_cancel, subscription_pause, "
            "subscription_update."
        ),
    ] = None,
    subscription: Annotated[
        str | None, typer.Option(help="The subscription that the flow is about.")
    ] = None,
    account: Account = None,
    key: Key = None,
    confirmed: Confirmed = False,
    reason: Reason = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Make a customer's way into the customer portal, and print its address.

    Without --apply it only shows what would be asked for. Whoever has the address is in: hand it to the customer alone.
    """
    given = {
        "customer": customer,
        "configuration": configuration,
        "return_url": return_url,
        "flow": flow,
        "subscription": subscription,
    }
    asked, deed = _portal_request(given), deeds.deed_if(actor, reason, confirmed=confirmed)
    settings = deeds.settings()
    api = _stripe(settings)
    if deed is None:
        _show_preview(asyncio.run(_foresee(api, asked, account)), as_json=as_json)
    else:
        made = _opened(settings, api, (asked, account), deed, key)
        deeds.print_json([made]) if as_json else typer.echo(made.url)


def _change(order: "Order", deed: "Deed | None", key: str | None, *, as_json: bool) -> None:
    """Carry out an order, or only show what it would change."""
    from entitlements import at_stripe

    settings = deeds.settings()
    api = _stripe(settings)

    async def do(store: "Store") -> "Collection":
        if deed:
            return await at_stripe.change(api, store, order, deed, key)
        now, livemode = int(time.time()), settings.livemode
        return await at_stripe.foresee(api, store, order, now, livemode=livemode)

    found = deeds.with_store(settings, "stripe", do)
    if as_json:
        deeds.print_json([found])
    else:
        _show(found)
    if deed is None:
        typer.echo("Nothing is sent. Do it with --apply and --reason.", err=True)


def _opened(
    settings: "Settings",
    api: "StripeApi",
    asked: "tuple[PortalRequest, str | None]",
    deed: "Deed",
    key: str | None,
) -> "PortalSession":
    from entitlements import at_stripe

    request, account = asked
    return deeds.with_store(
        settings,
        "stripe",
        lambda store: at_stripe.open_portal(api, store, request, deed, key=key, account=account),
    )


def _stripe(settings: "Settings") -> "StripeApi":
    from entitlements.stripe_api import required

    return required(settings.stripe_api_key, settings.stripe_api_base)


def _portal_request(given: dict[str, str | None]) -> "PortalRequest":
    import msgspec

    from entitlements.errors import BadRequest
    from entitlements.stripe_api.shapes import FLOWS, PortalRequest

    try:
        return msgspec.convert(given, PortalRequest)
    except msgspec.ValidationError as error:
        raise BadRequest(
            f"That cannot be asked for ({error}). --flow takes one of: {', '.join(FLOWS)}."
        ) from error


def _show(found: "Collection") -> None:
    from entitlements.cli import replay_shown, tables

    becomes = "now" if found.applied else "would be"
    columns = ("subscription", "customer", "status", "was", becomes)
    row = (found.subscription, found.customer, found.status)
    tables.show(columns, [(*row, _pause(found.was), _pause(found.pause_collection))])
    if found.data:
        replay_shown.table(found.data)


def _pause(pause: "PauseCollection | None") -> str:
    from entitlements.cli.times import rfc3339

    if pause is None:
        return "collected"
    return f"{pause.behavior} until {rfc3339(pause.resumes_at) or 'resumed'}"


async def _foresee(
    api: "StripeApi", asked: "PortalRequest", account: str | None
) -> "PortalPreview":
    from entitlements.at_stripe import foresee_portal

    return await foresee_portal(api, asked, account)


def _show_preview(found: "PortalPreview", *, as_json: bool) -> None:
    from msgspec.structs import asdict

    from entitlements.cli import tables

    if as_json:
        deeds.print_json([found])
    else:
        row = asdict(found) | {"subscription_pause": tables.yes(found.subscription_pause)}
        tables.show(list(row), [[value or "" for value in row.values()]])
    typer.echo("Nothing is sent. Make the session with --apply and --reason.", err=True)
