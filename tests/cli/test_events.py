"""`entitlements events` as its users run it: a process and a store."""

import asyncio
import csv
import io
import json
import subprocess
import time

import pytest

from entitlements.events import LogEntry
from entitlements.ingest import Ingest
from entitlements.policy import BUILT_IN
from entitlements.sandbox.shapes import Body
from tests.support.bodies import encoded, event, subscription, update
from tests.support.command import refusal, run
from tests.support.customers import next_instant, opened

PLAIN = subscription()


def bodies(now: int) -> list[Body]:
    """Return what came, as of a moment: the ids of the log hold the store's own clock."""
    secret = {"client_secret": "in_secret_1"}
    of_account = subscription(id="sub_3", customer="cus_3")
    return [
        event(PLAIN, created=now - 7_500),
        update(PLAIN, PLAIN | {"status": "unpaid"}, created=now - 41),
        event(secret, "invoice.paid", id="evt_invoice", created=now),
        event(PLAIN | {"items": None}, id="evt_odd", created=now),
        event(of_account, id="evt_3", account="acct_1", created=now - 1),
    ]


@pytest.fixture
def url(store_url: str) -> str:
    """Return a store that has taken in a few events."""

    async def filled() -> None:
        async with opened(store_url) as store:
            ingest = Ingest(store, BUILT_IN)
            now = int(time.time())
            for body in bodies(now):
                await ingest.deliver(encoded(body), now)
                await next_instant(store)

    asyncio.run(filled())
    return store_url


def command(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the group against a store."""
    return run("events", *arguments, ENTITLEMENTS_REDIS_URL=url)


def test_list_is_a_table(url: str) -> None:
    """The newest first, with how late each came; accounts before their customers."""
    found = command("list", url=url)

    lines = [line.split() for line in found.stdout.splitlines()]
    assert lines[0] == ["received", "delay", "event", "type", "outcome", "customer", "subscription"]
    assert [line[-1] for line in lines[1:]] == [
        *("sub_3", "quarantined", "ignored", "sub_1", "sub_1"),
    ]
    assert lines[1][-2] == "acct_1/cus_3"
    assert "  41 s  " in found.stdout
    assert "  2 h 5 min  " in found.stdout
    assert found.stderr == "5 shown.\n"


def test_list_filters_and_stops_at_a_limit(url: str) -> None:
    """By the same filters as over HTTP."""

    def listed(*arguments: str) -> list[str]:
        lines = command("list", "--json", *arguments, url=url).stdout.splitlines()
        return [json.loads(line)["id"] for line in lines]

    assert listed("--customer", "cus_1") == ["evt_2", "evt_1"]
    assert listed("--customer", "cus_3", "--account", "acct_1") == ["evt_3"]
    assert listed("--type", "invoice.*") == ["evt_invoice"]
    assert listed("--outcome", "applied", "--subscription", "sub_1") == ["evt_2", "evt_1"]
    assert listed("--since", "-1h", "--until", "+1h", "--limit", "2") == ["evt_3", "evt_odd"]
    assert listed("--until", "-1h") == []


def test_list_is_csv(url: str) -> None:
    """With a head, and every field."""
    found = command("list", "--csv", "--limit", "1", url=url)

    head, row = csv.reader(io.StringIO(found.stdout))
    assert head == list(LogEntry.__struct_fields__)
    said = dict(zip(head, row, strict=True))
    assert (said["id"], said["account"], said["delay"], said["why"]) == ("evt_3", "acct_1", "1", "")
    assert found.stderr == "1 shown. There may be more: --limit.\n"


def test_show_prints_the_body_without_its_secrets(url: str) -> None:
    """And what became of it; as JSON in one object."""
    found, odd = command("show", "evt_invoice", url=url), command("show", "evt_odd", url=url)
    line = command("show", "evt_2", "--customer", "cus_1", "--json", url=url)

    assert json.loads(found.stdout)["type"] == "invoice.paid"
    assert "in_secret_1" not in found.stdout
    assert found.stderr.endswith("Z, 0 s after it was made, and was ignored.\n")
    assert "Z, and was quarantined: " in odd.stderr
    said = json.loads(line.stdout)
    assert (said["entry"]["id"], said["entry"]["delay"]) == ("evt_2", 41)
    assert said["body"] == bodies(said["entry"]["created"] + 41)[1]


def test_what_cannot_be_is_refused(url: str) -> None:
    """In one sentence."""
    assert "is not in the log" in refusal(command("show", "evt_9", url=url))
    assert "It takes: applied" in refusal(command("list", "--outcome", "lost", url=url))
    assert "is not a time" in refusal(command("list", "--since", "soon", url=url))
