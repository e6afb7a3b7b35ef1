"""The service as it is shipped: the wheel in an environment of its own, told by settings, spoken to over HTTP."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import SystemRandom
from typing import Any

import httpx2
import pytest

from entitlements.cli.token import digest
from entitlements.sandbox import subscription as life
from entitlements.sandbox.event import events
from entitlements.sandbox.ids import random_ids
from entitlements.sandbox.peer import Peer, Question, Reply, Service, connect
from entitlements.sandbox.shapes import Body, Terms
from entitlements.store.embedded import running_url
from tests.support.bodies import SECRET
from tests.support.command import Running, running, serving, store_pid
from tests.support.servers import until
from tests.support.service import READ

pytestmark = pytest.mark.acceptance

TOP = Path(__file__).parents[2]
DAY = 86_400
STOP_SECONDS = 5.0

ids = random_ids(SystemRandom())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from this checkout."""
    built = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), str(TOP))
    (found,) = built.glob("entitlements-*.whl")
    return found


@pytest.fixture(scope="session")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `entitlements` of an environment that holds the wheel, what the lock file names, and no more."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = ("--python", str(home / "bin" / "python"))
    pip(
        *python, "install", "--no-compile", "--require-hashes", "-r", str(TOP / "requirements.lock")
    )
    pip(*python, "install", "--no-deps", "--no-index", str(wheel))
    return home / "bin" / "entitlements"


def pip(*arguments: str) -> None:
    """Run pip; fail with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def settings(command: Path, **given: str) -> dict[str, str]:
    """Return an environment that holds settings and the way to the command, and nothing else."""
    return {"PATH": f"{command.parent}{os.pathsep}{os.defpath}", **given}


@contextmanager
def started(command: Path, home: Path) -> Iterator[tuple[Running, Service]]:
    """Start the service in a directory, told by its environment alone; give it, and a connection to it."""
    env = settings(
        command,
        PORT="0",
        ENTITLEMENTS_WEBHOOK_SECRETS=SECRET,
        ENTITLEMENTS_TOKENS=f"shop:read:{digest(READ).hex()}",
    )
    with (
        running("serve", home=home, command=[str(command)], env=env) as service,
        connect(serving(service, READ)) as http,
    ):
        yield service, http


class Story:
    """A subscription that was bought ten days ago, paid for twenty more, and then paused with `void`."""

    def __init__(self) -> None:
        self.now = int(time.time())
        self.bought = self.now - 10 * DAY
        self.paused = self.now - DAY
        self.paid_until = self.now + 20 * DAY
        self.resumes_at = self.now + 60 * DAY
        terms = Terms("cus_1", "prod_1", "price_1", period_end=self.paid_until)
        created = life.create(terms, self.bought, ids)
        pause = life.pause_collection(created.after, "void", self.resumes_at)
        named = life.update(created.after, {"metadata": {"team": "a"}})
        (self.creation,) = events(created, self.bought, ids)
        (self.pause,) = events(pause, self.paused, ids)
        (self.aside,) = events(named, self.bought + DAY, ids)
        """Of before the pause, and of no consequence."""

    def instants(self) -> list[int]:
        """Return instants around every change of the answer."""
        around = (self.bought, self.paused, self.paid_until, self.resumes_at)
        return [self.now, *(at + by for at in around for by in (-1, 0))]

    def answers(self, http: Service) -> list[Body]:
        """Return the answer at each of the instants."""
        replies = [http.ask(Question("cus_1", "prod_1", at)) for at in self.instants()]
        assert [reply.status for reply in replies] == [200] * len(replies)
        return [reply.body for reply in replies]


def deliver(http: Service, event: Body) -> Reply:
    """Post an event, signed now."""
    return http.deliver(event, int(time.time()))


def outcome(reply: Reply) -> tuple[int, str]:
    """Return the status and the outcome of a delivery."""
    return reply.status, str(reply.body["outcome"])


def said(answer: Body) -> tuple[bool, str]:
    """Return an answer in two words."""
    return bool(answer["granted"]), str(answer["reason"])


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    """Every file of the package is in it, the scripts of the store and the licence included; no test is."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {
        path for path in (TOP / "entitlements").rglob("*") if "__pycache__" not in path.parts
    }
    files = {str(path.relative_to(TOP)) for path in package if path.is_file()}

    assert names == files
    assert {"entitlements/store/commit.lua", "entitlements/store/keep.lua"} <= names
    assert any(name.endswith("/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_what_was_paid_for_is_served(command: Path, tmp_path: Path) -> None:
    """A pause with `void`: access up to the end of the paid period, none until it resumes, access after that."""
    story = Story()
    with started(command, tmp_path) as (_, http):
        assert outcome(deliver(http, story.creation)) == (200, "applied")
        assert said(http.ask(Question("cus_1", "prod_1")).body) == (True, "active")
        assert outcome(deliver(http, story.pause)) == (200, "applied")
        answers = dict(zip(story.instants(), story.answers(http), strict=True))

    now = answers[story.now]
    assert said(now) == (True, "paused_void")
    assert (now["rule"], now["until"]) == ("pause_collection.void", story.paid_until)
    assert now["then"] == {"granted": False, "reason": "paused_void"}
    assert said(answers[story.bought - 1])[0] is False
    assert said(answers[story.paused - 1]) == (True, "active")
    assert said(answers[story.paid_until - 1]) == (True, "paused_void")
    assert said(answers[story.paid_until]) == (False, "paused_void")
    assert answers[story.paid_until]["until"] == story.resumes_at
    assert said(answers[story.resumes_at - 1]) == (False, "paused_void")
    assert said(answers[story.resumes_at]) == (True, "active")


def test_deliveries_may_come_twice_and_late(command: Path, tmp_path: Path) -> None:
    """A repeated event is a duplicate, an older one stale: both are taken, and neither changes an answer."""
    story = Story()
    with started(command, tmp_path) as (_, http):
        assert outcome(deliver(http, story.pause)) == (200, "applied")
        assert outcome(deliver(http, story.creation))[0] == 200
        before = story.answers(http)

        assert outcome(deliver(http, story.pause)) == (200, "duplicate")
        assert outcome(deliver(http, story.aside)) == (200, "stale")
        assert story.answers(http) == before
    assert said(before[0]) == (True, "paused_void")


def test_what_is_not_proven_is_refused(command: Path, tmp_path: Path) -> None:
    """Neither a signature by another secret, nor an old one, nor a caller without a token gets anything."""
    story = Story()
    with started(command, tmp_path) as (service, http):
        url = service.lines("serving")[0]["url"]
        with connect(Peer(url, "whsec_of_somebody_else", "ent_read_unknown")) as stranger:
            forged = deliver(stranger, story.creation)
            unknown = stranger.ask(Question("cus_1", "prod_1"))
        old = http.deliver(story.creation, story.now - 3600)
        answer = http.ask(Question("cus_1", "prod_1"))

    assert [reply.status for reply in (forged, old, unknown)] == [400, 400, 401]
    assert (
        forged.body["type"] == old.body["type"] == "urn:problem-type:entitlements:signature-invalid"
    )
    assert said(answer.body) == (False, "unknown_customer")


def test_a_restart_changes_no_answer(command: Path, tmp_path: Path) -> None:
    """SIGTERM ends it with exit code 0; the next start on the same directory answers the same."""
    story = Story()
    with started(command, tmp_path) as (service, http):
        deliver(http, story.creation)
        deliver(http, story.pause)
        before = story.answers(http)
        stopped = service.stop()
    with started(command, tmp_path) as (_, http):
        assert story.answers(http) == before
    assert stopped == 0


def test_what_was_acknowledged_survives_a_kill(command: Path, tmp_path: Path) -> None:
    """Right after a 200, SIGKILL of the service and of its store: the next start knows the event."""
    story = Story()
    data = tmp_path / ".entitlements"
    with started(command, tmp_path) as (service, http):
        deliver(http, story.creation)
        store = store_pid(data)
        assert outcome(deliver(http, story.pause)) == (200, "applied")
        os.kill(store, signal.SIGKILL)
        service.process.kill()
        service.process.wait()
    with started(command, tmp_path) as (_, http):
        assert said(http.ask(Question("cus_1", "prod_1")).body) == (True, "paused_void")
        assert outcome(deliver(http, story.pause)) == (200, "duplicate")


def test_a_directory_has_one_service(command: Path, tmp_path: Path) -> None:
    """A second start on the same directory is refused with one sentence and exit code 2; the first goes on."""
    with started(command, tmp_path) as (service, http):
        second = subprocess.run(
            [command, "serve"],
            cwd=tmp_path,
            env=settings(command, PORT="0", ENTITLEMENTS_WEBHOOK_SECRETS=SECRET),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert http.is_ready()

    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        f"entitlements: {tmp_path}/.entitlements is in use by process {service.process.pid}: "
        "stop that process, or set ENTITLEMENTS_DATA_DIR to another directory.\n"
    )


def test_dev_needs_nothing(command: Path, tmp_path: Path) -> None:
    """With no setting at all it prints how to try it, in lines that work, and Ctrl-C ends it cleanly and soon."""
    env = settings(command)
    with running("dev", "--port", "0", home=tmp_path, command=[str(command)], env=env) as dev:
        dev.until("Ctrl-C stops it")
        lines = dev.out.partition("Try it from another terminal:\n")[2].partition("\n\n")[0]
        results = [pasted(line, tmp_path, env) for line in lines.splitlines()]
        store = running_url(tmp_path / ".entitlements")
        began = time.monotonic()
        stopped = dev.stop(signal.SIGINT)
        took = time.monotonic() - began

    reasons = [answer["reason"] for answer in results if answer]
    assert reasons == ["active", "paused_void"]
    assert store is not None
    assert (stopped, dev.err.count("Traceback")) == (0, 0)
    assert took < STOP_SECONDS
    until(lambda: running_url(tmp_path / ".entitlements") is None)


def pasted(line: str, home: Path, env: dict[str, str]) -> Any:  # noqa: ANN401  JSON
    """Do what a line of shell says; return the JSON that `curl` would print, null for another command."""
    name, *words = shlex.split(line)
    if name != "curl":
        found = subprocess.run([name, *words], cwd=home, env=env, capture_output=True, check=False)
        assert found.returncode == 0, found.stderr
        return None
    curl = argparse.ArgumentParser()
    curl.add_argument("url")
    curl.add_argument("-H", dest="header", type=lambda header: header.split(": ", 1))
    asked = curl.parse_args(words)
    return httpx2.get(asked.url, headers=[asked.header], trust_env=False).raise_for_status().json()
