"""The process that forks commands, started by `forking`.

`python -m tests.support.forked SOCKET`, the number of one that listens. It takes an order from each connection, with
the streams of the command, until its own standard input is closed. It says the number of the process over the same
connection, and the exit code when that has ended.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from coverage import Coverage

STATUS = struct.Struct("!i")
_CHUNK = 1 << 16
_ELSEWHERE = (  # what is imported only when it is needed, by the libraries too
    "redis.asyncio.cluster",
    "redis.asyncio.sentinel",
    "rich.live",
    "rich.progress",
    "rich.table",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)


class Order(NamedTuple):
    """A command to run: its arguments, its environment, its directory, and whether it has a session of its own."""

    arguments: Sequence[str]
    env: dict[str, str]
    home: str
    session: bool


class Child(NamedTuple):
    """What a forked process has to do, with which streams."""

    order: Order
    streams: Sequence[int]


class Parent:
    """The process that forks: orders come over connections, and `woken` is readable when a child has ended."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._woken, self._waker = socket.socketpair()
        self._running: dict[int, socket.socket] = {}

    def forks(self) -> Child | None:
        """Fork for each order. Return in each child what it has to do, and nothing in this process, at the end."""
        self._takes_signals()
        while True:
            ready, _, _ = select.select([sys.stdin, self._listening, self._woken], [], [])
            if sys.stdin in ready:
                return None
            if self._woken in ready:
                self._reaps()
            if self._listening in ready and (child := self._forks(self._listening.accept()[0])):
                return child

    def _takes_signals(self) -> None:
        for end in (self._woken, self._waker):
            end.settimeout(0)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)  # one that is handled wakes
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C in the terminal of the tests is theirs

    def _forks(self, asking: socket.socket) -> Child | None:
        child = _ordered(asking)
        pid = os.fork()
        if not pid:
            asking.close()
            self._leaves()
            return child
        for fd in child.streams:
            os.close(fd)
        self._running[pid] = asking
        _say(asking, pid)
        return None

    def _leaves(self) -> None:
        """Keep nothing of the parent's in a child: not its sockets, nor how it takes signals."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for end in (self._listening, self._woken, self._waker, *self._running.values()):
            end.close()

    def _reaps(self) -> None:
        self._woken.recv(1024)
        for pid in [*self._running]:
            ended, how = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._running.pop(pid) as asking:
                    _say(asking, os.waitstatus_to_exitcode(how))


def _ordered(asking: socket.socket) -> Child:
    message, streams, _, _ = socket.recv_fds(asking, _CHUNK, 3)
    rest = iter(partial(asking.recv, _CHUNK), b"")
    return Child(Order(*json.loads(message + b"".join(rest))), streams)


def _say(asking: socket.socket, number: int) -> None:
    with suppress(ConnectionError):  # whoever asked may be gone
        asking.send(STATUS.pack(number))


def _import_all() -> None:
    import entitlements  # noqa: PLC0415  the server's alone: a test imports `Order` from here

    for module in pkgutil.walk_packages(entitlements.__path__, "entitlements."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _ELSEWHERE:
        importlib.import_module(name)
    if measured := Coverage.current():
        measured.save()  # or each child would tell of the imports again
    gc.collect()
    gc.freeze()  # or each child would look through all of it, and copy it, when it ends


def _run(child: Child) -> None:
    """Be the command. The streams of the start lead to its own from now on: nothing has been read or written yet."""
    if child.order.session:
        os.setsid()
    for n, fd in enumerate(child.streams):
        os.dup2(fd, n)
        os.close(fd)
    os.chdir(child.order.home)
    os.environ.clear()
    os.environ.update(child.order.env)
    sys.argv = ["entitlements", *child.order.arguments]
    runpy.run_module("entitlements", run_name="__main__", alter_sys=True)


def main(number: int) -> None:
    """Be the parent, and in each child the command."""
    _import_all()
    if child := Parent(socket.socket(fileno=number)).forks():
        _run(child)


if __name__ == "__main__":
    main(int(sys.argv[1]))
