"""Values out of a TOML document, read strictly: what is wrong with one is said with its place. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeGuard

from entitlements.policy import DAY
from entitlements.span import seconds
from entitlements.toml_lines import Path

Table = dict[str, object]

LONGEST = 999_999 * DAY
"""Seconds of a stretch of time."""


class Wrong(Exception):
    """What is wrong, and where in the document."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(what)
        self.path = path


def require_known(table: Table, names: Iterable[str], path: Path) -> None:
    """Raise Wrong for a key that is none of some names, with the nearest of them."""
    names = tuple(names)
    for key in table:
        if key not in names:
            near = get_close_matches(key, names, 1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(names)}"
            raise Wrong((*path, key), f"is not known here: {hint}")


def table_at(table: Table, key: str, path: Path) -> Table:
    """Return a table within a table: empty where it is not there. Raises Wrong."""
    return as_table(table.get(key, {}), (*path, key))


def as_table(value: object, path: Path, wanted: str = "a table") -> Table:
    """Return a value that is a table. Raises Wrong."""
    if not isinstance(value, dict):
        raise Wrong(path, f"is {value!r}, and should be {wanted}")
    return value


def text_at(table: Table, key: str, path: Path = ()) -> str | None:
    """Return text within a table that says something; null where there is none. Raises Wrong."""
    value = table.get(key)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise Wrong((*path, key), f"is {value!r}, and should be text")
    return value


def choice(value: object, choices: tuple[str, ...], path: Path) -> str:
    """Return a value that is one of some words. Raises Wrong, with the nearest of them."""
    if value not in choices:
        near = get_close_matches(str(value), choices, 1)
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(choices)}"
        raise Wrong(path, f"is {value!r}: {hint}")
    return str(value)


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is an integer of TOML, whose booleans are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def duration(value: object, path: Path) -> int:
    """Read `"7d"`, `"12h"`, `"30m"`, `"45s"`, `"2w"`, or whole seconds. Raises Wrong."""
    found = seconds(value) if isinstance(value, str) else value
    if not is_whole(found) or not 0 <= found <= LONGEST:
        raise Wrong(path, f'is {value!r}, and should be a time such as "7d", "12h", "30m" or "45s"')
    return found
