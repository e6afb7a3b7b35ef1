"""The commands of people on call during a soak, and what each must come to."""

import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tests.bench.soak.findings import Findings
from tests.support.command import COMMAND, environment

PAUSE = 10.0
"""Seconds between two commands."""

PATIENCE = 600.0
"""Seconds for one."""

Said = Sequence[Mapping[str, Any]]
"""The objects that a command prints, one a line."""


class Duty(NamedTuple):
    """A command, and how to tell what is wrong with what it says."""

    line: Sequence[str]
    codes: frozenset[int]
    wrong: Callable[[Said], bool] = lambda _: False


REPLAY = ("replay", "--source", "log", "--apply", "--reason", "a soak", "--json")
RECONCILE = ("reconcile", "--json")
HEAL = (*RECONCILE, "--apply", "--reason", "a soak")

MEANWHILE = (
    Duty(REPLAY, frozenset({0, 1}), lambda said: not set(said[-1]["outcomes"]) <= {"duplicate"}),
    Duty(RECONCILE, frozenset({0, 1}), lambda said: bool(said[-1]["unreadable"])),
    Duty(("paused", "--json"), frozenset({0})),
)
"""While deliveries are on their way, events may be missing, and doubts stay. But nothing in the log is news."""


def at_the_end(events: int, subscriptions: int, untold: int) -> Sequence[Duty]:
    """Return the commands that find all in order: every event is held, and every subscription as it is at Stripe.

    Of so many the webhooks left something `untold`, which reading them heals, and of no more.
    """
    return (
        Duty(REPLAY, frozenset({0}), lambda said: said[-1]["outcomes"] != {"duplicate": events}),
        Duty(HEAL, frozenset({0}), lambda said: said[-1]["healed"] != untold),
        Duty(RECONCILE, frozenset({0}), lambda said: said[-1]["in_step"] != subscriptions),
    )


def do(duty: Duty, settings: Mapping[str, str], findings: Findings) -> None:
    """Run a command, and take note of what is wrong."""
    ended = subprocess.run(
        [*COMMAND, *duty.line],
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    findings.count(f"entitlements {duty.line[0]}")
    said = list(_objects(ended.stdout))
    if ended.returncode not in duty.codes or duty.wrong(said):
        told = f"{said[-1:]} {ended.stderr[-500:]}"
        findings.is_wrong(f"{' '.join(duty.line)} ended with {ended.returncode}: {told}")


def again(
    duties: Sequence[Duty], settings: Mapping[str, str], findings: Findings
) -> Callable[[threading.Event], None]:
    """Return work that does duties in turn, until it is told to stop."""

    def go_round(stop: threading.Event) -> None:
        while True:
            for duty in duties:
                if stop.wait(PAUSE):
                    return
                do(duty, settings, findings)

    return go_round


def _objects(out: str) -> Iterator[Mapping[str, Any]]:
    for line in out.splitlines():
        yield msgspec.json.decode(line)
