"""The drill: the service misses an hour, and people on call make it good. Real processes; Stripe is the sandbox."""

import csv
import io
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from entitlements.instants import rfc3339
from entitlements.sandbox.peer import Peer, Question, connect
from entitlements.sandbox.shapes import Body
from entitlements.sandbox.world import Sandbox
from entitlements.store.embedded import EmbeddedStore
from tests.bench.soak.judge import Probe, mistakes
from tests.simulation.life import PRODUCT
from tests.simulation.truth import granted, instants
from tests.support.busy import HOUR, MINUTE, Company, company, of_kind
from tests.support.command import run
from tests.support.deployed import Deployed

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

RETRIES = [5 * MINUTE, 15 * MINUTE]
"""Stripe tries three times here, so it gives up on what happens in the first forty minutes of the hour."""

BACK = 20 * MINUTE
"""Time in which the last retries are made, with the service up again."""

EACH = 2
"""Customers of each kind."""

WHY = ("--reason", "the service was down for an hour", "--actor", "ann")


class Drill:
    """The service of a company, and what people run beside it."""

    def __init__(self, firm: Company, service: Deployed) -> None:
        self.firm = firm
        self._settings = service.settings
        self.up = service.up

    def command(self, *words: str, code: int) -> CompletedProcess[str]:
        """Run a command, which ends with a code."""
        done = run(*words, **self._settings)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def doctor(self, code: int) -> dict[str, tuple[str, str]]:
        """Return the level of each check and what is said of it."""
        said = map(json.loads, self.command("doctor", "--json", code=code).stdout.splitlines())
        return {one["check"]: (one["level"], one["detail"]) for one in said}

    def runs(self) -> list[dict[str, Any]]:
        """Return the replays that are on record, the latest first."""
        listed = self.command("replay", "--list", "--json", code=0).stdout
        return [json.loads(line) for line in listed.splitlines()]

    def wrong(self, peer: Peer) -> set[str]:
        """Return the customers of whom something is answered that is not true.

        Of what no event tells, nobody can know when it was: for those customers only the present and the future count.
        """
        return {said.partition(" ")[0] for said in mistakes(peer, list(self._probes()))}

    def allowed(self, peer: Peer) -> dict[str, bool]:
        """Return whether each customer may use the product now, as the service answers."""
        with connect(peer) as service:
            return {
                name: service.ask(Question(name, PRODUCT)).body["granted"]
                for name in self.firm.customers
            }

    def _probes(self) -> Iterator[Probe]:
        now = int(time.time())
        for customer, history in self.firm.histories().items():
            for at in (now, *instants(history)):
                if at >= now or customer not in self.firm.untold:
                    yield Probe(customer, PRODUCT, at, granted(history, at))


@pytest.fixture
def drill(own_store: EmbeddedStore, tmp_path: Path) -> Iterator[Drill]:
    """Give one at whose Stripe it is three hours ago."""
    with company(Sandbox(ahead=-3 * HOUR, seed=1), EACH) as (firm, api):
        firm.ask("POST", "/_sandbox/retries", **{"waits[]": RETRIES})
        yield Drill(firm, Deployed(firm, api, own_store.url, tmp_path))


def rows(done: CompletedProcess[str]) -> list[Mapping[str, str]]:
    """Return what a command printed as CSV."""
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_an_hour_that_was_missed_is_made_good(drill: Drill) -> None:
    """Doctor says what is lost; replay heals what Stripe gave up on, and reconcile what it never told of."""
    firm, hour = drill.firm, int(time.time()) - 2 * HOUR
    with drill.up() as peer:
        firm.opens(hour)
        assert drill.wrong(peer) == set()
        found = drill.doctor(code=1)
        assert [name for name, (level, _) in found.items() if level != "OK"] == ["stripe.clock"]

    firm.lives(hour)  # and nobody listens

    with drill.up() as peer:
        for later in range(0, BACK, 5 * MINUTE):
            firm.advance(hour + HOUR + later)
        firm.advance(int(time.time()))
        lost = firm.events(delivery_success="false")
        assert 0 < len(lost) < sum(event["created"] >= hour for event in firm.events())
        doctor_says_so(drill, lost)
        replay_heals(drill, peer, lost)
        assert drill.wrong(peer) == firm.untold
        reconcile_heals(drill)
        assert drill.wrong(peer) == set()
        assert {level for level, _ in drill.doctor(code=0).values()} == {"OK"}
        explain_tells_the_story(drill, lost)


def doctor_says_so(drill: Drill, lost: list[Body]) -> None:
    """Hear how many events are lost, and that answers differ."""
    found = drill.doctor(code=1)
    wrong = {name: said for name, (level, said) in found.items() if level != "OK"}
    assert list(wrong) == ["stripe.undelivered", "drift"]
    first = (
        f"{len(lost)} events of the last day were not delivered and are not held, {lost[0]['id']}"
    )
    assert wrong["stripe.undelivered"].startswith(first)


def replay_heals(drill: Drill, peer: Peer, lost: list[Body]) -> None:
    """See what a replay would do, have it do that, and have it do nothing the second time."""
    wrong, before = drill.wrong(peer), drill.allowed(peer)
    assert wrong - drill.firm.untold
    replay = ("replay", "--source", "stripe", "--undelivered", "--csv")
    preview = drill.command(*replay, code=0)
    assert drill.wrong(peer) == wrong, "nothing is written"
    (name,) = re.findall(r"^(rp_\w+):", preview.stderr, re.MULTILINE)
    applied = drill.command("replay", "--resume", name, "--apply", "--csv", *WHY, code=0)
    assert rows(applied) == rows(preview)
    done, shown = drill.runs()
    assert (shown["events"], "duplicate" in shown["outcomes"]) == (len(lost), False)
    counts = ("events", "outcomes", "customers", "concerned", "features", "ambiguous", "unreadable")
    assert [done[name] for name in counts] == [shown[name] for name in counts]
    assert (done["by"], done["status"]) == ("ann", "done")
    told = {row["customer"]: row["kind"] for row in rows(preview)}
    assert drill.allowed(peer) == before | {
        customer: kind == "gains" for customer, kind in told.items() if kind in {"gains", "loses"}
    }

    again = drill.command(*replay, "--apply", *WHY, code=0)
    assert rows(again) == []
    assert re.findall(r"^(\w+) +(\d+) *$", again.stderr, re.MULTILINE) == [
        ("duplicate", str(len(lost)))
    ]


def reconcile_heals(drill: Drill) -> None:
    """Find what no event tells of, and nothing else; heal it, and find nothing the second time."""
    preview = drill.command("reconcile", "--csv", code=1)
    causes = {row["customer"]: row["cause"] for row in rows(preview)}
    assert causes == {
        name: "missing_here" if of_kind(name) == "never_told_new" else "stale_here"
        for name in drill.firm.untold
    }
    healed = drill.command("reconcile", "--csv", "--apply", *WHY, code=0)
    assert rows(healed) == rows(preview)
    assert rows(drill.command("reconcile", "--csv", "--apply", *WHY, code=0)) == []


def explain_tells_the_story(drill: Drill, lost: list[Body]) -> None:
    """Of a pause that was replayed after what followed it had come, and of one of which no event tells."""
    gone = {event["id"] for event in lost}
    stories = ([e for e in drill.firm.events() if of(e) == f"cus_void_{n}"] for n in range(EACH))
    created, paused, noted = next(s for s in stories if gone & {e["id"] for e in s} == {s[1]["id"]})
    told = drill.command("explain", of(created), code=0).stdout
    assert f"collection paused with void since {rfc3339(paused['created'])}" in told
    assert f"arrived in place 3, after {noted['id']}, which comes later" in told
    assert [told.index(event["id"] + ":") for event in (created, paused, noted)] == sorted(
        told.index(event["id"] + ":") for event in (created, paused, noted)
    )

    untold = drill.command("explain", "cus_never_told_void_0", code=0).stdout
    assert "pause_start_assumed: no event tells when the pause began" in untold
    assert re.search(r"^ +3 .* applied +read$", untold, re.MULTILINE)


def of(event: Body) -> str:
    """Return the customer whom an event is about."""
    return str(event["data"]["object"]["customer"])
