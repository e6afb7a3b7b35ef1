"""The process that forks commands, started by `forking`: `python -m tests.support.forked CONTROL`, a socket's number.

It reads orders until the other end is closed. For each it says on a socket that came with it the number of the process,
and the exit code when that has ended.
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
from typing import NamedTuple

STATUS = struct.Struct("!i")
_ORDER_BYTES = 1 << 17
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
    """What a forked process has to do, and where it says it."""

    order: Order
    out: int
    err: int


class Parent:
    """The process that forks: orders come on `control`, and `woken` is readable when a child has ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._woken, self._waker = socket.socketpair()
        self._running: dict[int, socket.socket] = {}

    def forks(self) -> Child | None:
        """Fork for each order. Return in each child what it has to do, and nothing in this process, at the end."""
        self._listens()
        while True:
            ready, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in ready:
                self._reaps()
            if self._control in ready:
                message, fds, _, _ = socket.recv_fds(self._control, _ORDER_BYTES, 3)
                if not message:
                    return None
                status, out, err = fds
                if child := self._forks(status, Child(Order(*json.loads(message)), out, err)):
                    return child

    def _listens(self) -> None:
        for end in (self._woken, self._waker):
            end.settimeout(0)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)  # one that is handled wakes
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C in the terminal of the tests is theirs

    def _forks(self, status: int, child: Child) -> Child | None:
        said = socket.socket(fileno=status)
        pid = os.fork()
        if not pid:
            said.close()
            self._leaves()
            return child
        os.close(child.out)
        os.close(child.err)
        said.send(STATUS.pack(pid))
        self._running[pid] = said
        return None

    def _leaves(self) -> None:
        """Keep nothing of the parent's in a child: not its sockets, nor how it takes signals."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for end in (self._control, self._woken, self._waker, *self._running.values()):
            end.close()

    def _reaps(self) -> None:
        self._woken.recv(1024)
        for pid in [*self._running]:
            ended, how = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._running.pop(pid) as said:
                    said.send(STATUS.pack(os.waitstatus_to_exitcode(how)))


def _import_all() -> None:
    import entitlements  # noqa: PLC0415  the server's alone: a test imports `Order` from here

    for module in pkgutil.walk_packages(entitlements.__path__, "entitlements."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _ELSEWHERE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or each child would look through all of it, and copy it, when it ends


def _run(child: Child) -> None:
    """Be the command. The streams are those of the start, unbuffered by anything read or written yet."""
    if child.order.session:
        os.setsid()
    for n, fd in enumerate((child.out, child.err), start=1):
        os.dup2(fd, n)
        os.close(fd)
    os.chdir(child.order.home)
    os.environ.clear()
    os.environ.update(child.order.env)
    sys.argv = ["entitlements", *child.order.arguments]
    runpy.run_module("entitlements", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _import_all()
    if found := Parent(socket.socket(fileno=int(sys.argv[1]))).forks():
        _run(found)
