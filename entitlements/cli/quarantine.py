"""`entitlements quarantine`: what was authentic and could not be taken in; try it again, or discard it."""

import asyncio
import getpass
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from entitlements.quarantine import Deed, Settled
    from entitlements.settings import Settings
    from entitlements.store.quarantine import Waiting
    from entitlements.store.store import Store

app = typer.Typer(
    help="See what could not be understood, try it again, or discard it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Found = TypeVar("Found")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Confirmed = Annotated[bool, typer.Option("--apply", help="Do it; without it only look.")]
Actor = Annotated[
    str | None, typer.Option(help="Who does it, for the record; without it the user's name.")
]
Event = Annotated[str, typer.Argument(help="The event's id, as the list has it.")]


@app.command(name="list")
def list_all(
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what waits, the newest first."""
    from entitlements.cli import tables
    from entitlements.cli.times import rfc3339
    from entitlements.store import quarantine

    async def read(store: "Store") -> "tuple[list[Waiting], int]":
        found = await quarantine.page(store, limit)
        return found, await quarantine.count(store)

    found, count = _with_store(_settings(), read)
    if as_json:
        _print_json(found)
    else:
        columns = ("event", "type", "customer", "received", "attempts", "why")
        rows = [
            (w.event, w.type, w.subject, rfc3339(w.received_ms // 1000), str(w.attempts), w.why)
            for w in found
        ]
        tables.show(columns, rows)
    typer.echo(f"{len(found)} of {count} shown.", err=True)


@app.command()
def show(event: Event, *, as_json: AsJson = False) -> None:
    """Print one event's body as it was sent, but for secrets; beside it why it waits, and what a retry would do."""
    import msgspec

    from entitlements import quarantine
    from entitlements.store.quarantine import one

    settings = _settings()

    async def read(store: "Store") -> "tuple[Waiting, str, Settled]":
        waiting, body = await one(store, event)
        return waiting, quarantine.shown(body), await _foresee(settings, store, event)

    waiting, body, foreseen = _with_store(settings, read)
    if as_json:
        _print_json([{"entry": waiting, "body": msgspec.Raw(body.encode()), "retry": foreseen}])
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
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "tried again",
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Try again what waits, after a preview of what would become of it and who gains or loses access.

    Without --apply only the preview is made. Exit code 1 if something stays in the quarantine.
    """
    from entitlements.errors import BadRequest

    if (event is None) == (not every):
        raise BadRequest("Name one event, or give --all.")
    settings = _settings()
    named = [event] if event else _with_store(settings, _all)
    found = _each(settings, named, "previewing", lambda store, e: _foresee(settings, store, e))
    _report(found, err=confirmed or as_json)
    if not confirmed:
        typer.echo("Nothing is written. Try again with --apply.", err=True)
    else:
        deed = _deed(actor, reason)
        found = _each(
            settings, named, "retrying", lambda store, e: _retry(settings, store, e, deed)
        )
        typer.echo("Done:", err=True)
        if not as_json:
            _report(found)
    if as_json:
        _print_json(found)
    if any(settled.outcome == "quarantined" for settled in found):
        raise typer.Exit(1)


@app.command()
def discard(
    event: Event,
    *,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    confirmed: Confirmed = False,
    actor: Actor = None,
) -> None:
    """Take one event out of the quarantine for good; the log keeps it as long as any other.

    Without --apply it is only shown.
    """
    from entitlements import quarantine
    from entitlements.store.quarantine import one

    deed = _deed(actor, reason)

    async def do(store: "Store") -> "Waiting":
        if confirmed:
            return await quarantine.discard(store, event, deed)
        return (await one(store, event))[0]

    found = _with_store(_settings(), do)
    done = "is discarded" if confirmed else "would be discarded"
    typer.echo(f"{found.event} ({found.type}) {done}. It waited because: {found.why}")
    if not confirmed:
        typer.echo("Nothing is written. Discard it with --apply.", err=True)


def _settings() -> "Settings":
    from entitlements.cli import running

    return running.settings_from_environment()


def _with_store(settings: "Settings", do: Callable[["Store"], Awaitable[Found]]) -> Found:
    from entitlements.cli import running
    from entitlements.store.store import Store

    async def within(url: str) -> Found:
        name = "entitlements-quarantine"
        store = await Store.open(url, name=name, durability=settings.durability)
        try:
            return await do(store)
        finally:
            await store.close()

    with running.any_store_url(settings) as url:
        return asyncio.run(within(url))


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

    return _with_store(settings, follow)


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


def _deed(actor: str | None, reason: str) -> "Deed":
    from entitlements.quarantine import Deed

    return Deed(actor or getpass.getuser(), reason, int(time.time()))


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


def _print_json(found: "Sequence[Waiting | Settled | dict[str, object]]") -> None:
    import msgspec

    for value in found:
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
