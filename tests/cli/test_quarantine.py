"""`entitlements quarantine` as its users run it: a process and a store."""

import asyncio
import csv
import io
import json
import subprocess
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from entitlements.ingest import Ingest
from entitlements.policy import BUILT_IN
from entitlements.store import audit, quarantine
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, subscription, update
from tests.support.command import refusal, run
from tests.support.customers import opened
from tests.support.histories import START
from tests.support.quarantined import OLD_WHY, leave

PLAIN = subscription()
BROKEN = event(PLAIN | {"items": None, "client_secret": "sub_secret_1"}, id="evt_odd")
UNPAID = update(PLAIN, PLAIN | {"status": "unpaid"})
Found = TypeVar("Found")


def within(url: str, do: Callable[[Store], Awaitable[Found]]) -> Found:
    """Do something in a store."""

    async def done() -> Found:
        async with opened(url) as store:
            return await do(store)

    return asyncio.run(done())


@pytest.fixture
def url(store_url: str) -> str:
    """Return a store with one customer, an event that this version understands, and one that it does not."""

    async def filled(store: Store) -> None:
        await Ingest(store, BUILT_IN).deliver(encoded(event(PLAIN)), START + 1)
        await leave(store, UNPAID)
        await leave(store, BROKEN, at=START + 20)

    within(store_url, filled)
    return store_url


def command(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the group against a store."""
    return run("quarantine", *arguments, ENTITLEMENTS_REDIS_URL=url)


def test_list_is_a_table_or_json(url: str) -> None:
    """The newest first."""
    table, lines = command("list", url=url), command("list", "--json", "--limit", "1", url=url)

    assert [line.split()[0] for line in table.stdout.splitlines()] == ["event", "evt_odd", "evt_2"]
    assert OLD_WHY in table.stdout
    assert table.stderr == "2 of 2 shown.\n"
    (found,) = map(json.loads, lines.stdout.splitlines())
    assert (found["event"], found["attempts"]) == ("evt_odd", 0)


def test_list_is_csv(url: str) -> None:
    """With a head, and every field."""
    found = command("list", "--csv", "--limit", "1", url=url)

    head, row = csv.reader(io.StringIO(found.stdout))
    assert head == ["event", "type", "received_ms", "why", "subject", "attempts"]
    assert row == [
        "evt_odd",
        "customer.subscription.created",
        str((START + 20) * 1000),
        OLD_WHY,
        "",
        "0",
    ]


def test_show_prints_the_body_without_its_secrets(url: str) -> None:
    """And what a retry would do; as JSON in one object."""
    found, line = command("show", "evt_odd", url=url), command("show", "evt_2", "--json", url=url)

    assert json.loads(found.stdout)["data"]["object"]["id"] == "sub_1"
    assert "sub_secret_1" not in found.stdout
    assert f"It waits because: {OLD_WHY}" in found.stderr
    said = json.loads(line.stdout)
    assert (said["entry"]["event"], said["retry"]["outcome"]) == ("evt_2", "applied")
    assert said["body"]["id"] == "evt_2"


def test_retry_alone_only_previews(url: str) -> None:
    """It names who would lose; whoever wants it done says so."""
    found = command("retry", "evt_2", url=url)

    assert found.returncode == 0, found.stderr
    assert found.stdout.split()[-6:] == ["evt_2", "applied", "cus_1", "sub_1", "loses", "pro"]
    assert "Nothing is written" in found.stderr
    assert within(url, quarantine.count) == 2


def test_retry_of_all_leaves_what_is_not_understood(url: str) -> None:
    """Each in its turn, oldest first; exit code 1 says that something stays."""
    found = command("retry", "--all", "--apply", "--actor", "ann", "--json", url=url)

    assert found.returncode == 1, found.stderr
    done = {line["event"]: line["outcome"] for line in map(json.loads, found.stdout.splitlines())}
    assert done == {"evt_2": "applied", "evt_odd": "quarantined"}
    assert [w.event for w in within(url, lambda store: quarantine.page(store, 9))] == ["evt_odd"]
    records = within(url, lambda store: audit.latest(store, 9))
    assert {(r.by, r.reason) for r in records} == {("ann", "tried again")}


def test_a_retry_of_the_wrong_mode_is_refused(url: str) -> None:
    """It stays, and no attempt is counted."""
    mode = {"ENTITLEMENTS_LIVEMODE": "true", "ENTITLEMENTS_REDIS_URL": url}
    found = run("quarantine", "retry", "evt_2", "--apply", **mode)

    assert found.returncode == 1
    assert "livemode" in found.stdout
    assert {w.attempts for w in within(url, lambda store: quarantine.page(store, 9))} == {0}


@pytest.mark.parametrize("arguments", [("evt_2", "--all"), ()])
def test_retry_takes_one_or_all(url: str, arguments: tuple[str, ...]) -> None:
    """Neither both, nor nothing."""
    assert "--all" in refusal(command("retry", *arguments, url=url))


def test_discard_says_what_and_does_it_on_confirmation(url: str) -> None:
    """With a reason, for the record."""
    asked = command("discard", "evt_odd", "--reason", "a test of ours", url=url)
    assert "evt_odd (customer.subscription.created) would be discarded" in asked.stdout
    assert within(url, quarantine.count) == 2

    done = command("discard", "evt_odd", "--reason", "a test of ours", "--apply", url=url)
    assert "evt_odd (customer.subscription.created) is discarded" in done.stdout
    assert within(url, quarantine.count) == 1
    (record,) = within(url, lambda store: audit.latest(store, 9))
    assert (record.action, record.reason) == ("quarantine.discard", "a test of ours")
    assert record.by


def test_an_event_that_does_not_wait_is_named(url: str) -> None:
    """Exit code 2, one sentence."""
    assert refusal(command("show", "evt_9", url=url)).startswith("evt_9 does not wait")


def test_a_reason_that_says_nothing_is_refused(url: str) -> None:
    """Blank is no reason, at the command line as over HTTP."""
    found = command("discard", "evt_odd", "--reason", " ", "--apply", url=url)
    assert "Every write says why" in refusal(found)
    assert within(url, quarantine.count) == 2
