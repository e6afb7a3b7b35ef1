"""`entitlements override`: a person's word over policy, for one customer and feature, with a reason and an end."""

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from entitlements.cli import deeds
from entitlements.cli.deeds import Actor, AsJson, Confirmed, Reason
from entitlements.wire import id_if, id_of

if TYPE_CHECKING:
    from entitlements.model import Entitlement, Override, Subject
    from entitlements.overrides import Expiring, OfCustomer, Wish
    from entitlements.say import Saying
    from entitlements.store.store import Store
    from entitlements.words import Word

app = typer.Typer(
    help="Grant or deny a feature to one customer, whatever policy says.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NAME = "override"
Customer = Annotated[str, typer.Argument(help="The customer's id at Stripe.")]
Feature = Annotated[str, typer.Argument(help="The feature, as the policy names it.")]
Account = Annotated[str | None, typer.Option(help="The connected account whose customer it is.")]


@app.command(name="set")
def set_one(  # noqa: PLR0913  one for each option
    customer: Customer,
    feature: Feature,
    *,
    access: Annotated[
        Literal["grant", "deny"], typer.Option(help="What is to hold: grant or deny.")
    ],
    reason: Reason,
    expires_at: Annotated[
        str | None,
        typer.Option(help="Until when: Unix seconds, RFC 3339, or an offset such as +7d."),
    ] = None,
    account: Account = None,
    confirmed: Confirmed = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Set an override, in the place of the one there is, after a preview of the answer before and after.

    Without --apply only the preview is made.
    """
    from entitlements.cli.times import instant
    from entitlements.overrides import Wish

    end = None if expires_at is None else instant(expires_at, int(time.time()))
    wish = Wish(_subject(customer, account), id_of(feature, "FEATURE"), access, end)
    _write(wish, actor, reason, confirmed=confirmed, as_json=as_json)


@app.command()
def clear(  # noqa: PLR0913  one for each option
    customer: Customer,
    feature: Feature,
    *,
    reason: Reason,
    account: Account = None,
    confirmed: Confirmed = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Take an override back, so that policy decides again, after a preview of the answer before and after.

    Without --apply only the preview is made.
    """
    from entitlements.overrides import Wish

    wish = Wish(_subject(customer, account), id_of(feature, "FEATURE"), None)
    _write(wish, actor, reason, confirmed=confirmed, as_json=as_json)


@app.command()
def show(customer: Customer, *, account: Account = None, as_json: AsJson = False) -> None:
    """Print a customer's overrides and their history: who said what, when and why, the newest first."""
    from entitlements.overrides import of_customer

    subject, now = _subject(customer, account), int(time.time())

    async def read(store: "Store") -> "OfCustomer":
        return await of_customer(store, subject, now)

    found = deeds.with_store(deeds.settings(), NAME, read)
    words = [(word in found.holding, word) for word in reversed(found.words.overrides)]
    if as_json:
        deeds.print_json({"holds": holds, "word": word} for holds, word in words)
    else:
        _print(words)


def _print(words: "list[tuple[bool, Word[Override]]]") -> None:
    """Print what was said, each with whether it holds."""
    from entitlements.cli import tables
    from entitlements.cli.times import rfc3339

    columns = ("feature", "access", "since", "until", "by", "reason", "")
    rows = (
        (
            word.about,
            word.said.access if word.said else "as policy says",
            rfc3339(word.at),
            rfc3339(word.said.expires_at if word.said else None),
            word.by,
            word.said.reason if word.said else word.reason,
            "holds" if holds else "",
        )
        for holds, word in words
    )
    tables.show(columns, rows)
    typer.echo(f"{sum(holds for holds, _ in words)} of {len(words)} hold.", err=True)


@app.command(name="list")
def list_expiring(
    *,
    expires_within: Annotated[
        str | None, typer.Option(help="Within this time, such as 7d; without it all that expire.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the overrides of all customers that expire, the next one first."""
    from entitlements import span
    from entitlements.cli import tables
    from entitlements.cli.times import rfc3339
    from entitlements.overrides import expiring
    from entitlements.store.places import Span

    now = int(time.time())
    within = None if expires_within is None else span.read(expires_within, "--expires-within")

    async def read(store: "Store") -> "Expiring":
        until = None if within is None else now + within
        return await expiring(store, limit, None, Span(now + 1, until))

    found = deeds.with_store(deeds.settings(), NAME, read)
    if as_json:
        deeds.print_json({"customer": str(p.subject), "word": word} for p, word in found.found)
        return
    columns = ("expires", "customer", "feature", "access", "by", "reason")
    rows = ((rfc3339(p.at), str(p.subject), *_told(word)) for p, word in found.found)
    tables.show(columns, rows)
    typer.echo(f"{len(found.found)} shown{', and there are more' * found.more}.", err=True)


def _told(word: "Word[Override]") -> tuple[str, str, str, str]:
    said = word.said
    return word.about, said.access if said else "", word.by, said.reason if said else ""


def _subject(customer: str, account: str | None) -> "Subject":
    from entitlements.model import Subject

    return Subject(id_of(customer, "CUSTOMER"), id_if(account, "--account"))


def _write(wish: "Wish", actor: str | None, reason: str, *, confirmed: bool, as_json: bool) -> None:
    from entitlements import overrides

    deed = deeds.deed(actor, reason)

    async def do(store: "Store") -> "Saying":
        act = overrides.write if confirmed else overrides.preview
        return await act(store, wish, deed)

    saying = deeds.with_store(deeds.settings(), NAME, do)
    _report(saying, wish.feature, confirmed=confirmed, as_json=as_json)


def _report(saying: "Saying", feature: str, *, confirmed: bool, as_json: bool) -> None:
    """Print the answer before and after."""
    from entitlements.cli import tables
    from entitlements.resolve import entitlement

    before, after = (
        entitlement(record, feature, saying.at) for record in (saying.before, saying.after)
    )
    if as_json:
        deeds.print_json([{"before": before, "after": after, "applied": confirmed}])
    else:
        columns = ("", "feature", "granted", "reason", "until", "then")
        tables.show(columns, [("before", *_cells(before)), ("after", *_cells(after))])
    if not confirmed:
        typer.echo("Nothing is written. Do it with --apply.", err=True)


def _cells(found: "Entitlement") -> tuple[str, ...]:
    from entitlements.cli import tables
    from entitlements.cli.times import rfc3339

    then = found.then and f"{tables.yes(found.then.granted)}, {found.then.reason}"
    return (
        found.feature,
        tables.yes(found.granted),
        found.reason,
        rfc3339(found.until),
        then or "",
    )
