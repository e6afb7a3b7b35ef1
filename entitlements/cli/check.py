"""`entitlements check`: may this customer use this feature? Asked of the store itself, answered as at every door."""

import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from entitlements.cli import deeds
from entitlements.wire import id_if, id_of

if TYPE_CHECKING:
    from entitlements.model import Entitlement, Subject
    from entitlements.store.store import Store


class Asked(NamedTuple):
    """A question. Instants are Unix seconds; null is the present, and all that is known."""

    subject: "Subject"
    feature: str
    at: int | None
    known_at: int | None


WIDTH = 14
"""Of the column of names."""

Customer = Annotated[str, typer.Argument(help="The customer's id at Stripe.")]
At = Annotated[
    str | None, typer.Option(help="When: Unix seconds, RFC 3339, or an offset such as +30d or -2h.")
]
KnownAt = Annotated[
    str | None, typer.Option(help="By what had been received by then, in the same forms.")
]
Account = Annotated[str | None, typer.Option(help="The connected account whose customer it is.")]


def check(  # noqa: PLR0913  one for each option
    customer: Customer,
    feature: Annotated[str, typer.Argument(help="The feature, as the policy names it.")],
    *,
    at: At = None,
    known_at: KnownAt = None,
    account: Account = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say whether a customer may use a feature, why, and until when.

    Exit code 0 if it is granted, 1 if it is denied, 2 if that could not be told.
    """
    from entitlements.cli.times import instant
    from entitlements.model import Subject

    now = int(time.time())
    asked = Asked(
        subject=Subject(id_of(customer, "CUSTOMER"), id_if(account, "--account")),
        feature=id_of(feature, "FEATURE"),
        at=None if at is None else instant(at, now),
        known_at=None if known_at is None else instant(known_at, now),
    )
    found, as_of = deeds.with_store(
        deeds.settings(), "check", lambda store: _answer(store, asked, now)
    )
    _print(found, asked.subject, as_of, as_json=as_json)
    if not found.granted:
        raise typer.Exit(1)


async def _answer(store: "Store", asked: Asked, now: int) -> "tuple[Entitlement, int]":
    """Return the answer, and the instant that it is about."""
    from entitlements.answers import Answers
    from entitlements.resolve import entitlement

    answers = Answers(store, await store.policy_in_force())
    subject, at, known_at = asked.subject, asked.at, asked.known_at
    if at is None:
        record, at = await answers.now(subject, now, known_at=known_at)
    else:
        record = await answers.record(subject, at, known_at=known_at)
    return entitlement(record, asked.feature, at), at


def _print(found: "Entitlement", subject: "Subject", as_of: int, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    word, color = ("granted", "green") if found.granted else ("denied", "red")
    plain = False if "NO_COLOR" in os.environ else None  # null: a terminal alone has colours
    head = typer.style(f"{word:<{WIDTH}}", fg=color, bold=True)
    typer.echo(f"{head}{found.feature} to {subject}", color=plain)
    for name, said in _lines(found, as_of):
        typer.echo(f"{name:<{WIDTH}}{said}")


def _lines(found: "Entitlement", as_of: int) -> Iterator[tuple[str, str]]:
    """Yield what an answer says, a name and a value each, without what is null."""
    from msgspec import UNSET

    from entitlements.cli.times import rfc3339
    from entitlements.reasons import FLAGS, REASONS

    yield "reason", _explained(found.reason, REASONS.get(found.reason))
    if found.rule is not None:
        yield "rule", found.rule
    if found.subscription is not None:
        yield "subscription", found.subscription
    yield "quantity", str(found.quantity)
    yield "as of", rfc3339(as_of)
    if found.until is not None and found.then is not None:
        then = "granted" if found.then.granted else "denied"
        yield "until", f"{rfc3339(found.until)}, then {then} ({found.then.reason})"
    for flag in () if found.flags is UNSET else found.flags:
        yield "flag", _explained(flag, FLAGS.get(flag))
    yield "policy", found.policy


def _explained(code: str, meaning: str | None) -> str:
    return f"{code}: {meaning}" if meaning else code
