"""What commands by which people do something share: who does it, whether it is done or only shown, and the store."""

import getpass
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from entitlements.settings import Settings
    from entitlements.store.audit import Deed
    from entitlements.store.store import Store

Found = TypeVar("Found")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Confirmed = Annotated[bool, typer.Option("--apply", help="Do it; without it only look.")]
Actor = Annotated[
    str | None, typer.Option(help="Who does it, for the record; without it the user's name.")
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def settings() -> "Settings":
    """Return the settings of the environment."""
    from entitlements.cli import running

    return running.settings_from_environment()


def with_store(settings: "Settings", name: str, do: Callable[["Store"], Awaitable[Found]]) -> Found:
    """Do something in the store that is configured, on connections of a name."""
    import uvloop

    from entitlements.cli import running
    from entitlements.store.store import Store

    async def within(url: str) -> Found:
        store = await Store.open(url, name=f"entitlements-{name}", durability=settings.durability)
        try:
            return await do(store)
        finally:
            await store.close()

    with running.any_store_url(settings) as url:
        return uvloop.run(within(url))


def deed(actor: str | None, reason: str) -> "Deed":
    """Return who does something, now, and why. Raises BadRequest for a reason that says nothing."""
    from entitlements.http.deeds import reasoned
    from entitlements.store.audit import Deed

    return Deed(actor or getpass.getuser(), reasoned(reason), int(time.time()))


def deed_if(actor: str | None, reason: str | None, *, confirmed: bool) -> "Deed | None":
    """Return who does something and why; null where nothing is to be done. Raises BadRequest without a reason."""
    from entitlements.errors import BadRequest

    if not confirmed:
        return None
    if reason is None:
        raise BadRequest("Every write says why: give --reason beside --apply.")
    return deed(actor, reason)


def print_json(found: Iterable[object]) -> None:
    """Print one object a line."""
    import msgspec

    for value in found:
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
