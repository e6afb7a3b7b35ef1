"""`entitlements policy`: state what a pause means, see what an edit would do, put it in force."""

import csv
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli import deeds

if TYPE_CHECKING:
    from entitlements.policy import Policy
    from entitlements.preview import Step, Tally
    from entitlements.settings import Settings
    from entitlements.store.store import Store

app = typer.Typer(
    help="Check, preview and apply a policy file.", no_args_is_help=True, rich_markup_mode=None
)

File = Annotated[
    Path | None,
    typer.Argument(
        help="A policy file; without one ENTITLEMENTS_POLICY_FILE, or the built-in policy."
    ),
]
MaxLoss = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Apply if no more than this share of customers loses access (0 to 1)."
    ),
]


@app.command()
def check(file: File = None) -> None:
    """Read a policy and print its effective table."""
    from entitlements.cli import tables
    from entitlements.policy_words import effective_rows

    policy = _load(file, deeds.settings())
    tables.show(("scope", "subscription", "access", "rule"), effective_rows(policy))
    typer.echo(f"digest {policy.digest}", err=True)


@app.command()
def preview(
    file: File = None,
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print every difference as CSV.")] = False,
) -> None:
    """Show who would gain and who would lose access under a policy. Writes nothing."""
    from entitlements.preview import COLUMNS, preview, row

    settings = deeds.settings()
    policy = _load(file, settings)
    out = csv.writer(sys.stdout)
    if as_csv:
        out.writerow(COLUMNS)

    def each(step: "Step") -> None:
        if as_csv:
            out.writerows(row(difference) for difference in step.found)

    tally = _walk(
        settings, lambda store: preview(store, policy, int(time.time())), "previewing", each
    )
    _report(tally, policy, err=as_csv)


@app.command(name="apply")
def apply_policy(
    file: File = None,
    *,
    confirmed: Annotated[
        bool, typer.Option("--apply", help="Apply, whoever loses access.")
    ] = False,
    max_loss: MaxLoss = None,
) -> None:
    """Put a policy in force and decide everybody anew by it, after a preview.

    Without --apply or --max-loss only the preview is made.
    """
    from entitlements.preview import apply, preview

    settings = deeds.settings()
    policy, now = _load(file, settings), int(time.time())
    tally = _walk(settings, lambda store: preview(store, policy, now), "previewing")
    _report(tally, policy)
    if not confirmed and max_loss is None:
        typer.echo("Nothing is written. Put it in force with --apply.", err=True)
        return
    if not confirmed and max_loss is not None and tally.loss > max_loss:
        typer.echo(
            f"{tally.loss:.2%} of the customers would lose access, more than {max_loss:.2%}: nothing is written. "
            "Confirm it with --apply.",
            err=True,
        )
        raise typer.Exit(1)
    done = _walk(settings, lambda store: apply(store, policy, now), "applying")
    typer.echo(f"Policy {policy.digest} is in force; {done.customers} customers were decided anew.")


def _load(file: Path | None, settings: "Settings") -> "Policy":
    from entitlements.policy_load import load

    return load(file or settings.policy_file)


def _walk(
    settings: "Settings",
    steps: Callable[["Store"], AsyncIterator["Step"]],
    doing: str,
    each: Callable[["Step"], None] = lambda _: None,
) -> "Tally":
    """Follow a walk over the store to its end, with a bar on a terminal's standard error; return its sums."""
    from entitlements.cli.progress import progress
    from entitlements.preview import Tally

    async def follow(store: "Store") -> Tally:
        tally = Tally()
        with progress(doing) as bar:
            async for step in steps(store):
                tally.add(step)
                each(step)
                bar(step.share, f"{tally.customers} customers")
        return tally

    return deeds.with_store(settings, "policy", follow)


def _report(tally: "Tally", policy: "Policy", *, err: bool = False) -> None:
    from entitlements.cli import tables

    tables.show_tally(tally, err=err)
    typer.echo(f"{tally.customers} customers looked at under policy {policy.digest}.", err=True)
