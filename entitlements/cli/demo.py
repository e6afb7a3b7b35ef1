"""`entitlements demo`: the story of a paused subscription, told to a service that is started for it.

Every answer is compared with what policy promises (sandbox/scenario.py). Exit code 1 where one differs.
"""

import json as codec
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from secrets import SystemRandom
from typing import Annotated, NamedTuple

import typer
from msgspec.structs import replace

from entitlements.cli.companion import passing_directory, running
from entitlements.cli.tables import granted, show, yes
from entitlements.cli.times import rfc3339
from entitlements.errors import EntitlementsError
from entitlements.policy import DAY
from entitlements.sandbox.event import events
from entitlements.sandbox.ids import random_ids
from entitlements.sandbox.peer import Peer, Question, Service, connect
from entitlements.sandbox.scenario import PAID_UNTIL, STORY, Answer, Asked, Cue, Step
from entitlements.sandbox.shapes import Body, Terms

CUSTOMER, PRODUCT = "cus_demo", "prod_demo"
DEV = (sys.executable, "-m", "entitlements", "dev")


class Row(NamedTuple):
    """One question of the story: what policy promises, and what was answered."""

    step: Step
    asked: Asked
    at: int
    expected: Body
    answer: Body

    @property
    def ok(self) -> bool:
        """Tell whether the answer is the promised one."""
        return self.expected.items() <= self.answer.items()


def demo(
    *, json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Tell the story of a paused subscription, and check every answer against the policy."""
    # as SIGINT already does: leave by the way that stops the service
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise typer.Exit(perform(DEV, json=json))


def perform(command: Sequence[str], *, json: bool) -> int:
    """Tell the story to a service of that command, and show its answers. Returns the exit code."""
    typer.echo("Starting a service of its own …", err=True)
    now = int(time.time())
    with passing_directory() as home, running(command, home) as peer:
        rows = list(tell(peer, now))
    (_print_json if json else _print_table)(rows)
    return 0 if all(row.ok for row in rows) else 1


def tell(peer: Peer, now: int) -> Iterator[Row]:
    """Tell the story so that it ends at `now` (Unix seconds); yield every question with its answer.

    Raises EntitlementsError where the service cannot be reached or refuses an event.
    """
    terms = Terms(CUSTOMER, PRODUCT, "price_demo", period_end=now + PAID_UNTIL)
    cue = Cue({}, terms, now, now, random_ids(SystemRandom()))
    with connect(peer) as service:
        for step in STORY:
            typer.echo(f"{_day(step)}  {step.title}", err=True)
            cue = _played(service, step, replace(cue, at=now + step.at))
            yield from (_asked(service, step, asked, now) for asked in step.asked)


def _played(service: Service, step: Step, cue: Cue) -> Cue:
    """Let a step happen, and return what the next one starts from."""
    if step.happens is None:
        return cue
    change = step.happens(cue)
    for event in events(change, cue.at, cue.ids):
        reply = service.deliver(event, cue.now)
        if not reply.ok:
            raise EntitlementsError(
                f"The service refused {event['type']} ({reply.status}): {reply.why}"
            )
    return replace(cue, subscription=change.after)


def _asked(service: Service, step: Step, asked: Asked, now: int) -> Row:
    at = now + asked.at
    answer = service.ask(Question(CUSTOMER, PRODUCT, at)).body
    return Row(step, asked, at, _promised(asked.expected, now), answer)


def _promised(expected: Answer, now: int) -> Body:
    """Return the promise as the service would say it."""
    then = expected.then
    return {
        "granted": expected.granted,
        "reason": expected.reason,
        "until": None if expected.until is None else now + expected.until,
        "then": then and {"granted": then.granted, "reason": then.reason},
    }


def _print_json(rows: Sequence[Row]) -> None:
    steps = [
        {
            "step": row.step.title,
            "question": row.asked.question,
            "at": row.at,
            "expected": row.expected,
            "answer": row.answer,
            "ok": row.ok,
        }
        for row in rows
    ]
    typer.echo(codec.dumps({"ok": all(row.ok for row in rows), "steps": steps}, indent=2))


def _print_table(rows: Sequence[Row]) -> None:
    columns = ("step", "question", "expected by policy", "answer", "until", "ok")
    show(columns, [_cells(row) for row in rows])
    wrong = sum(not row.ok for row in rows)
    typer.echo(f"{len(rows) - wrong} of {len(rows)} answers are what the policy says.", err=True)


def _cells(row: Row) -> tuple[str, ...]:
    first = row.asked is row.step.asked[0]
    said = row.answer if "granted" in row.answer else None
    return (
        f"{_day(row.step)}  {row.step.title}" if first else "",
        row.asked.question,
        granted(row.expected),
        granted(said) or str(row.answer.get("detail")),
        rfc3339(row.answer.get("until")),
        yes(row.ok)
        if row.ok
        else f"no: until {rfc3339(row.expected['until']) or 'further notice'}",
    )


def _day(step: Step) -> str:
    return f"day {step.at // DAY:>3}"
