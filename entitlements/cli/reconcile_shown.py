"""A reconciliation as tables, as JSON or CSV, and in words."""

from typing import TYPE_CHECKING

import typer

from entitlements.cli import deeds, sheets, tables
from entitlements.cli.sheets import Sheet, pair
from entitlements.cli.times import rfc3339
from entitlements.model import Subject

if TYPE_CHECKING:
    from entitlements.drift import Drift
    from entitlements.model import PauseCollection
    from entitlements.reconcile import Found, Reconciliation, Sums
    from entitlements.redecide import Difference
    from entitlements.rehearse import Rehearsal

SHOWN = 20
"""Subscriptions that differ, named in a table; --csv and --json name all."""


class Out:
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
    here = _side(found.status_here, found.pause_here, found.paused_because_here)
    there = _side(found.status_there, found.pause_there, found.paused_because_there)
    return (
        pair(str(Subject(found.customer, found.account)), found.subscription),
        found.cause.replace("_", " "),
        here,
        there if here != there else _otherwise(found),
    )


def _otherwise(found: "Drift") -> str:
    """Say what differs where both sides look alike."""
    from entitlements.changed import said

    return said(found.differs, rfc3339) if found.differs else found.status_there or ""


def _side(status: str | None, pause: "PauseCollection | None", because: str | None) -> str:
    if status == "paused":
        return f"paused because {because}" if because else "paused, and why was not said"
    if status is None or pause is None:
        return status or ""
    until = f" to {rfc3339(pause.resumes_at)[:10]}" if pause.resumes_at is not None else ""
    return pair(status, pause.behavior + until)


def conclude(made: "Reconciliation", *, healed: bool) -> None:
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
    if not healed and sums.left:
        typer.echo("Nothing is written. Heal it with --apply and --reason.", err=True)
    if not sums.complete:
        say_how_to_go_on(made)


def say_how_to_go_on(made: "Reconciliation") -> None:
    """Say where a walk that did not see all is taken up, or that only a whole one can tell the rest."""
    cursor = made.sums.cursor
    typer.echo(
        f"Not all was seen, and nothing is known of the rest. Go on with: entitlements reconcile --resume {cursor}"
        if cursor
        else "What is gone there is not known: only a whole run, from its beginning to its end, can say.",
        err=True,
    )
