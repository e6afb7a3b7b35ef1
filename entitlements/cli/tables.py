"""Tables on standard output, for people."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from entitlements.cli.times import rfc3339
from entitlements.sandbox.shapes import Body

if TYPE_CHECKING:
    from entitlements.preview import Tally

WIDE = 200
"""Columns where nobody's terminal sets a limit, so that nothing is cut in a file or a pipe."""


def show(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str | None = None,
    *,
    err: bool = False,
) -> None:
    """Print one table, on standard error if it is talk. Cells are plain text: nothing in them is taken for markup."""
    from rich.console import Console  # here: slow to import
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    out = sys.stderr if err else sys.stdout
    width = shutil.get_terminal_size().columns if out.isatty() else WIDE
    Console(width=width, stderr=err).print(table)


def show_tally(tally: "Tally", *, err: bool = False) -> None:
    """Print how many customers gain and lose, and in how many answers about each feature."""
    rows = [("customers", *map(str, tally.concerned.values()))]
    rows += [(name, *map(str, counts.values())) for name, counts in sorted(tally.features.items())]
    show(("", *tally.concerned), rows, err=err)


def granted(answer: Body | None) -> str:
    """Return an answer, or what it will be `then`, in two words; nothing for null."""
    return f"{yes(answer['granted'])}, {answer['reason']}" if answer else ""


def yes(holds: object) -> str:
    """Return a boolean in a word."""
    return "yes" if holds else "no"


def show_answer(answer: Body) -> None:
    """Print one entitlement."""
    row = {
        "feature": answer["feature"],
        "granted": yes(answer["granted"]),
        "reason": answer["reason"],
        "rule": answer["rule"] or "",
        "until": rfc3339(answer["until"]),
        "then": granted(answer["then"]),
    }
    show(list(row), [list(row.values())])
