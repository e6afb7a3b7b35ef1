"""`entitlements demo`: its own service, the story told to it, and the verdict on the answers."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec
import pytest

from entitlements.cli.companion import passing_directory, running
from entitlements.cli.demo import perform
from entitlements.errors import EntitlementsError
from entitlements.sandbox.peer import connect
from entitlements.sandbox.scenario import STORY

DEMO = [sys.executable, "-m", "entitlements", "demo", "--json"]
QUESTIONS = sum(len(step.asked) for step in STORY)

STAND_IN = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_, promises, _, _, _, home = sys.argv
promises = iter(json.loads(promises))

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.say({} if self.path == "/readyz" else self.promised())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.say({"outcome": "applied"})

    def promised(self):
        asked, answer = next(promises)
        [at] = parse_qs(urlsplit(self.path).query)["at"]
        until = answer["until"]
        return answer | {"until": until and int(at) - asked + until}

    def say(self, body):
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

with HTTPServer(("127.0.0.1", 0), Handler) as server:
    url = f"http://127.0.0.1:{server.server_port}"
    tokens = {"webhook_secret": "whsec_1", "read_token": "r", "operate_token": "o"}
    Path(home, "dev.json").write_text(json.dumps(tokens | {"url": url}))
    server.serve_forever()
"""
"""Takes every event, and answers by a list of (seconds from the story's now, answer)."""


def test_promised_answers_are_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Every question is shown with its step, its time, what was promised and what was answered."""
    assert perform(_stand_in(), json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert len(told["steps"]) == QUESTIONS
    assert told["steps"][0].keys() == {"step", "question", "at", "expected", "answer", "ok"}


@pytest.mark.parametrize("wrong", [{"granted": True}, {"reason": "paused"}, {"until": 1}])
def test_one_broken_promise_is_exit_code_1(
    wrong: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Access, reason and time all count; the other answers stay right."""
    denied = [asked.expected.granted for step in STORY for asked in step.asked].index(False)
    assert perform(_stand_in({denied: wrong}), json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert [step["ok"] for step in told["steps"]].index(False) == denied
    assert sum(not step["ok"] for step in told["steps"]) == 1


def test_people_read_a_table_and_the_count(capsys: pytest.CaptureFixture[str]) -> None:
    """Results are on standard output, the story's course on standard error."""
    assert perform(_stand_in({0: {"reason": "trialing"}}), json=False) == 1
    found = capsys.readouterr()
    header, first, *_ = found.out.splitlines()
    assert header.split("  ")[0] == "step"
    assert "A customer subscribes" in first
    assert "yes, active" in first
    assert "yes, trialing" in first
    assert f"{QUESTIONS - 1} of {QUESTIONS} answers" in found.err


def test_the_service_is_gone_after_the_block(tmp_path: Path) -> None:
    """It runs inside, and nobody listens there afterwards."""
    with running(_stand_in(), tmp_path) as peer, connect(peer) as service:
        assert service.is_ready()
    with connect(peer) as service, pytest.raises(EntitlementsError, match="Cannot reach"):
        service.is_ready()


def test_a_service_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    """The error carries what it said last."""
    dying = [sys.executable, "-c", "raise SystemExit('no room for the store')"]
    with pytest.raises(EntitlementsError, match="no room for the store"), running(dying, tmp_path):
        pytest.fail("it runs")


def test_a_signal_while_the_directory_is_made_leaves_nothing_behind(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes the moment the directory is there, before anybody knows of it."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_path))
    seen: list[list[Path]] = []

    def interrupt(_: object, event: str, called: object) -> None:
        if event == "c_return" and called is os.mkdir:
            seen.append(list(short_path.iterdir()))
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        _profiled(interrupt, lambda: passing_directory().__enter__())
    assert len(seen[0]) == 1
    assert list(short_path.iterdir()) == []


@pytest.mark.acceptance
def test_the_real_service_keeps_its_promises() -> None:
    """The whole story, told to the service itself."""
    found = subprocess.run(DEMO, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    told = json.loads(found.stdout)
    assert told["ok"] is True
    assert len(told["steps"]) == QUESTIONS


@pytest.mark.acceptance
def test_a_demo_that_is_terminated_leaves_nothing_behind(short_path: Path) -> None:
    """On SIGTERM it stops its service and removes its files."""
    environment = os.environ | {"TMPDIR": str(short_path)}
    with subprocess.Popen(DEMO, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert list(short_path.glob("entitlements-*")) == []


def _profiled(hook: Callable[[FrameType, str, object], None], act: Callable[[], object]) -> None:
    sys.setprofile(hook)
    try:
        act()
    finally:
        sys.setprofile(None)


def _stand_in(wrong: dict[int, dict[str, object]] | None = None) -> list[str]:
    """Return the command of a service that answers as promised, but for the numbered answers."""
    asked = [asked for step in STORY for asked in step.asked]
    answers = [
        (a.at, msgspec.to_builtins(a.expected) | (wrong or {}).get(number, {}))
        for number, a in enumerate(asked)
    ]
    for _, answer in answers:
        answer["then"] = answer["then"] and {k: answer["then"][k] for k in ("granted", "reason")}
    return [sys.executable, "-c", STAND_IN, json.dumps(answers)]
