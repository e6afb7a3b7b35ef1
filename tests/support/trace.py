"""A server's system calls while a block runs, and the order in which they answer a command."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

STRACE = shutil.which("strace")
_CALL = re.compile(r"^(?P<name>\w+)\((?P<fd>\d+)<(?P<path>[^>]*)>(?P<rest>.*)")


class Call(NamedTuple):
    """One system call on a file or a socket."""

    name: str
    fd: str
    path: str
    rest: str


@contextmanager
def traced(pid: int, home: Path) -> Iterator[list[Call]]:
    """Give a list that holds, after the block, what a process's main thread called; skip where tracing is denied."""
    if STRACE is None:
        pytest.skip("strace is not on this machine")
    out, calls = home / "strace.out", list[Call]()
    wanted = ["-e", "trace=read,write,writev,sendto,fsync,fdatasync", "-y", "-o", str(out)]
    with subprocess.Popen(
        [STRACE, *wanted, "-p", str(pid)], stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr
        said = strace.stderr.readline()
        if "attached" not in said:
            pytest.skip(f"this machine lets no process be traced: {said.strip()}")
        try:
            yield calls
        finally:
            strace.terminate()
    calls += [Call(**found.groupdict()) for found in map(_CALL.match, _lines(out)) if found]


def _lines(out: Path) -> Sequence[str]:
    return out.read_text(errors="replace").splitlines()


def answering(calls: Sequence[Call], command: str) -> list[list[str]]:
    """Return, for each time a command was read and led to a write of the file: what was done, up to its reply.

    The words are `read`, `write`, `sync` and `reply`.
    """
    found = []
    for n, call in enumerate(calls):
        if call.name == "read" and command in call.rest:
            steps = _until_reply(calls[n + 1 :], call.fd)
            if "write" in steps:
                found.append(["read", *steps])
    return found


def _until_reply(calls: Sequence[Call], connection: str) -> list[str]:
    steps = list[str]()
    for call in calls:
        if call.fd == connection and call.name != "read":
            return [*steps, "reply"]
        if "appendonly" in call.path and call.name != "read":
            steps.append("sync" if call.name.endswith("sync") else "write")
    return steps
