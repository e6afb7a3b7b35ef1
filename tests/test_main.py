"""The command line as a whole: help that is quick, errors that are a sentence, exit codes that can be relied on."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from entitlements.cli import app
from tests.support.command import COMMAND, environment, refusal, run

SLOW = "stripe", "redis", "starlette", "uvicorn", "uvloop", "httpx2", "structlog", "rich"

IMPORTED = f"""
import sys
from entitlements.cli import main
sys.argv = ["entitlements", *sys.argv[1:]]
try:
    main()
finally:
    sys.stderr.write(" ".join(name for name in {SLOW} if name in sys.modules))
"""


def paths(group: TyperGroup, *above: str) -> Iterator[tuple[str, ...]]:
    """Yield the words that name each command, groups included."""
    yield above
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from paths(command, *above, name)
        else:
            yield (*above, name)


def named(path: tuple[str, ...]) -> Any:  # noqa: ANN401  typer's own copy of click is not typed for us
    """Return the command of these words."""
    command: Any = ROOT
    for word in path:
        command = command.commands[word]
    return command


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, TyperGroup)
PATHS = list(paths(ROOT))


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    """`--help` says how each command is used and what it does, and each of its options as well."""
    result = CliRunner().invoke(app, [*path, "--help"])
    command = named(path)

    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    assert (command.help or "").endswith(".")
    assert [option.name for option in command.params if not getattr(option, "help", None)] == []


@pytest.mark.parametrize("words", [[], ["trigger"], ["trigger", "created"]], ids=" ".join)
def test_help_is_quick(words: list[str]) -> None:
    """Help loads no library that only the work itself needs."""
    helped = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words, "--help"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert helped.stdout.startswith("Usage: entitlements")
    assert helped.stderr == ""


def test_the_package_is_the_command() -> None:
    """`python -m entitlements` and the installed script are one thing."""
    assert COMMAND[1:] == ("-m", "entitlements")
    assert run("--help").stdout.replace("python -m entitlements", "entitlements") == (
        subprocess.run(
            [f"{sys.prefix}/bin/entitlements", "--help"],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


@pytest.mark.parametrize("words", [["grant"], ["serve", "--prot", "1"], ["token", "new"]])
def test_a_wrong_use_is_told_from_work_that_failed(words: list[str]) -> None:
    """What the command line cannot read ends with exit code 2, and a message on standard error."""
    found = run(*words)

    assert (found.returncode, found.stdout) == (2, "")
    assert "Traceback" not in found.stderr
    assert found.stderr.startswith("Usage: ")


def test_an_error_of_ours_is_one_sentence() -> None:
    """A start that is refused prints one line that names the variable, without a traceback."""
    assert refusal(run("serve", PORT="http")) == "PORT is not a port, 0 to 65535."
