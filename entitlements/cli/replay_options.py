"""What `entitlements replay` takes, and what it asks for by it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from entitlements.cli.deeds import Actor, AsJson
from entitlements.errors import BadRequest

if TYPE_CHECKING:
    from entitlements.store.replays import Asked


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which events, and what becomes of them."""

    file: Annotated[
        Path | None,
        typer.Argument(
            help="With --source file: JSON events, one a line or as the Stripe CLI prints them; - for standard input."
        ),
    ] = None
    source: Annotated[
        Literal["log", "stripe", "file"] | None,
        typer.Option(help="Where the events come from. [default: file, where one is named]"),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(help="From this time on: of receipt in the log, else of creation."),
    ] = None
    until: Annotated[str | None, typer.Option(help="Up to this time, which is not included.")] = (
        None
    )
    type: Annotated[
        str | None, typer.Option(help="Of this type; with * at its end all that begin so.")
    ] = None
    customer: Annotated[str | None, typer.Option(help="About this one alone.")] = None
    account: Annotated[str | None, typer.Option(help="Of this connected account.")] = None
    subscription: Annotated[str | None, typer.Option(help="About this one alone.")] = None
    event: Annotated[str | None, typer.Option(help="This one alone.")] = None
    undelivered: Annotated[
        bool,
        typer.Option(
            "--undelivered",
            help="With --source stripe: what it could not deliver to every endpoint of the account.",
        ),
    ] = False
    confirmed: Annotated[
        bool, typer.Option("--apply", help="Do it; without it only foresee it.")
    ] = False
    reason: Annotated[str | None, typer.Option(help="Why, for the record; --apply needs it.")] = (
        None
    )
    actor: Actor = None
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with a replay that was stopped, or apply one that was previewed: its window, by its id."
        ),
    ] = None
    listed: Annotated[bool, typer.Option("--list", help="List replays, the newest first.")] = False
    show: Annotated[
        str | None, typer.Option(help="Show one by its id, and whose answers it changed.")
    ] = None
    cancel: Annotated[
        str | None, typer.Option(help="End one that runs, after the batch at hand.")
    ] = None
    json: AsJson = False
    csv: Annotated[bool, typer.Option("--csv", help="Print every answer that changes as CSV.")] = (
        False
    )


def asked(options: Options, now: int) -> "Asked":
    """Return which events are meant. Raises BadRequest for what does not go together."""
    from entitlements.cli.times import instant
    from entitlements.store.replays import Asked

    source = options.source or ("file" if options.file else None)
    if source is None:
        raise BadRequest("Say where the events come from: --source log, stripe, or a file.")
    if (source == "file") != (options.file is not None):
        raise BadRequest("Name a file with --source file, and with no other; - is standard input.")
    if options.undelivered and source != "stripe":
        raise BadRequest(
            "Only Stripe knows what is undelivered: --undelivered is for --source stripe."
        )
    since, until = options.since, options.until
    return Asked(
        source=source,
        since=None if since is None else instant(since, now),
        until=None if until is None else instant(until, now),
        type=options.type,
        customer=options.customer,
        account=options.account,
        subscription=options.subscription,
        event=options.event,
        undelivered=options.undelivered,
        path=None if options.file is None else str(options.file),
    )
