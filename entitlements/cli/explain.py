"""`entitlements explain`: why a customer is answered what they are, on one screen."""

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli import deeds
from entitlements.cli.check import Account, At, Customer, KnownAt
from entitlements.wire import id_if, id_of

if TYPE_CHECKING:
    from entitlements.explained import Explanation
    from entitlements.store.store import Store

NAME = "explain"
WIDTH = 80
"""Columns, unless a terminal has more."""

MOST = 120
"""Wider lines are hard to read."""


def explain(  # noqa: PLR0913  one for each option
    customer: Customer,
    *,
    feature: Annotated[
        str | None, typer.Option(help="The feature whose answer is meant; without it all of them.")
    ] = None,
    at: At = None,
    known_at: KnownAt = None,
    account: Account = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say why a customer is answered what they are: the answer, its timeline, and the events that led to it.

    Events are told in the order in which things happened, with what each changed, when it came and what became of it.
    """
    from entitlements.cli.times import instant
    from entitlements.model import Subject
    from entitlements.tell import Question

    now = int(time.time())
    question = Question(
        subject=Subject(id_of(customer, "CUSTOMER"), id_if(account, "--account")),
        feature=id_if(feature, "--feature"),
        at=None if at is None else instant(at, now),
        known_at=None if known_at is None else instant(known_at, now),
    )

    async def read(store: "Store") -> "Explanation":
        from entitlements.answers import Answers
        from entitlements.tell import tell

        return await tell(store, Answers(store, await store.policy_in_force()), question, now)

    found = deeds.with_store(deeds.settings(), NAME, read)
    if as_json:
        deeds.print_json([found])
    else:
        _print(found)


def _print(found: "Explanation") -> None:
    from entitlements.cli.chain import lines

    terminal = shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH
    plain = False if "NO_COLOR" in os.environ else None  # null: a terminal alone has colours
    for line in lines(found, max(WIDTH, min(MOST, terminal))):
        typer.echo(line, color=plain)
