"""`entitlements replay` as its users run it: a process, a store, and a file."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.command import environment, refusal, run, running
from tests.support.servers import until

PLAIN = subscription()
PAUSED = PLAIN | pausing("void")
LIFE = [event(PLAIN), update(PLAIN, PAUSED)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of two events."""
    found = tmp_path / "events.jsonl"
    found.write_text("".join(json.dumps(one) + "\n" for one in LIFE))
    return found


def command(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Run it against a store."""
    return run("replay", *arguments, ENTITLEMENTS_REDIS_URL=url)


def test_a_preview_is_applied_as_it_was_shown(store_url: str, file: Path) -> None:
    """The same table; then everything is held."""
    preview = command(str(file), url=store_url)
    (name,) = [word for word in preview.stderr.split() if word.startswith("rp_") and ":" in word]
    resume = ("--resume", name.strip(":"), "--apply", "--reason", "the endpoint was down")
    applied = command(*resume, url=store_url)
    again = command("--source", "file", str(file), url=store_url)
    log = command("--source", "log", "--json", url=store_url)

    assert (preview.returncode, applied.returncode) == (0, 0), applied.stderr
    assert preview.stdout == applied.stdout
    assert preview.stdout.split()[:4] == ["outcome", "events", "applied", "2"]
    assert "cus_1" in preview.stdout
    assert "gains" in preview.stdout
    assert "Nothing is written" in preview.stderr
    assert again.stdout.split() == ["outcome", "events", "duplicate", "2"]
    assert json.loads(log.stdout)["outcomes"] == {"duplicate": 2}


def test_runs_are_listed_and_shown(store_url: str, file: Path) -> None:
    """Who made each, and why; with every answer that changed."""
    command(str(file), "--apply", "--reason", "down", "--actor", "ann", url=store_url)
    (run_,) = map(json.loads, command("--list", "--json", url=store_url).stdout.splitlines())
    shown = command("--show", run_["id"], "--csv", url=store_url)

    assert (run_["by"], run_["reason"], run_["status"], run_["events"]) == (
        "ann",
        "down",
        "done",
        2,
    )
    assert shown.stdout.splitlines()[1].startswith(",cus_1,pro,gains,False")
    assert run_["id"] in command("--list", url=store_url).stdout
    assert "cus_1" in command("--show", run_["id"], url=store_url).stdout
    assert '"kind":"gains"' in command("--show", run_["id"], "--json", url=store_url).stdout
    assert "does not run" in refusal(
        command("--cancel", run_["id"], "--reason", "no", url=store_url)
    )


def test_what_stays_to_be_looked_at_is_exit_code_1(store_url: str, tmp_path: Path) -> None:
    """What cannot be read is named by its line, and keeps nothing else out; with nothing else it is a failure."""
    odd = event(PLAIN | {"items": None}, id="evt_odd")
    mixed, bad = tmp_path / "mixed", tmp_path / "bad"
    mixed.write_bytes(encoded(odd) + b'\n{"object":"customer"}\n')
    bad.write_text("no\n")
    found = command(str(mixed), "--csv", url=store_url)

    assert found.returncode == 1
    assert len(found.stdout.splitlines()) == 1
    assert "Left out: line" in found.stderr
    assert "quarantined" in found.stderr
    assert command(str(bad), url=store_url).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "--source"),
        (["--source", "log", "x"], "Name a file"),
        (["--source", "file"], "Name a file"),
        (["--source", "log", "--undelivered"], "--undelivered"),
        (["--source", "stripe"], "ENTITLEMENTS_STRIPE_API_KEY"),
        (["nowhere.jsonl"], "cannot be read"),
        (["--source", "log", "--apply"], "says why"),
        (["--source", "log", "--since", "yesterday"], "not a time"),
        (["--resume", "rp_no"], "no replay"),
    ],
)
def test_what_cannot_be_done_is_said(store_url: str, arguments: list[str], why: str) -> None:
    """In one sentence, with exit code 2."""
    assert why in refusal(command(*arguments, url=store_url))


def test_ctrl_c_stops_after_the_batch_and_says_how_to_go_on(store_url: str, tmp_path: Path) -> None:
    """A pipe under a name is read like standard input; in a terminal its writer ends as well."""
    pipe = tmp_path / "events"
    os.mkfifo(pipe)
    arguments = ("replay", str(pipe), "--apply", "--reason", "down")
    env = environment(ENTITLEMENTS_REDIS_URL=store_url)
    with running(*arguments, home=tmp_path, env=env) as found:
        with pipe.open("w") as writer:
            writer.writelines(json.dumps(one) + "\n" for one in LIFE)
            until(lambda: "running" in command("--list", url=store_url).stdout, 20)
            os.kill(found.process.pid, signal.SIGINT)
        assert found.process.wait(20) == 1
        assert "It was stopped" in found.err
        assert "Go on with" in found.err
    (stopped,) = map(json.loads, command("--list", "--json", url=store_url).stdout.splitlines())
    assert stopped["status"] == "stopped"
    assert "read a pipe" in refusal(command("--resume", stopped["id"], url=store_url))
