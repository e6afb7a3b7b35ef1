"""`entitlements serve` as a process: what it refuses to start with, what it says, and how it stops."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from entitlements.sandbox.peer import Question, connect
from entitlements.store.embedded import EmbeddedStore, running_url
from tests.support.bodies import SECRET, event, subscription
from tests.support.command import PATIENCE, environment, refusal, run, running, serving, store_pid
from tests.support.servers import client
from tests.support.service import READ

SETTINGS = {"ENTITLEMENTS_WEBHOOK_SECRETS": SECRET, "PORT": "0"}


def settings(home: Path, **given: str) -> dict[str, str]:
    """Return the environment of a service that keeps its data in a directory."""
    return environment(**SETTINGS, ENTITLEMENTS_DATA_DIR=str(home / "data"), **given)


def test_without_a_secret_nothing_starts(tmp_path: Path) -> None:
    """Webhooks that nobody could verify are refused at the start, before a store is touched."""
    said = refusal(run("serve", ENTITLEMENTS_DATA_DIR=str(tmp_path / "data")))

    assert said.startswith("ENTITLEMENTS_WEBHOOK_SECRETS is not set")
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    """The sentence names the settings, and the store that was started for nothing is stopped again."""
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refusal(
            run("serve", **SETTINGS | {"PORT": port, "ENTITLEMENTS_DATA_DIR": str(data)})
        )

    assert said.startswith(f"Cannot listen on HOST 127.0.0.1 and PORT {port} (")
    assert data.exists()
    assert running_url(data) is None


def test_a_store_that_would_lose_events_is_refused(own_store: EmbeddedStore) -> None:
    """A Redis that acknowledges before the write is on disk is named with its remedy."""
    with client(own_store.url) as store:
        store.config_set("appendfsync", "everysec")
    said = refusal(run("serve", **SETTINGS, ENTITLEMENTS_REDIS_URL=own_store.url))

    assert "appendfsync is everysec and must be always" in said


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Where nothing answers, the start stops soon, and says what could not be reached."""
    began = time.monotonic()
    nowhere = f"unix://{tmp_path}/nowhere.sock"
    said = refusal(run("serve", **SETTINGS, ENTITLEMENTS_REDIS_URL=nowhere))

    assert said.startswith("The store did not do its work (")
    assert time.monotonic() - began < 10


def test_it_serves_and_stops(tmp_path: Path) -> None:
    """One start: an event in, an answer out, a log of JSON lines without secrets, and a clean stop on SIGTERM."""
    with running("serve", home=tmp_path, env=settings(tmp_path)) as service:
        with connect(serving(service, READ)) as http:
            now = int(time.time())
            taken = http.deliver(event(subscription()), now)
            asked = http.ask(Question("cus_1", "pro"))
            ready = http.is_ready()
        stopped = service.stop()

    assert (taken.status, taken.body["outcome"], ready) == (200, "applied", True)
    assert asked.status == 401  # no tokens are set
    (line,) = service.lines("webhook")
    assert (line["outcome"], line["customer"]) == ("applied", "cus_1")
    assert SECRET not in service.err
    assert (service.out, stopped) == ("", 0)
    assert "Traceback" not in service.err
    assert running_url(tmp_path / "data") is None


def test_without_webhooks_no_secret_is_needed(tmp_path: Path) -> None:
    """A process that serves queries alone starts without one, on a store that others write to."""
    env = environment(
        PORT="0", ENTITLEMENTS_SURFACES="queries", ENTITLEMENTS_DATA_DIR=str(tmp_path / "data")
    )
    with running("serve", home=tmp_path, env=env) as service, connect(serving(service)) as http:
        now = int(time.time())
        assert http.deliver(event(subscription()), now).status == 404
        assert http.ask(Question("cus_1", "pro")).status == 401


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_stops_it(tmp_path: Path, store_url: str, number: signal.Signals) -> None:
    """Ctrl-C is as good as SIGTERM, and a store that is not its own goes on."""
    env = environment(**SETTINGS, ENTITLEMENTS_REDIS_URL=store_url)
    with running("serve", home=tmp_path, env=env) as service:
        serving(service)
        assert service.stop(number) == 0
    with client(store_url) as store:
        assert store.ping()


def test_a_store_that_ends_by_itself_ends_the_service(tmp_path: Path) -> None:
    """A service without its embedded store could only refuse: it ends, so that a supervisor starts both again."""
    with running("serve", home=tmp_path, env=settings(tmp_path)) as service:
        serving(service)
        os.kill(store_pid(tmp_path / "data"), signal.SIGKILL)

        assert service.process.wait(PATIENCE) == 2
        assert "The embedded store ended by itself" in service.err
