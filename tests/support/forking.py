"""A process that has imported all that the command line may, and forks itself for each command that a test runs.

What a command does is the same: its process has a session, a directory, an environment, streams and signals of its own,
and ends as any other. It only need not import everything again, which takes longer than most commands do.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tests.support.forked import STATUS, Order

TOP = Path(__file__).parents[2]


class Forked:
    """A command's process; one speaks to it as to a `subprocess.Popen`."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Return the exit code, if it has ended: minus the signal's number where one ended it."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, once it has ended."""
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                (self.returncode,) = STATUS.unpack(self._status.recv(STATUS.size))
            except (BlockingIOError, TimeoutError) as late:
                raise subprocess.TimeoutExpired("entitlements", timeout or 0) from late
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to it alone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def forked(
    *arguments: str,
    env: Mapping[str, str],
    home: Path,
    streams: Sequence[IO[str]],
    session: bool = False,
) -> Forked:
    """Start a command in a directory, with its three streams."""
    order = Order(arguments, dict(env), str(home), session=session)
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(str(address()))
    socket.send_fds(asking, [json.dumps(order).encode()], [stream.fileno() for stream in streams])
    asking.shutdown(socket.SHUT_WR)
    (pid,) = STATUS.unpack(asking.recv(STATUS.size))
    return Forked(pid, asking)


def address() -> Path:
    """Return where the process that forks listens; start it when it is first asked for."""
    with _starting:
        return _started()


_starting = threading.Lock()


@cache
def _started() -> Path:
    home = TemporaryDirectory(prefix="ent-")
    path = Path(home.name) / "forked.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()  # whoever comes before the process is up waits
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked", str(listening.fileno())],
            cwd=TOP,
            stdin=subprocess.PIPE,  # closed when this process ends, in whatever way: so that one ends too
            stdout=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
        )
    atexit.register(_end, process, home)
    return path


def _end(process: "subprocess.Popen[bytes]", home: "TemporaryDirectory[str]") -> None:
    process.communicate()
    home.cleanup()


_SHORT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect({address!r})
    order = sys.argv[1:], dict(os.environ), os.getcwd(), False
    socket.send_fds(asking, [json.dumps(order).encode()], [0, 1, 2])
    asking.shutdown(socket.SHUT_WR)
    answers = asking.makefile("rb")
    answers.read({size})
    sys.exit(int.from_bytes(answers.read({size}), "big", signed=True))
"""


def executable(home: Path) -> Path:
    """Make the command `entitlements` in a directory, for a shell: it has it forked, and ends as it does."""
    path = home / "entitlements"
    text = _SHORT.format(python=sys.executable, address=str(address()), size=STATUS.size)
    path.write_text(text)
    path.chmod(0o700)
    return path
