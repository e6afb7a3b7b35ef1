"""`entitlements quarantine`: what was authentic and could not be taken in; try it again, or discard it."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli import deeds
from entitlements.cli.deeds import Actor, AsJson, Confirmed, Reason
from entitlements.cli.sheets import AsCsv, Sheet, printer

if TYPE_CHECKING:
    from entitlements.quarantine import Settled
    from entitlements.settings import Settings
    from entitlements.store.audit import Deed
    from entitlements.store.quarantine import Waiting
    from entitlements.store.store import Store

app = typer.Typer(
    help="See what could not be understood, try it again, or discard it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NAME = "quarantine"
COLUMNS = ("event", "type", "customer", "received", "attempts", "why")
Event = Annotated[str, typer.Argument(help="The event's id, as the list has it.")]


@app.command(name="list")
def list_all(
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List what waits, the newest first."""
    from msgspec.structs import astuple

    from entitlements.store import quarantine

    sheet = Sheet(quarantine.Waiting.__struct_fields__, astuple, COLUMNS, _cells)
    out = printer(sheet, as_json=as_json, as_csv=as_csv)

    async def read(store: "Store") -> "tuple[list[Waiting], int]":
        found = await quarantine.page(store, limit)
        return found, await quarantine.count(store)

    found, count = deeds.with_store(deeds.settings(), NAME, read)
    out.add(found)
    out.end()
    typer.echo(f"{len(found)} of {count} shown.", err=True)


def _cells(one: "Waiting") -> tuple[str, ...]:
    from entitlements.instants import rfc3339

    received = rfc3339(one.received_ms // 1000)
    return one.event, one.type, one.subject, received, str(one.attempts), one.why


@app.command()
def show(event: Event, *, as_json: AsJson = False) -> None:
    """Print one event's body as it was sent, but for secrets; beside it why it waits, and what a retry would do."""
    import msgspec

    from entitlements import redact
    from entitlements.store.quarantine import one

    settings = deeds.settings()

    async def read(store: "Store") -> "tuple[Waiting, str, Settled]":
        waiting, body = await one(store, event)
        return waiting, redact.shown(body), await _foresee(settings, store, event)

    waiting, body, foreseen = deeds.with_store(settings, NAME, read)
    if as_json:
        deeds.print_json(
            [{"entry": waiting, "body": msgspec.Raw(body.encode()), "retry": foreseen}]
        )
        return
    typer.echo(body)
    typer.echo(f"It waits because: {waiting.why}", err=True)
    _report([foreseen], err=True)


@app.command()
def retry(  # noqa: PLR0913  one for each option
    event: Annotated[str | None, typer.Argument(help="The event's id; or give --all.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that waits.")] = False,
    confirmed: Confirmed = False,
    reason: Reason = "tried again",
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Try again what waits, after a preview of what would become of it and who gains or loses access.

    Without --apply only the preview is made. Exit code 1 if something stays in the quarantine.
    """
    from entitlements.errors import BadRequest

    if (event is None) == (not every):
        raise BadRequest("Name one event, or give --all.")
    settings = deeds.settings()
    named = [event] if event else deeds.with_store(settings, NAME, _all)
    found = _each(settings, named, "previewing", lambda store, e: _foresee(settings, store, e))
    _report(found, err=confirmed or as_json)
    if not confirmed:
        typer.echo("Nothing is written. Try again with --apply.", err=True)
    else:
        deed = deeds.deed(actor, reason)
        found = _each(
            settings, named, "retrying", lambda store, e: _retry(settings, store, e, deed)
        )
        typer.echo("Done:", err=True)
        if not as_json:
            _report(found)
    if as_json:
        deeds.print_json(found)
    if any(settled.outcome == "quarantined" for settled in found):
        raise typer.Exit(1)


@app.command()
def discard(
    event: Event,
    *,
    reason: Reason,
    confirmed: Confirmed = False,
    actor: Actor = None,
) -> None:
    """Take one event out of the quarantine for good; the log keeps it as long as any other.

    Without --apply it is only shown.
    """
    from entitlements import quarantine
    from entitlements.store.quarantine import one

    deed = deeds.deed(actor, reason)

    async def do(store: "Store") -> "Waiting":
        if confirmed:
            return await quarantine.discard(store, event, deed)
        return (await one(store, event))[0]

    found = deeds.with_store(deeds.settings(), NAME, do)
    done = "is discarded" if confirmed else "would be discarded"
    typer.echo(f"{found.event} ({found.type}) {done}. It waited because: {found.why}")
    if not confirmed:
        typer.echo("Nothing is written. Discard it with --apply.", err=True)


async def _all(store: "Store") -> list[str]:
    from entitlements.store.quarantine import walk

    return [waiting.event async for waiting in walk(store)][::-1]  # as they came


def _each(
    settings: "Settings",
    events: list[str],
    doing: str,
    do: Callable[["Store", str], Awaitable["Settled"]],
) -> list["Settled"]:
    """Do something about each event, with a bar on a terminal's standard error."""
    from entitlements.cli.progress import progress

    async def follow(store: "Store") -> "list[Settled]":
        found = []
        with progress(doing) as bar:
            for n, event in enumerate(events, 1):
                found.append(await do(store, event))
                bar(n / len(events), f"{n} events")
        return found

    return deeds.with_store(settings, NAME, follow)


async def _foresee(settings: "Settings", store: "Store", event: str) -> "Settled":
    from entitlements.quarantine import foresee

    return await foresee(store, event, int(time.time()), livemode=settings.livemode)


async def _retry(settings: "Settings", store: "Store", event: str, deed: "Deed") -> "Settled":
    """Try one again; what is refused or gone by now is told among the others, and stops none of them."""
    from entitlements import quarantine
    from entitlements.errors import Conflict, NotFound
    from entitlements.ingest import Ingest

    ingest = Ingest(store, await store.policy_in_force(), livemode=settings.livemode)
    try:
        return await quarantine.retry(store, ingest, event, deed)
    except Conflict as refused:
        return quarantine.Settled(event, "quarantined", why=str(refused))
    except NotFound as gone:
        return quarantine.Settled(event, "duplicate", why=str(gone))


def _report(found: list["Settled"], *, err: bool = False) -> None:
    from entitlements.cli import tables

    def row(settled: "Settled") -> tuple[str, ...]:
        told = [f"{d.kind} {d.feature}" for d in settled.data]
        return (
            settled.event,
            settled.outcome,
            settled.customer or "",
            settled.subscription or "",
            ", ".join(told) or settled.why or "",
        )

    columns = ("event", "outcome", "customer", "subscription", "who gains or loses; why not")
    tables.show(columns, map(row, found), err=err)
