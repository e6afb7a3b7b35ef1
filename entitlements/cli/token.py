"""Tokens for callers: shown once, kept as a digest."""

import hashlib
import re
import secrets
from typing import Annotated

import typer

from entitlements.errors import BadRequest
from entitlements.settings import Scope

app = typer.Typer(
    help="Make bearer tokens for callers.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _group() -> None:
    """Make bearer tokens for callers."""


@app.command()
def new(
    name: Annotated[str, typer.Option(help="Who will use it: letters, digits, - and _.")],
    scope: Annotated[Scope, typer.Option(help="What it may do; operate includes read.")] = "read",
) -> None:
    """Print a new token, once, and its entry for ENTITLEMENTS_TOKENS."""
    if not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII):
        raise BadRequest(
            f"{name!r} is no name for a caller: use up to 64 letters, digits, - and _."
        )
    token = make(scope)
    typer.echo("The token, for the caller; it cannot be shown again:", err=True)
    typer.echo(token)
    typer.echo("Its entry for ENTITLEMENTS_TOKENS, for this service:", err=True)
    typer.echo(f"{name}:{scope}:{digest(token).hex()}")


def make(scope: Scope) -> str:
    """Return a token of 256 random bits; what stands before them tells people and scanners what it is."""
    return f"ent_{scope}_{secrets.token_urlsafe(32)}"


def digest(token: str) -> bytes:
    """Return what is kept of a token: SHA-256, which is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
