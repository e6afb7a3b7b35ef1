"""`entitlements override` as its users run it: a process and a store."""

import json
import subprocess
import time

import pytest

from entitlements.ingest import Ingest
from entitlements.policy import BUILT_IN
from entitlements.store import audit
from entitlements.store.store import Store
from tests.cli.test_quarantine import within
from tests.support.bodies import encoded, event, subscription
from tests.support.command import refusal, run

SINCE = int(time.time()) - 60
SAID = ("--reason", "a friend", "--actor", "ann")


@pytest.fixture
def url(store_url: str) -> str:
    """Return a store with one customer, of a minute ago: commands go by the clock of the machine."""

    async def filled(store: Store) -> None:
        await Ingest(store, BUILT_IN).deliver(encoded(event(subscription(), created=SINCE)), SINCE)

    within(store_url, filled)
    return store_url


def command(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the group against a store."""
    return run("override", *arguments, ENTITLEMENTS_REDIS_URL=url)


def test_set_alone_only_previews(url: str) -> None:
    """The answer before and after; nothing is written."""
    said = ("set", "cus_1", "pro", "--access", "deny", *SAID)
    found, line = command(*said, url=url), command(*said, "--json", url=url)

    assert found.returncode == 0, found.stderr
    _, before, after = (row.split() for row in found.stdout.splitlines())
    assert before == ["before", "pro", "yes", "active"]
    assert after == ["after", "pro", "no", "override_deny"]
    assert "Nothing is written" in found.stderr
    told = json.loads(line.stdout)
    assert (told["before"]["granted"], told["after"]["granted"], told["applied"]) == (
        True,
        False,
        False,
    )
    assert "0 of 0 hold" in command("show", "cus_1", url=url).stderr


def test_what_is_set_is_shown_listed_and_cleared(url: str) -> None:
    """Each with --apply; the history keeps it, and the audit says who."""
    ends = ("--expires-at", "+2d", "--apply")
    done = command("set", "cus_1", "pro", "--access", "grant", *SAID, *ends, url=url)
    assert (done.returncode, done.stderr) == (0, "")
    soon = command("list", "--expires-within", "7d", url=url)
    few = command("list", "--expires-within", "1h", "--json", url=url)
    lines = command("list", "--json", url=url)
    gone = command("clear", "cus_1", "pro", *SAID, "--apply", url=url)
    shown, told = command("show", "cus_1", url=url), command("show", "cus_1", "--json", url=url)

    assert soon.stdout.splitlines()[1].split()[1:] == [
        *("cus_1", "pro", "grant", "ann", "a", "friend")
    ]
    assert (soon.stderr, few.stdout) == ("1 shown.\n", "")
    assert json.loads(lines.stdout)["customer"] == "cus_1"
    assert [row.split()[3] for row in gone.stdout.splitlines()[1:]] == ["override_grant", "active"]
    assert [row.split()[1] for row in shown.stdout.splitlines()[1:]] == ["as", "grant"]
    assert [json.loads(row)["holds"] for row in told.stdout.splitlines()] == [False, False]
    deeds = within(url, lambda store: audit.latest(store, 9))
    assert {(d.by, d.reason) for d in deeds} == {("ann", "a friend")}
    assert sorted(d.action for d in deeds) == ["override.clear", "override.set"]


def test_what_cannot_be_is_one_sentence(url: str) -> None:
    """Exit code 2."""
    past = command("set", "cus_1", "pro", "--access", "deny", *SAID, "--expires-at", "-1h", url=url)
    assert "not in the future" in refusal(past)
    assert "No override holds" in refusal(command("clear", "cus_1", "pro", *SAID, url=url))
    assert "is no id" in refusal(command("show", "cus 1", url=url))
    assert "--expires-within" in refusal(command("list", "--expires-within", "soon", url=url))
