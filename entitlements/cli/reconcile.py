"""`entitlements reconcile`: where what is held is not what Stripe says, and healing it."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from entitlements.cli import deeds
from entitlements.cli import reconcile_shown as shown
from entitlements.cli.deeds import Actor, AsJson, Confirmed
from entitlements.cli.sheets import AsCsv
from entitlements.wire import id_if

if TYPE_CHECKING:
    from entitlements.reconcile import Reconciliation
    from entitlements.settings import Settings
    from entitlements.store.audit import Deed
    from entitlements.store.store import Store

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
    out = shown.Out(as_json=as_json, as_csv=as_csv)
    done = deeds.with_store(
        settings, "reconcile", lambda store: _reconciled(settings, store, asked, out)
    )
    if not done:
        raise typer.Exit(1)


async def _reconciled(settings: "Settings", store: "Store", asked: Asked, out: shown.Out) -> bool:
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
            shown.say_how_to_go_on(made)
            raise
        await out.end(made.sums, rehearsal, happened=asked.deed is not None)
    shown.conclude(made, healed=asked.deed is not None)
    return made.sums.complete and not made.sums.left


async def _walk(made: "Reconciliation", asked: Asked, out: shown.Out) -> None:
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
