"""What every command of `entitlements trigger` takes, and what follows from it."""

from dataclasses import dataclass
from pathlib import Path
from secrets import SystemRandom
from typing import Annotated

import typer

from entitlements.cli import credentials
from entitlements.cli.credentials import URL, BearerToken, Url
from entitlements.cli.times import instant
from entitlements.errors import SettingsError
from entitlements.sandbox import memory
from entitlements.sandbox.ids import random_ids
from entitlements.sandbox.peer import Peer
from entitlements.sandbox.shapes import LATEST
from entitlements.sandbox.stage import Stage, Wishes

TIME = "Unix seconds, RFC 3339, or an offset such as +30d or -2h."


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every command takes."""

    url: Url = None
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="ENTITLEMENTS_WEBHOOK_SECRETS",
            help="Signing secret; the first of several. [default: that of `dev`]",
        ),
    ] = None
    token: BearerToken = None
    data_dir: Annotated[
        Path,
        typer.Option(
            envvar="ENTITLEMENTS_DATA_DIR", help="Where `dev` and this command keep files."
        ),
    ] = Path(".entitlements")
    subscription: Annotated[
        str | None, typer.Option(help="Speak of this one. [default: the one sent last]")
    ] = None
    customer: Annotated[str | None, typer.Option(help="Whose subscription.")] = None
    account: Annotated[
        str | None, typer.Option(help="The connected account that the events come from.")
    ] = None
    product: Annotated[str | None, typer.Option(help="Product of a new subscription.")] = None
    price: Annotated[str | None, typer.Option(help="Price of a new subscription.")] = None
    lookup_key: Annotated[
        str | None, typer.Option(help="Lookup key of a new subscription's price.")
    ] = None
    quantity: Annotated[int | None, typer.Option(min=1, help="Quantity of a new subscription.")] = (
        None
    )
    livemode: Annotated[
        bool, typer.Option("--livemode", help="Make a new subscription in live mode.")
    ] = False
    period_end: Annotated[
        str | None,
        typer.Option(help=f"End of the period of a new or renewed subscription: {TIME}"),
    ] = None
    created: Annotated[
        str | None, typer.Option(help=f"When it happened: {TIME} [default: now]")
    ] = None
    api_version: Annotated[
        str,
        typer.Option(help="The endpoint's API version; one before 2025-03-31 has the old shape."),
    ] = LATEST
    feature: Annotated[
        str | None, typer.Option(help="Ask for this feature. [default: the product's id]")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False


def peer(options: Options) -> Peer:
    """Return the service that the options name, or else the `dev` of this data directory."""
    found = credentials.load(options.data_dir)
    given = (options.secret or "").split(",")[0].strip()
    secret = given or (found.webhook_secret if found else None)
    if not secret:
        raise SettingsError(
            "No signing secret to sign with. Start `entitlements dev` in this directory, "
            "or give --secret or ENTITLEMENTS_WEBHOOK_SECRETS."
        )
    url = options.url or (found.url if found else URL)
    return Peer(url, secret, options.token or (found.read_token if found else None))


def stage(options: Options, clock: int) -> Stage:
    """Return the scene of one change: what is remembered, and when it happens."""
    now = instant(options.created, clock) if options.created else clock
    wanted = {"id": options.subscription, "customer": options.customer, "account": options.account}
    held = memory.recall(memory.load(options.data_dir), **wanted)
    wishes = Wishes(
        **wanted,
        product=options.product,
        price=options.price,
        lookup_key=options.lookup_key,
        quantity=options.quantity,
        livemode=options.livemode or None,
        period_end=instant(options.period_end, now) if options.period_end else None,
    )
    return Stage(wishes, held, now, random_ids(SystemRandom()))
