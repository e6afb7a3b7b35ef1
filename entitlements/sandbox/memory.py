"""The subscriptions that were last sent, in a file: a command has no memory of its own.

`trigger.json` in the data directory: subscription id to what is held of it, the most recent last.
"""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from entitlements.errors import EntitlementsError
from entitlements.sandbox.shapes import Body

FILE = "trigger.json"
ROOM = 100
"""Subscriptions that are remembered; the oldest are forgotten."""


class Held(Struct, frozen=True):
    """A subscription as Stripe would hold it, and the connected account that it belongs to."""

    body: Body
    account: str | None = None


Memory = dict[str, Held]


def load(home: Path) -> Memory:
    """Return what the data directory remembers. Raises EntitlementsError where it cannot be read."""
    path = home / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memory)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise EntitlementsError(
            f"Cannot read {path} ({error}). Remove it to start anew."
        ) from error


def recall(memory: Memory, **wanted: str | None) -> Held | None:
    """Return the most recent one with these `id`, `customer` and `account`; null means any."""
    asked = {key: value for key, value in wanted.items() if value is not None}
    fits = (h for h in reversed(memory.values()) if asked.items() <= _names(h).items())
    return next(fits, None)


def save(home: Path, newest: Held) -> None:
    """Remember one more, for this user's eyes only: it may name real customers."""
    others = {name: held for name, held in load(home).items() if name != newest.body["id"]}
    kept = [*others.items(), (newest.body["id"], newest)][-ROOM:]
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = home / f".{FILE}.{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.encode(dict(kept)))
    draft.replace(home / FILE)


def _names(held: Held) -> dict[str, str | None]:
    body = held.body
    return {"id": body["id"], "customer": body["customer"], "account": held.account}
