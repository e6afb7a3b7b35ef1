"""Where in a TOML text a key stands: the standard library's parser keeps no lines. Pure."""

import re
import tomllib
from collections.abc import Iterator
from itertools import takewhile

Path = tuple[str | int, ...]
"""Keys from the top down; a number is a place in a list of tables."""

_STRING = r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
_LONG_STRING = r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}'
_PART = re.compile(rf"{_LONG_STRING}|{_STRING}|#[^\n]*|[\[\]{{}}\n]|[^\"'#\[\]{{}}\n]+", re.DOTALL)
_KEY = rf"{_STRING}|[A-Za-z0-9_-]+"
_HEAD = re.compile(rf"(\[*)\s*((?:{_KEY})(?:\s*\.\s*(?:{_KEY}))*)")
"""What a statement begins with: the brackets of a table's header, if it is one, and a key."""


def line_of(text: str, path: Path) -> int:
    """Return the line (from 1) of the statement that writes the deepest step of a path, the first one of several.

    The text must be valid TOML.
    """
    found = ((_shared(written, path), -line) for line, written in _written(text))
    return -max(found, default=(0, -1))[1]


def _shared(one: Path, other: Path) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _written(text: str) -> Iterator[tuple[int, Path]]:
    """Yield the line on which each statement begins, and the path that it writes to."""
    table: Path = ()
    places: dict[Path, int] = {}
    for line, statement in _statements(text):
        brackets, dotted = _HEAD.findall(statement)[0]
        keys = tuple(_key(part) for part in re.findall(_KEY, dotted))
        if brackets == "[[":
            named = (*_placed(keys[:-1], places), keys[-1])
            places[named] = places.get(named, -1) + 1
        table = _placed(keys, places) if brackets else table
        yield line, table if brackets else (*table, *keys)


def _placed(keys: tuple[str, ...], places: dict[Path, int]) -> Path:
    """Return the path that a header names: of each list of tables on the way, the last table so far."""
    found: Path = ()
    for key in keys:
        found = (*found, key)
        found = (*found, places[found]) if found in places else found
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement without its comments, and the line on which it begins."""
    line, begins, depth = 1, 1, 0
    kept: list[str] = []
    for part in _PART.findall(f"{text}\n"):
        line += part.count("\n")
        depth += (part in {"[", "{"}) - (part in {"]", "}"})
        kept += [] if part.startswith("#") else [part]
        if part == "\n" and not depth:
            if statement := "".join(kept).strip():
                yield begins, statement
            begins, kept = line, []


def _key(written: str) -> str:
    """Return a key as it is meant: bare, or a string with its escapes."""
    return next(iter(tomllib.loads(f"{written} = 0")))
