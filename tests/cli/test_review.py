"""`entitlements review` as its users run it: a process and a store."""

import json
import subprocess
import time

import pytest

from entitlements.ingest import Ingest
from entitlements.policy_file import parse
from entitlements.store import audit
from entitlements.store.store import Store
from tests.cli.test_quarantine import within
from tests.support.bodies import encoded, event, pausing, subscription
from tests.support.command import refusal, run

SINCE = int(time.time()) - 60
SAID = ("--reason", "on leave", "--actor", "ann")
POLICY = parse('pause_collection.void = { access = "review", while_pending = "revoke" }')


@pytest.fixture
def url(store_url: str) -> str:
    """Return a store with one customer, whose pause waits for a person."""

    async def filled(store: Store) -> None:
        await store.enforce(POLICY)
        body = encoded(event(subscription(**pausing("void")), created=SINCE))
        await Ingest(store, POLICY).deliver(body, SINCE)

    within(store_url, filled)
    return store_url


def command(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the group against a store."""
    return run("review", *arguments, ENTITLEMENTS_REDIS_URL=url)


def test_what_waits_is_previewed_decided_and_undone(url: str) -> None:
    """Nothing is written without --apply."""
    waits = command("list", url=url)
    asked = command("decide", "sub_1", "--decision", "grant", *SAID, url=url)
    done = command("decide", "sub_1", "--decision", "grant", *SAID, "--apply", "--json", url=url)
    decided = command("list", "--decided", "--json", url=url)
    gone = command("undo", "sub_1", *SAID, "--apply", url=url)

    row = waits.stdout.splitlines()[1].split()
    assert [*row[:2], *row[3:]] == ["sub_1", "cus_1", "pause_collection.void", "pro", "no"]
    assert asked.stdout.splitlines()[1].split()[:6] == [
        *("cus_1", "pro", "no", "review_pending", "yes", "review_grant")
    ]
    assert "Nothing is written" in asked.stderr
    assert json.loads(done.stdout)["after"]["reason"] == "review_grant"
    assert json.loads(decided.stdout)["decided"]["access"] == "grant"
    assert gone.stdout.splitlines()[1].split()[5] == "review_pending"
    deeds = within(url, lambda store: audit.latest(store, 9))
    assert sorted(d.action for d in deeds) == ["review.decide", "review.undo"]
    assert {d.by for d in deeds} == {"ann"}


def test_what_cannot_be_is_one_sentence(url: str) -> None:
    """Exit code 2."""
    unknown = command("decide", "sub_9", "--decision", "grant", *SAID, url=url)
    assert "not among the reviews" in refusal(unknown)
    assert "Nothing is decided" in refusal(command("undo", "sub_1", *SAID, url=url))
