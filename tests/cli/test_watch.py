"""`entitlements watch` as its users run it: a process beside a service, which prints changes as they come."""

import hashlib
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from httpx2 import Client

from entitlements.cli.event_stream import events
from entitlements.cli.times import instant
from entitlements.sandbox.peer import Peer, connect
from entitlements.sandbox.shapes import Body
from tests.support.bodies import SECRET, event, subscription
from tests.support.command import Running, environment, refusal, run, running, serving
from tests.support.service import READ, bearer


def settings(store_url: str) -> dict[str, str]:
    """Return the environment of a service on a store."""
    return environment(
        ENTITLEMENTS_REDIS_URL=store_url,
        ENTITLEMENTS_WEBHOOK_SECRETS=SECRET,
        ENTITLEMENTS_TOKENS=f"tests:read:{hashlib.sha256(READ.encode()).hexdigest()}",
        PORT="0",
    )


@pytest.fixture
def peer(store_url: str, tmp_path: Path) -> Iterator[Peer]:
    """Return a service that runs."""
    home = tmp_path / "service"
    home.mkdir()
    with running("serve", home=home, env=settings(store_url)) as service:
        yield serving(service, READ)


def now(peer: Peer) -> str:
    """Return the cursor of this moment."""
    with (
        Client(base_url=peer.url, trust_env=False) as http,
        http.stream("GET", "/v1/changes", headers=bearer(READ)) as answer,
    ):
        name = next(events(answer.iter_lines())).id
        assert name
        return name


@contextmanager
def watching(peer: Peer, home: Path, *arguments: str) -> Iterator[Running]:
    """Watch a service."""
    home.mkdir()
    shown = ("--url", peer.url, "--token", READ, *arguments)
    with running("watch", *shown, home=home, env=environment()) as watch:
        yield watch


def created(n: int) -> Body:
    """Return the event by which a customer subscribes, of this moment."""
    body = subscription(id=f"sub_{n}", customer=f"cus_{n}")
    return event(body, id=f"evt_{n}", created=int(time.time()))


def delivered(peer: Peer, *bodies: Body) -> None:
    """Let a service hear of events."""
    with connect(peer) as service:
        for body in bodies:
            assert service.deliver(body, int(time.time())).ok


def test_a_change_is_a_line(peer: Peer, tmp_path: Path) -> None:
    """With the event that caused it. From the cursor on that Ctrl-C names, what came since is told, and it alone."""
    first, begun = created(1), now(peer)
    with watching(peer, tmp_path / "first", "--since", begun) as watch:
        delivered(peer, first)
        watch.until("evt_1\n")
        assert watch.stop(signal.SIGINT) == 0
    when, _, told = watch.out.partition("  ")
    assert first["created"] <= instant(when, 0) <= time.time()
    assert told == "cus_1  pro  granted  active  x1  evt_1\n"
    assert watch.err.startswith("Go on from here with --since ")

    delivered(peer, created(2))
    with watching(peer, tmp_path / "next", *watch.err.split()[-2:]) as again:
        again.until("evt_2\n")
    assert "evt_1" not in again.out


def test_what_a_person_did_has_no_event(peer: Peer, store_url: str, tmp_path: Path) -> None:
    """And is not taken for the clock. Only what is asked for is shown, in JSON as the service sends it."""
    begun = now(peer)
    delivered(peer, created(1), created(2))
    denied = ("cus_2", "pro", "--access", "deny", "--reason", "a test", "--apply")
    assert run("override", "set", *denied, ENTITLEMENTS_REDIS_URL=store_url).returncode == 0

    asked = ("--since", begun, "--customer", "cus_2")
    with watching(peer, tmp_path / "lines", *asked) as watch:
        watch.until("no event\n")
    told = [line.split()[1:] for line in watch.out.splitlines()]
    assert told == [
        ["cus_2", "pro", "granted", "active", "x1", "evt_2"],
        ["cus_2", "pro", "denied", "override_deny", "x1", "no", "event"],
    ]
    with watching(peer, tmp_path / "json", *asked, "--json") as watch:
        watch.until('"event":null}\n')
    said = [json.loads(line) for line in watch.out.splitlines()]
    assert [(one["granted"], one["event"]) for one in said] == [(True, "evt_2"), (False, None)]


def test_it_ends_where_it_cannot_follow(peer: Peer, tmp_path: Path) -> None:
    """Without a token, with one that is not known, with nobody there: a sentence on what to do."""
    known = {"ENTITLEMENTS_URL": peer.url, "ENTITLEMENTS_TOKEN": "ent_unknown"}
    nobody = {"ENTITLEMENTS_URL": "http://127.0.0.1:1", "ENTITLEMENTS_TOKEN": READ}
    home = ("--data-dir", str(tmp_path))

    assert refusal(run("watch", *home)).startswith("No token to ask with.")
    assert refusal(run("watch", *home, **known)).startswith("The service refused (401): ")
    assert refusal(run("watch", *home, **nobody)).startswith("Cannot follow http://127.0.0.1:1 (")
