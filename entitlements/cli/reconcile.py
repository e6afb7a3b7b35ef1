"""`entitlements reconcile`: where what is held is not what Stripe says, and healing it."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from entitlements.cli import deeds, sheets, tables
from entitlements.cli.deeds import Actor, AsJson, Confirmed
from entitlements.cli.sheets import AsCsv, Sheet, pair
from entitlements.cli.times import rfc3339
from entitlements.model import Subject
from entitlements.wire import id_if

if TYPE_CHECKING:
    from entitlements.drift import Drift
    from entitlements.model import PauseCollection
    from entitlements.reconcile import Found, Reconciliation, Sums
    from entitlements.redecide import Difference
    from entitlements.rehearse import Rehearsal
    from entitlements.settings import Settings
    from entitlements.store.audit import Deed
    from entitlements.store.store import Store

SHOWN = 20
"""Subscriptions that differ, named in a table; --csv and --json name all."""

Customer = Annotated[str | None, typer.Option(help="The subscriptions of this customer alone.")]
Account = Annotated[
    str | None, typer.Option(help="Those of this connected account. [default: the key's own]")
]
Resume = Annotated[
    str | None, typer.Option(help="Go on behind this subscription, where a run was stopped.")
]
Expect = Annotated[
    int | None, typer.Option(min=1, help="How many there are, about: to tell how long it takes.")
]
Why = Annotated[str | None, typer.Option("--reason", help="Why, for the record; with --apply.")]


class Asked(NamedTuple):
    """What to walk, and whether to heal it."""

    customer: str | None
    account: str | None
    resume: str | None
    expect: int | None
    deed: "Deed | None"


def reconcile(  # noqa: PLR0913  one for each option
    *,
    customer: Customer = None,
    account: Account = None,
    resume: Resume = None,
    expect: Expect = None,
    confirmed: Confirmed = False,
    reason: Why = None,
    actor: Actor = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Walk Stripe's subscriptions, and show what is missing, stale or gone; with --apply, heal it.

    It is also the first filling of an empty store. In the end it shows who would gain or lose; without --apply nothing
    is written. Ctrl-C stops behind the page at hand and says how to go on. Exit code 0 if all is in step or healed, 1
    if something differs or not all was seen.
    """
    asked = Asked(
        id_if(customer, "--customer"),
        id_if(account, "--account"),
        id_if(resume, "--resume"),
        expect,
        deeds.deed_if(actor, reason, confirmed=confirmed),
    )
    settings = deeds.settings()
    out = _Out(as_json=as_json, as_csv=as_csv)
    done = deeds.with_store(
        settings, "reconcile", lambda store: _reconciled(settings, store, asked, out)
    )
    if not done:
        raise typer.Exit(1)


async def _reconciled(settings: "Settings", store: "Store", asked: Asked, out: "_Out") -> bool:
    """Reconcile. Returns whether all was seen and is in step."""
    from entitlements.cli import running
    from entitlements.errors import EntitlementsError, StripeError
    from entitlements.ingest import Ingest
    from entitlements.policy_load import load
    from entitlements.reconcile import Reconciliation, Scope
    from entitlements.rehearse import Rehearsal

    policy, now = await store.policy(load(settings.policy_file)), int(time.time())
    ingest = Ingest(store, policy, livemode=settings.livemode)
    with Rehearsal(store, policy, now, livemode=settings.livemode) as rehearsal:
        made = Reconciliation(
            running.paced_stripe(settings, store),
            ingest,
            Scope(asked.account, asked.customer),
            deed=asked.deed,
            rehearsal=rehearsal,
        )
        try:
            await _walk(made, asked, out)
        except StripeError as error:
            if not made.sums.looked:
                raise
            typer.echo(f"The walk ended early: {error}", err=True)
        except EntitlementsError:
            _say_how_to_go_on(made)
            raise
        await out.end(made.sums, rehearsal, happened=asked.deed is not None)
    _conclude(made, asked)
    return made.sums.complete and not made.sums.left


async def _walk(made: "Reconciliation", asked: Asked, out: "_Out") -> None:
    """Walk to the end, or to the first Ctrl-C, with a bar on a terminal's standard error."""
    from entitlements.cli.progress import progress

    began = time.monotonic()
    with _stopping(made), progress("reconciling") as bar:
        async with aclosing(made.go(asked.resume)) as walk:
            async for found in walk:
                out.add(found)
                looked = made.sums.looked
                rate = looked / max(0.001, time.monotonic() - began)
                share = min(1.0, looked / asked.expect) if asked.expect else None
                bar(share, f"{looked:,} subscriptions, {rate:,.0f}/s, {made.sums.left:,} differ")


@contextmanager
def _stopping(made: "Reconciliation") -> Iterator[None]:
    """Let the first Ctrl-C, or a supervisor's word, end it behind the page at hand; the second one ends it at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        typer.echo("Stopping behind the page at hand.", err=True)
        made.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


class _Out:
    """Prints what differs while it is found; in the end, who gains or loses by healing it, and the sums."""

    def __init__(self, *, as_json: bool, as_csv: bool) -> None:
        from entitlements.drift import COLUMNS, row
        from entitlements.preview import Tally

        sheet = Sheet(COLUMNS, row, ("subscription", "differs", "here", "at Stripe"), _cells)
        self._json, self._table = as_json, not (as_json or as_csv)
        self._out = sheets.printer(sheet, as_json=as_json, as_csv=as_csv)
        self._tally = Tally.of("gains", "loses", "flips", "past")
        self._shown = 0

    def add(self, found: "Found") -> None:
        """Print what differs, as far as a table names it, and count whose answers change."""
        some = found.drift[: SHOWN - self._shown] if self._table else found.drift
        self._shown += len(some)
        self._out.add(some)
        self._change(found.differences)

    def _change(self, differences: "list[Difference]") -> None:
        from entitlements.preview import Step

        self._tally.add(Step(0, 1, differences))
        if self._json:
            deeds.print_json(differences)

    async def end(self, sums: "Sums", rehearsal: "Rehearsal", *, happened: bool) -> None:
        """Print the rest: what would become of answers, or what has become of them."""
        async for found in rehearsal.consequences(happened=happened):
            self._change(found.differences)
        if self._shown or not self._table:
            self._out.end()
        if self._json:
            deeds.print_json([sums])
            return
        rows = [(cause.replace("_", " "), str(n)) for cause, n in sums.drift.items()]
        tables.show(("differs", "subscriptions"), rows, err=not self._table)
        tables.show_tally(self._tally, err=not self._table)


def _cells(found: "Drift") -> tuple[str, ...]:
    return (
        pair(str(Subject(found.customer, found.account)), found.subscription),
        found.cause.replace("_", " "),
        _side(found.status_here, found.pause_here),
        _side(found.status_there, found.pause_there),
    )


def _side(status: str | None, pause: "PauseCollection | None") -> str:
    if status is None or pause is None:
        return status or ""
    until = f" to {rfc3339(pause.resumes_at)[:10]}" if pause.resumes_at is not None else ""
    return pair(status, pause.behavior + until)


def _conclude(made: "Reconciliation", asked: Asked) -> None:
    """Say what it came to, and what it does not know."""
    sums = made.sums
    for why in made.why:
        typer.echo(why, err=True)
    typer.echo(
        f"{sums.looked} looked at, {sums.in_step} in step, {sums.newer_here} newer here, "
        f"{sums.unreadable} not understood, {sums.healed} healed.",
        err=True,
    )
    if sums.drift["gone_there"]:
        typer.echo(
            "What is gone there is left as it is held: a wiped test mode, or the key of another account, "
            "is the usual cause. Where access is to end, deny it by an override.",
            err=True,
        )
    if asked.deed is None and sums.left:
        typer.echo("Nothing is written. Heal it with --apply and --reason.", err=True)
    if not sums.complete:
        _say_how_to_go_on(made)


def _say_how_to_go_on(made: "Reconciliation") -> None:
    cursor = made.sums.cursor
    typer.echo(
        f"Not all was seen, and nothing is known of the rest. Go on with: entitlements reconcile --resume {cursor}"
        if cursor
        else "What is gone there is not known: only a whole run, from its beginning to its end, can say.",
        err=True,
    )
