"""The tables of the README that code holds: what they say, where they stand, and a way to write them anew.

`python -m tests.support.readme` brings the README up to date. A table stands between `<!-- name -->` and
`<!-- /name -->`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import typer
from typer.core import TyperGroup

from entitlements import policy_words, reasons, settings
from entitlements.cli import app

README = Path(__file__).parents[2] / "README.md"


def commands() -> str:
    """Return the table of commands, each with its help; what belongs to a group in one row."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    rows = [f"| `entitlements {name}` | {meaning} |" for name, meaning in _rows(group)]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows])


def _rows(group: TyperGroup) -> Iterator[tuple[str, str]]:
    for name, command in group.commands.items():
        meaning = (command.help or "").partition("\n\n")[0].replace("\n", " ")
        if isinstance(command, TyperGroup):
            named = ", ".join(f"`{own}`" for own in command.commands)
            meaning = f"{meaning.removesuffix('.')}: {named}"
        yield name, meaning


TABLES: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "decisions": policy_words.markdown_table,
    "reasons": reasons.markdown_table,
    "settings": settings.markdown_table,
}


def tables(text: str) -> dict[str, str]:
    """Return what stands between each pair of markers of a text, by its name."""
    return {match["name"]: match["table"].strip() for match in _MARKED.finditer(text)}


def renewed(text: str) -> str:
    """Return a text with every table as the code has it. Raises KeyError for a marker that has none."""
    return _MARKED.sub(lambda m: f"{m['open']}\n{TABLES[m['name']]()}\n{m['close']}", text)


_MARKED = re.compile(
    r"(?P<open><!-- (?P<name>\w+) -->)\n(?P<table>.*?)(?P<close><!-- /(?P=name) -->)", re.DOTALL
)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
