"""`entitlements events`: what came, when, and what became of it."""

import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from entitlements.cli import deeds
from entitlements.cli.deeds import AsJson
from entitlements.cli.sheets import AsCsv, Sheet, printer
from entitlements.model import Subject
from entitlements.wire import id_of

if TYPE_CHECKING:
    from entitlements.events import EventView, LogEntry
    from entitlements.store.log import Search
    from entitlements.store.store import Store

app = typer.Typer(
    help="Search the log of all that Stripe has sent, and show one event.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NAME = "events"
PAGE = 100
COLUMNS = ("received", "delay", "event", "type", "outcome", "customer", "subscription")
WHEN = "Unix seconds, RFC 3339, or an offset such as -2h."

Since = Annotated[str | None, typer.Option(help=f"Received at this instant or after it: {WHEN}")]
Until = Annotated[str | None, typer.Option(help=f"Received before this instant: {WHEN}")]
Customer = Annotated[str | None, typer.Option(help="About this customer's subscriptions.")]
Account = Annotated[
    str | None, typer.Option(help="The connected account whose customers are meant.")
]


class Where(NamedTuple):
    """Where to look, as it is given."""

    since: str | None
    until: str | None
    customer: str | None
    account: str | None


@app.command(name="list")
def list_all(  # noqa: PLR0913  one for each option
    *,
    since: Since = None,
    until: Until = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="Of this type; with * at its end, of all that begin so."),
    ] = None,
    customer: Customer = None,
    account: Account = None,
    subscription: Annotated[str | None, typer.Option(help="About this subscription.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Of which this became.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List what came, the newest first. The narrower the time or the customer, the less is looked through."""
    from msgspec.structs import astuple

    from entitlements.events import LogEntry

    search = _search(
        Where(since, until, customer, account),
        type=kind,
        subscription=subscription,
        outcome=outcome,
    )
    sheet = Sheet(LogEntry.__struct_fields__, astuple, COLUMNS, _row)
    out = printer(sheet, as_json=as_json, as_csv=as_csv)

    async def tell(store: "Store") -> int:
        count = 0
        async for found in _pages(store, search, limit):
            count += len(found)
            out.add(found)
        return count

    count = deeds.with_store(deeds.settings(), NAME, tell)
    out.end()
    more = " There may be more: --limit." if count == limit else ""
    typer.echo(f"{count} shown.{more}", err=True)


@app.command()
def show(  # noqa: PLR0913  one for each option
    event: Annotated[str, typer.Argument(help="The event's id.")],
    *,
    since: Since = None,
    until: Until = None,
    customer: Customer = None,
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Print one event's body as it was sent, but for secrets; beside it what became of it.

    It is looked for in the whole log, the newest first; quicker where its customer is named, or when it came.
    """
    from entitlements.cli.times import rfc3339, span
    from entitlements.events import EventView
    from entitlements.store.log import Log

    name, search = id_of(event, "EVENT"), _search(Where(since, until, customer, account))

    async def read(store: "Store") -> "EventView":
        return EventView.of(await Log(store).one(name, search))

    found = deeds.with_store(deeds.settings(), NAME, read)
    if as_json:
        deeds.print_json([found])
        return
    typer.echo(bytes(found.body))
    entry = found.entry
    delay = "" if entry.delay is None else f", {span(entry.delay)} after it was made"
    why = f": {entry.why}" if entry.why else ""
    typer.echo(
        f"It came at {rfc3339(entry.received_at)}{delay}, and was {entry.outcome}{why}.", err=True
    )


async def _pages(store: "Store", search: "Search", limit: int) -> "AsyncGenerator[list[LogEntry]]":
    """Yield what is meant, page after page, up to a limit."""
    from entitlements.events import LogEntry
    from entitlements.store.log import Log

    log, after = Log(store), None
    while limit:
        page = await log.page(search, min(limit, PAGE), after)
        limit -= len(page.entries)
        yield [LogEntry.of(entry) for entry in page.entries]
        if page.next is None:
            return
        after = page.next


def _search(
    where: Where,
    *,
    type: str | None = None,  # noqa: A002  its name at Stripe
    subscription: str | None = None,
    outcome: str | None = None,
) -> "Search":
    from typing import get_args

    from msgspec import convert

    from entitlements.cli.times import instant
    from entitlements.errors import BadRequest
    from entitlements.model import Outcome
    from entitlements.store.log import Search

    if outcome is not None and outcome not in get_args(Outcome):
        raise BadRequest(f"--outcome {outcome} is none. It takes: {', '.join(get_args(Outcome))}.")
    now = int(time.time())
    return Search(
        since=None if where.since is None else instant(where.since, now),
        until=None if where.until is None else instant(where.until, now),
        customer=where.customer,
        account=where.account,
        type=type,
        subscription=subscription,
        outcome=None if outcome is None else convert(outcome, Outcome),
    )


def _row(entry: "LogEntry") -> tuple[str, ...]:
    from entitlements.cli.times import rfc3339, span

    return (
        rfc3339(entry.received_at),
        "" if entry.delay is None else span(entry.delay),
        entry.id,
        entry.type,
        entry.outcome,
        str(Subject(entry.customer, entry.account)) if entry.customer else "",
        entry.subscription or "",
    )
