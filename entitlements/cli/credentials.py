"""What callers of a running service need: as options, or else as `entitlements dev` leaves it in its data directory."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from entitlements.errors import EntitlementsError

FILE = "dev.json"
"""In the data directory while `dev` runs, so that commands which call it need no options."""

URL = "http://127.0.0.1:8000"

Url = Annotated[
    str | None,
    typer.Option(
        envvar="ENTITLEMENTS_URL", help=f"The service. [default: that of `dev`, or {URL}]"
    ),
]
BearerToken = Annotated[
    str | None,
    typer.Option(
        envvar="ENTITLEMENTS_TOKEN", help="Bearer token to ask with. [default: that of `dev`]"
    ),
]


@dataclass(frozen=True)
class Credentials:
    """What callers of a running `dev` need."""

    url: str
    webhook_secret: str
    read_token: str
    operate_token: str
    stripe_api_base: str = ""
    """Where the sandbox Stripe is."""


def load(home: Path) -> Credentials | None:
    """Return what a running `dev` wrote of itself; null where none runs. Raises EntitlementsError."""
    path = home / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise EntitlementsError(
            f"Cannot read {path} ({error}). Stop `entitlements dev` and start it again."
        ) from error


def save(home: Path, found: Credentials) -> None:
    """Write them down, for this user's eyes only."""
    path = home / FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)  # with another store, nobody has
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(found), indent=2) + "\n")


def forget(home: Path) -> None:
    """Leave none behind."""
    (home / FILE).unlink(missing_ok=True)
