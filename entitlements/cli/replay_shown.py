"""Replays as tables, as JSON and in words: a preview and what was applied alike."""

import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from msgspec import UNSET

from entitlements.cli import deeds, tables
from entitlements.cli.replay_options import Options
from entitlements.cli.times import rfc3339
from entitlements.model import Subject

if TYPE_CHECKING:
    from entitlements.model import Outcome
    from entitlements.redecide import Difference
    from entitlements.store.replays import Run

NAMED: "tuple[Outcome, ...]" = (
    *("duplicate", "applied", "unchanged", "stale", "ignored", "ambiguous", "quarantined"),
)
"""Outcomes, in the order in which they are shown."""


def listing(runs: "list[Run]", options: Options) -> None:
    """Print replays, one a line."""
    if options.json:
        deeds.print_json(runs)
        return
    rows = [
        (
            run.id,
            run.asked.source,
            "previewed" if run.dry_run else "applied",
            run.status,
            rfc3339(run.started_at),
            f"{run.events:,}",
            run.by,
            run.reason,
        )
        for run in runs
    ]
    columns = ("replay", "source", "", "status", "began", "events", "by", "why")
    tables.show(columns, rows)


def differences(found: "list[Difference]", options: Options) -> None:
    """Print answers that change."""
    if options.json:
        deeds.print_json(found)
    elif options.csv:
        from entitlements.rehearse import COLUMNS, row

        out = csv.writer(sys.stdout)
        out.writerow(COLUMNS)
        out.writerows(map(row, found))
    elif found:
        table(found)


def report(run: "Run", options: Options) -> None:
    """Print what became, or would become, of events and of answers: of a preview and of what is applied alike."""
    if options.json:
        deeds.print_json([run])
    else:
        err = options.csv
        counts = ((name, run.outcomes.get(name, 0)) for name in NAMED)
        rows: list[tuple[str, str]] = [(name, f"{count:,}") for name, count in counts if count]
        rows += [("unreadable", f"{run.unreadable:,}")] if run.unreadable else []
        tables.show(("outcome", "events"), rows, err=err)
        if run.customers:
            tables.show(("", *run.concerned), _sums(run), err=err)
    typer.echo(_said(run), err=True)


def _sums(run: "Run") -> list[tuple[str, ...]]:
    sums = [("customers", run.concerned), *sorted(run.features.items())]
    return [(name, *(f"{counts[kind]:,}" for kind in run.concerned)) for name, counts in sums]


def _said(run: "Run") -> str:
    """Say in words how it ended, and what can be done next."""
    said = [f"{run.id}: {run.events:,} events, {run.customers:,} customers whose answers change."]
    if run.ambiguous:
        said.append(f"{run.ambiguous:,} subscriptions stay ambiguous.")
    if run.status not in {"done", "running"}:
        said.append(f"It was {run.status}{f' ({run.why})' if run.why else ''}.")
    if run.dry_run and run.status == "done":
        said.append(f"Nothing is written. Do exactly this with {_again(run)}.")
    elif run.status in {"stopped", "cancelled", "failed", "interrupted"} and not run.dry_run:
        said.append(f"Go on with {_again(run)}.")
    return " ".join(said)


def _again(run: "Run") -> str:
    if run.asked.source == "file" and not run.upto:  # a pipe
        return "the same input and --apply: what is held already is passed over"
    return f"`entitlements replay --resume {run.id} --apply --reason …`"


def left(run: "Run") -> bool:
    """Tell whether something of it needs a person."""
    return bool(run.ambiguous or run.unreadable or run.outcomes.get("quarantined"))


def table(found: "Sequence[Difference]") -> None:
    """Print answers that change, for people."""
    tables.show(
        ("customer", "feature", "", "since", "was", "becomes", "changes next"), map(_cells, found)
    )


def _cells(one: "Difference") -> tuple[str, ...]:
    since = None if one.since is UNSET else one.since
    return (
        str(Subject(one.customer, one.account)),
        one.feature,
        one.kind,
        rfc3339(since),
        f"{tables.yes(one.was.granted)}, {one.was.reason}",
        f"{tables.yes(one.becomes.granted)}, {one.becomes.reason}",
        rfc3339(one.flip_becomes) or ("never" if one.kind == "flips" else ""),
    )
