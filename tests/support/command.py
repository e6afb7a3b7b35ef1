"""The command line in processes of its own: run to its end, or running beside a test.

They are forked of one that has imported it; a command that is named another way is started as it is named.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol

from entitlements.sandbox.peer import Peer
from entitlements.store.embedded import running_url
from tests.support.bodies import SECRET
from tests.support.forking import forked
from tests.support.servers import client, until

COMMAND = (sys.executable, "-m", "entitlements")
PATIENCE = 30.0
"""Seconds for a process to start, or to end by itself."""

STOP = 10.0
"""Seconds for a process to end once it is told to: longer than it gives requests in flight."""


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with these settings, and no others."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ENTITLEMENTS_") and name not in {"PORT", "HOST"}
    }
    return inherited | settings


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    env, home = environment(**settings), Path.cwd()
    with _nothing() as given, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        process = forked(*arguments, env=env, home=home, streams=(given, out, err))
        try:
            code = process.wait(PATIENCE)
        finally:
            process.kill()
        said = [_whole(stream) for stream in (out, err)]
    return subprocess.CompletedProcess([*COMMAND, *arguments], code, *said)


def _nothing() -> IO[str]:
    return Path(os.devnull).open()


def _whole(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read()


def refusal(finished: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence on standard error that a command could not run for; fail where it ended otherwise."""
    assert (finished.returncode, finished.stdout) == (2, ""), finished
    (line,) = finished.stderr.splitlines()
    assert line.startswith("entitlements: "), line
    assert line.endswith("."), line
    return line.removeprefix("entitlements: ")


class Process(Protocol):
    """What a test asks of a process, started or forked."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, if it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, once it has ended."""

    def send_signal(self, number: int, /) -> None:
        """Send a signal to it."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Running:
    """A command that runs, in a session of its own as in a terminal of its own; what it says goes to files."""

    def __init__(self, process: Process, out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def out(self) -> str:
        """Return what it has said on standard output so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """Return what it has said on standard error so far."""
        return self._err.read_text()

    def lines(self, event: str) -> list[dict[str, str]]:
        """Return the lines of its log that tell of one kind of event."""
        logged = [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]
        return [line for line in logged if line["event"] == event]

    def until(self, said: str) -> None:
        """Wait for words on either stream. Fails where it ends before."""
        until(lambda: said in self.out + self.err or self.process.poll() is not None, PATIENCE)
        assert said in self.out + self.err, self.err

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal as a terminal or a supervisor does, to all of its session; return the exit code."""
        os.killpg(self.process.pid, number)
        return self.process.wait(STOP)


@contextmanager
def running(
    *arguments: str, home: Path, command: Sequence[str] | None = None, env: Mapping[str, str]
) -> Iterator[Running]:
    """Run a command in a directory for as long as the block runs; end it there if it has not ended."""
    logs = home / "out.log", home / "err.log"
    with _nothing() as given, logs[0].open("w") as out, logs[1].open("w") as err:
        process: Process
        if command is None:
            process = forked(
                *arguments, env=env, home=home, streams=(given, out, err), session=True
            )
        else:
            process = subprocess.Popen(
                [*command, *arguments],
                cwd=home,
                env=env,
                stdin=given,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
    try:
        yield Running(process, *logs)
    finally:
        process.kill()
        process.wait()


def serving(service: Running, token: str | None = None) -> Peer:
    """Return how to speak to a `serve` that was just started, once it answers."""
    service.until('"serving"')
    return Peer(service.lines("serving")[0]["url"], SECRET, token)


def store_pid(data_dir: Path) -> int:
    """Return the process of the embedded store that runs on a directory."""
    url = running_url(data_dir)
    assert url, f"no store runs on {data_dir}"
    with client(url) as store:
        return int(store.info("server")["process_id"])
