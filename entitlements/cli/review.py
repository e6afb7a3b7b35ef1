"""`entitlements review`: what policy leaves to a person; see what waits, decide, undo."""

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from entitlements.cli import deeds
from entitlements.cli.deeds import Actor, AsJson, Confirmed, Reason
from entitlements.wire import id_if, id_of

if TYPE_CHECKING:
    from entitlements.reviews import Page
    from entitlements.say import Saying
    from entitlements.store.audit import Deed
    from entitlements.store.store import Store

app = typer.Typer(
    help="Decide what policy leaves to a person, for as long as a pause lasts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NAME = "review"
Subscription = Annotated[str, typer.Argument(help="The subscription's id at Stripe.")]
Account = Annotated[
    str | None, typer.Option(help="The connected account whose subscription it is.")
]


@app.command(name="list")
def list_waiting(
    *,
    decided: Annotated[
        bool, typer.Option("--decided", help="Those that are decided, not those that wait.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what waits for a person, the oldest first: why, since when, and what holds meanwhile."""
    from entitlements.cli import tables
    from entitlements.cli.times import rfc3339
    from entitlements.reviews import waiting

    async def read(store: "Store") -> "Page":
        return await waiting(store, int(time.time()), limit, decided=decided)

    page = deeds.with_store(deeds.settings(), NAME, read)
    if as_json:
        deeds.print_json(page.found)
    else:
        columns = ("subscription", "customer", "since", "why", "decided", "now")
        rows = (
            (
                w.subscription,
                w.customer,
                rfc3339(w.since),
                ", ".join([*([w.rule] if w.rule else []), *w.flags]),
                (w.decided.access or "") if w.decided else "",
                ", ".join(f"{f.feature} {tables.yes(f.granted)}" for f in w.features),
            )
            for w in page.found
        )
        tables.show(columns, rows)
    more = ", and there may be more" if page.following else ""
    typer.echo(f"{len(page.found)} shown{more}.", err=True)


@app.command()
def decide(  # noqa: PLR0913  one for each option
    subscription: Subscription,
    *,
    access: Annotated[
        Literal["grant", "revoke"], typer.Option("--decision", help="grant or revoke.")
    ],
    reason: Reason,
    account: Account = None,
    confirmed: Confirmed = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Decide about a subscription, for as long as this pause lasts, after a preview of who gains or loses.

    Without --apply only the preview is made.
    """
    saying = _write(subscription, access, account, deeds.deed(actor, reason), confirmed=confirmed)
    _report(saying, subscription, confirmed=confirmed, as_json=as_json)


@app.command()
def undo(  # noqa: PLR0913  one for each option
    subscription: Subscription,
    *,
    reason: Reason,
    account: Account = None,
    confirmed: Confirmed = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Take a decision back, so that the subscription waits again, after a preview of who gains or loses.

    Without --apply only the preview is made.
    """
    saying = _write(subscription, None, account, deeds.deed(actor, reason), confirmed=confirmed)
    _report(saying, subscription, confirmed=confirmed, as_json=as_json)


def _write(
    subscription: str,
    access: Literal["grant", "revoke"] | None,
    account: str | None,
    deed: "Deed",
    *,
    confirmed: bool,
) -> "Saying":
    from entitlements import reviews

    name = id_of(subscription, "SUBSCRIPTION")
    named = id_if(account, "--account")

    async def do(store: "Store") -> "Saying":
        wish = reviews.Wish(await reviews.find(store, name, named), name, access)
        return await (reviews.write if confirmed else reviews.preview)(store, wish, deed)

    return deeds.with_store(deeds.settings(), NAME, do)


def _report(saying: "Saying", subscription: str, *, confirmed: bool, as_json: bool) -> None:
    """Print the answers before and after, of each feature of the subscription."""
    from entitlements.cli import tables
    from entitlements.cli.times import rfc3339
    from entitlements.resolve import entitlement

    features = sorted(saying.after.decisions[subscription].features)
    pairs = [
        [entitlement(record, feature, saying.at) for record in (saying.before, saying.after)]
        for feature in features
    ]
    if as_json:
        deeds.print_json({"before": b, "after": a, "applied": confirmed} for b, a in pairs)
    else:
        columns = ("customer", "feature", "granted", "reason", "becomes", "reason", "until")
        rows = (
            (
                *(str(saying.subject), b.feature, tables.yes(b.granted), b.reason),
                *(tables.yes(a.granted), a.reason, rfc3339(a.until)),
            )
            for b, a in pairs
        )
        tables.show(columns, rows)
    if not confirmed:
        typer.echo("Nothing is written. Do it with --apply.", err=True)
