"""`entitlements doctor`: what is wrong, or will be, one line each."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli import deeds
from entitlements.cli.deeds import AsJson

if TYPE_CHECKING:
    from entitlements.doctor import Wish
    from entitlements.doctor.finding import Finding
    from entitlements.settings import Settings

COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


def doctor(
    *,
    url: Annotated[
        str | None,
        typer.Option(
            help="Where Stripe posts to: the address of the webhook endpoint to look at. "
            "Without it every endpoint whose path is this service's."
        ),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(
            min=1, max=100, help="How many subscriptions of either side to compare with Stripe."
        ),
    ] = 20,
    local: Annotated[bool, typer.Option("--local", help="Leave out what asks Stripe.")] = False,
    as_json: AsJson = False,
) -> None:
    """Examine settings, store, policy and Stripe's account, and say what to mend. Nothing is written.

    Exit code 0 if all is well, 1 if something is not.
    """
    from entitlements.cli import running
    from entitlements.doctor import Wish

    settings = deeds.settings()
    wish = Wish(local=local, address=url, sample=sample)
    with running.any_store_url(settings) as store_url:
        levels = asyncio.run(_told(settings, store_url, wish, as_json=as_json))
    if levels != {"OK"}:
        raise typer.Exit(1)


async def _told(settings: "Settings", store_url: str, wish: "Wish", *, as_json: bool) -> set[str]:
    """Print each finding as it comes; return their levels."""
    from entitlements.doctor import examine

    levels = set[str]()
    async for finding in examine(settings, store_url, wish):
        levels.add(finding.level)
        deeds.print_json([finding]) if as_json else _print(finding)
    return levels


def _print(finding: "Finding") -> None:
    level = f"{finding.level:<5}"
    if sys.stdout.isatty():
        level = typer.style(level, fg=COLOURS[finding.level])
    typer.echo(f"{level} {finding.check:<18} {finding}")
