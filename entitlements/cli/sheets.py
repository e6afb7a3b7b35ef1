"""What a command finds, printed while it comes, however much: lines of JSON, rows of CSV, or one table in the end."""

import csv
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import typer

from entitlements.cli import deeds, tables

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, one row each.")]


class Sheet(NamedTuple):
    """How one kind of thing is printed: as a row of a CSV, and as cells of a table for people."""

    columns: Sequence[str]
    row: Callable[[Any], tuple[object, ...]]
    heads: Sequence[str]
    cells: Callable[[Any], tuple[str, ...]]


class Printer(Protocol):
    """Prints what is found to standard output."""

    def add(self, found: Sequence[Any]) -> None:
        """Print more of it."""

    def end(self) -> None:
        """Print what there is to print once all of it is known."""


class Csv:
    """A row each, under a head that is there even if nothing is found."""

    def __init__(self, sheet: Sheet) -> None:
        self._row = sheet.row
        self._out = csv.writer(sys.stdout)
        self._out.writerow(sheet.columns)

    def add(self, found: Sequence[Any]) -> None:
        """Print a row each."""
        self._out.writerows(map(self._row, found))

    def end(self) -> None:
        """Nothing more."""


class Json:
    """An object each, on a line of its own."""

    def add(self, found: Sequence[Any]) -> None:
        """Print a line each."""
        deeds.print_json(found)

    def end(self) -> None:
        """Nothing more."""


class Table:
    """One table for people, for no more than they read."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._rows = list[tuple[str, ...]]()

    def add(self, found: Sequence[Any]) -> None:
        """Keep its cells."""
        self._rows += map(self._sheet.cells, found)

    def end(self) -> None:
        """Print it."""
        tables.show(self._sheet.heads, self._rows)


def printer(sheet: Sheet, *, as_json: bool, as_csv: bool) -> Printer:
    """Return what prints in the form that is asked for."""
    return Csv(sheet) if as_csv else Json() if as_json else Table(sheet)


def pair(one: str, other: str) -> str:
    """Return two words as one cell: one above the other where a terminal is narrow, side by side in a file."""
    return f"{one}\n{other}" if sys.stdout.isatty() else f"{one} {other}"
