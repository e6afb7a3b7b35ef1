"""A service of its own for a command: started in a directory, waited for, and stopped whatever happens."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from entitlements.cli import credentials
from entitlements.errors import EntitlementsError
from entitlements.sandbox.peer import Peer, connect

START, STOP = 30.0, 15.0
"""Seconds in which the service has to be ready, and to be gone."""

LAST_WORDS = 10
"""Lines of its output that are shown where it does not start."""

_BLINK = 0.05

Made = TypeVar("Made")


@contextmanager
def passing_directory() -> Iterator[Path]:
    """Make a directory that is gone after the block, whichever moment a signal ends the command in."""
    make = partial(TemporaryDirectory, prefix="entitlements-")
    with _for_the_block(make, TemporaryDirectory.cleanup) as directory:
        yield Path(directory.name)


@contextmanager
def running(command: Sequence[str], home: Path) -> Iterator[Peer]:
    """Run a service in a directory for as long as the block runs. Raises EntitlementsError where it does not start."""
    log = home / "service.log"
    start = partial(_start, [*command, "--port", "0", "--data-dir", str(home)], log)
    with _for_the_block(start, _stop) as process:
        yield _ready(process, home, log)


@contextmanager
def _for_the_block(make: Callable[[], Made], end: Callable[[Made], object]) -> Iterator[Made]:
    """Make something and end it after the block; a signal waits, or one is made that nobody knows of."""
    made = None
    try:
        with _signals_held():
            made = make()
        yield made
    finally:
        if made is not None:
            with _signals_held():
                end(made)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Put off what SIGINT and SIGTERM do until the block is over."""
    held: list[int] = []
    both = (signal.SIGINT, signal.SIGTERM)
    before = [(each, signal.signal(each, lambda n, _: held.append(n))) for each in both]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)
    for number in held:
        signal.raise_signal(number)


def _start(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    environment = _environment(os.environ)
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603  every part of the command is ours
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without settings: it never touches a configured store."""
    return {
        name: value
        for name, value in given.items()
        if not name.startswith("ENTITLEMENTS_") and name not in ("PORT", "HOST")
    }


def _ready(process: "subprocess.Popen[bytes]", home: Path, log: Path) -> Peer:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        if found := _found(home):
            return found
        time.sleep(_BLINK)
    said = "\n".join(log.read_text(errors="replace").splitlines()[-LAST_WORDS:])
    raise EntitlementsError(f"The service did not start. It said last:\n{said or '(nothing)'}")


def _found(home: Path) -> Peer | None:
    """Return the service once it answers. Until then its file may be missing, or written in part."""
    try:
        found = credentials.load(home)
        if found is None:
            return None
        peer = Peer(found.url, found.webhook_secret, found.read_token)
        with connect(peer) as service:
            return peer if service.is_ready() else None
    except EntitlementsError:
        return None


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
