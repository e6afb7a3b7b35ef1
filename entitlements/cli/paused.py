"""`entitlements paused`: whose collection is paused while they stay in use, until when, and what that gives away."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from entitlements.cli import deeds
from entitlements.cli.deeds import AsJson
from entitlements.cli.sheets import AsCsv, Printer, Sheet, pair, printer
from entitlements.cli.times import rfc3339
from entitlements.model import Subject
from entitlements.wire import id_if

if TYPE_CHECKING:
    from entitlements.model import PauseCollection
    from entitlements.paused_there import Differs, There
    from entitlements.pauses import Paused, Wanted
    from entitlements.settings import Settings
    from entitlements.store.store import Store

SHOWN = 100
"""Rows of a table, unless --limit says otherwise: whoever wants all of them takes --csv or --json."""

Behavior = Literal["keep_as_draft", "mark_uncollectible", "void"]
What = Literal["store", "stripe", "compare"]
Batches = AsyncGenerator[tuple[int, Sequence[Any]]]
"""At how many subscriptions was looked, and what was found among them, some at a time."""


OfBehavior = Annotated[Behavior | None, typer.Option(help="Of this behaviour alone.")]
OfAccess = Annotated[
    Literal["granted", "denied", "pending"] | None,
    typer.Option(help="Of this access alone; pending waits for a person."),
]
OfProduct = Annotated[str | None, typer.Option(help="To this product alone.")]
Within = Annotated[
    str | None, typer.Option(help="Those that resume within this time alone: 7d, or seconds.")
]
OfAccount = Annotated[
    str | None,
    typer.Option(help="Of this connected account alone; without it the store tells of all."),
]
Source = Annotated[
    Literal["store", "stripe"], typer.Option(help="What is held here, or what Stripe says.")
]
Compare = Annotated[bool, typer.Option("--compare", help="Show where the two differ instead.")]
Most = Annotated[
    int | None, typer.Option(min=1, help=f"At most so many; in a table {SHOWN} without it.")
]


def paused(  # noqa: PLR0913  one for each option
    *,
    behavior: OfBehavior = None,
    access: OfAccess = None,
    product: OfProduct = None,
    resumes_within: Within = None,
    account: OfAccount = None,
    source: Source = "store",
    compare: Compare = False,
    limit: Most = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List subscriptions whose collection is paused while they stay in use, with access and days given away.

    The newest pause comes first. Exit code 1 if --compare finds a difference.
    """
    from entitlements import span
    from entitlements.pauses import Wanted

    wanted = Wanted(
        account=id_if(account, "--account"),
        behavior=behavior,
        access=access,
        product=product,
        resumes_within=None
        if resumes_within is None
        else span.read(resumes_within, "--resumes-within"),
    )
    what: What = "compare" if compare else source
    _require_known(what, wanted)
    settings = deeds.settings()
    most = limit or (None if as_json or as_csv else SHOWN)
    out = printer(_sheet(what), as_json=as_json, as_csv=as_csv)

    async def read(store: "Store") -> int:
        return await _print(await _batches(settings, store, what, wanted), out, most)

    found = deeds.with_store(settings, "paused", read)
    if compare and found:
        raise typer.Exit(1)


def _require_known(what: What, wanted: "Wanted") -> None:
    """Raise BadRequest for a filter of what is not known there."""
    from entitlements.errors import BadRequest
    from entitlements.pauses import Wanted

    if what == "stripe" and wanted.access:
        raise BadRequest("Stripe knows nothing of access: leave out --access.")
    if what == "compare" and wanted != Wanted(account=wanted.account):
        raise BadRequest("A comparison is of all that is paused: leave out the filters.")


class Found(NamedTuple):
    """What there is to print, and at how many subscriptions has to be looked for it, where that is known."""

    batches: Batches
    size: int | None


async def _batches(settings: "Settings", store: "Store", what: What, wanted: "Wanted") -> Found:
    from entitlements import paused, paused_there
    from entitlements.cli import running
    from entitlements.store import places

    now = int(time.time())
    if what == "store":
        asked = paused.Asked(wanted, await store.policy_in_force(), now)
        return Found(paused.report(store, asked), await places.count(store, "paused"))
    api = running.paced_stripe(settings, store)
    if what == "stripe":
        return Found(paused_there.report_there(api, wanted, now), None)
    return Found(paused_there.compare(store, api, wanted.account, now), None)


async def _print(found: Found, out: Printer, most: int | None) -> int:
    """Print up to so many, with a bar on a terminal's standard error. Returns how many there were."""
    from entitlements.cli.progress import progress

    looked = count = 0
    async with aclosing(found.batches) as batches:
        with progress("reading") as bar:
            async for seen, some in batches:
                shown = some if most is None else some[: most - count]
                looked, count = looked + seen, count + len(shown)
                out.add(shown)
                bar(looked / found.size if found.size else None, f"{looked} subscriptions")
                if count == most:
                    break
    out.end()
    typer.echo(f"{count} shown, of {looked} looked at.", err=True)
    return count


def _sheet(what: What) -> Sheet:
    from entitlements import paused_there, pauses

    ours = Sheet(
        pauses.COLUMNS,
        pauses.row,
        ("subscription", "collection", "since, until", "access", "days given"),
        _paused_cells,
    )
    theirs = ("subscription", "collection", "until")
    if what == "store":
        return ours
    if what == "stripe":
        return Sheet(paused_there.COLUMNS, paused_there.row, theirs, _there_cells)
    both = ("subscription", "which", "here", "at Stripe")
    return Sheet(paused_there.DIFFERING, paused_there.differing, both, _differs_cells)


def _paused_cells(found: "Paused") -> tuple[str, ...]:
    by_itself = found.reason == f"paused_{found.behavior}"
    return (
        pair(_customer(found), found.subscription),
        found.behavior if by_itself else pair(found.behavior, found.reason),
        pair(_day(found.since), _day(found.resumes_at)),
        found.access,
        str(found.days_given_away),
    )


def _there_cells(found: "There") -> tuple[str, ...]:
    return (
        pair(_customer(found), found.subscription),
        found.behavior,
        _day(found.resumes_at),
    )


def _differs_cells(found: "Differs") -> tuple[str, ...]:
    return (
        pair(_customer(found), found.subscription),
        found.kind.replace("_", " "),
        _said(found.here),
        _said(found.there),
    )


def _said(pause: "PauseCollection | None") -> str:
    return "" if pause is None else pair(pause.behavior, _day(pause.resumes_at))


def _customer(found: "Paused | There | Differs") -> str:
    return str(Subject(found.customer, found.account))


def _day(at: int | None) -> str:
    return "open" if at is None else rfc3339(at)[:10]
