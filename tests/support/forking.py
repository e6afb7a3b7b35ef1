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
from collections.abc import Mapping
from functools import cache
from pathlib import Path
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
    *arguments: str, env: Mapping[str, str], home: Path, out: IO[str], err: IO[str], session: bool
) -> Forked:
    """Start a command in a directory; what it says goes to two files, and it is given nothing to read."""
    order = Order(arguments, dict(env), str(home), session=session)
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with theirs:
        files = [theirs.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(_server(), [json.dumps(order).encode()], files)
    (pid,) = STATUS.unpack(ours.recv(STATUS.size))
    return Forked(pid, ours)


_starting = threading.Lock()


def _server() -> socket.socket:
    with _starting:
        return _started()


@cache
def _started() -> socket.socket:
    """Start the process that forks; it ends when this one does, in whatever way."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked", str(theirs.fileno())],
            cwd=TOP,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end, ours, process)
    return ours


def _end(control: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    control.close()
    process.wait()
