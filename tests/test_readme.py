"""The README says what the code does: its tables, its commands, its links."""

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from entitlements.cli import app
from tests.support.readme import README, TABLES, renewed, tables

TOP = README.parent
DOCUMENTS = [README, *sorted((TOP / "deploy").rglob("*.md"))]
OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>"}


def prose(path: Path) -> str:
    """Return a document without its blocks of code, where nothing is a link or a heading."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(path: Path) -> set[str]:
    """Return where a document's links lead, those to other sites left out."""
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: *(\S+)", prose(path), re.MULTILINE)
    targets = {inline or reference for inline, reference in found}
    return {target for target in targets if not re.match(r"[a-z][a-z+.-]*:", target)}


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in headings}


def is_there(link: str, document: Path) -> bool:
    """Tell whether a link leads to a file, and to a heading in it where it names one."""
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    return target.exists() and (not anchor or anchor in anchors(target))


def code_lines(path: Path) -> list[str]:
    """Return the lines of a document's blocks of code, continued ones joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def spans(path: Path) -> list[str]:
    """Return what a document has in backticks in its running text."""
    return re.findall(r"`([^`\n]+)`", prose(path))


def commands(line: str) -> Iterator[list[str]]:
    """Yield what follows `entitlements` in each command of a line of shell."""
    try:
        words = shlex.split(line.removeprefix("$ "), comments=True)
    except ValueError:  # an apostrophe: not shell
        return
    for is_operator, group in groupby(words, key=OPERATORS.__contains__):
        command = list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), group))
        if not is_operator and command and Path(command[0]).name == "entitlements":
            yield command[1:]


def resolved(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and those that are left. Raises KeyError for a name that there is not."""
    command: Any = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and re.match(r"\w", words[0]):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_is_what_the_code_says(name: str) -> None:
    """Each table stands in the README as code renders it (`python -m tests.support.readme` writes it anew)."""
    assert tables(README.read_text()).get(name) == TABLES[name]()


def test_no_other_table_is_marked() -> None:
    """A pair of markers always has code behind it, and a marker its partner."""
    markers = re.findall(r"<!-- /?(\w+) -->", README.read_text())

    assert sorted(markers) == sorted([*tables(README.read_text())] * 2)
    assert set(markers) <= set(TABLES)


def test_a_table_is_written_anew_in_its_place() -> None:
    """Renewing replaces what stands between the markers, keeps all else, and does nothing the second time."""
    old = "before\n\n<!-- settings -->\n| old |\n<!-- /settings -->\nafter\n"
    new = renewed(old)

    assert tables(new) == {"settings": TABLES["settings"]()}
    assert new.startswith("before\n\n<!-- settings -->\n| variable |")
    assert new.endswith("|\n<!-- /settings -->\nafter\n")
    assert renewed(new) == new


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """Each relative link leads to a file of the checkout, and to a heading of it where it names one."""
    assert [link for link in links(document) if not is_there(link, document)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_every_command_can_be_pasted(document: Path) -> None:
    """Each line of code that runs `entitlements` is one that the command line can read, options included."""
    for words in (words for line in code_lines(document) for words in commands(line)):
        command, rest = resolved(words)
        if not isinstance(command, TyperGroup) and "--help" not in rest:
            command.make_context("entitlements", rest)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_every_command_that_is_mentioned_exists(document: Path) -> None:
    """What running text calls `entitlements something` is a command."""
    for words in (words for span in spans(document) for words in commands(span)):
        resolved(words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("entitlements dev  # then look", [["dev"]]),
        (
            "$ .venv/bin/entitlements token new --name 'my shop'",
            [["token", "new", "--name", "my shop"]],
        ),
        ("PORT=0 HOST=:: entitlements serve | tee log", [["serve"]]),
        ("entitlements dev && exec entitlements worker", [["dev"]]),
        ("curl localhost:8000/entitlements", []),
        ("don't run entitlements", []),
    ],
)
def test_commands_are_found_in_shell(line: str, words: list[list[str]]) -> None:
    """The words of each command come out, whatever stands around them."""
    assert list(commands(line)) == words


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """A link to nowhere, a command that does not exist and an option that does not are told from good ones."""
    document = tmp_path / "x.md"
    document.write_text(
        "# One (two)\n[a](#one-two) [b](#three) [c](y.md) [d](https://x.test)\n\n[e]: x.md\n"
    )

    assert {link for link in links(document) if not is_there(link, document)} == {"#three", "y.md"}
    with pytest.raises(KeyError):
        resolved(["token", "old"])
    command, rest = resolved(["dev", "--prot", "1"])
    with pytest.raises(Exception, match="No such option: --prot"):
        command.make_context("entitlements", rest)
