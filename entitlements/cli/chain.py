"""An explanation as text, for people: one screen, from the answer back to the deliveries."""

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

import typer

from entitlements.cli.timeline import draw
from entitlements.cli.times import span
from entitlements.instants import rfc3339
from entitlements.model import Subject
from entitlements.reasons import RULES

if TYPE_CHECKING:
    from entitlements.explained import (
        ExplainedAnswer,
        ExplainedEvent,
        ExplainedSubscription,
        Explanation,
    )

EVENTS = 20
"""Events of one subscription that are told, the latest; JSON has all."""

IN, FURTHER = "  ", "     "


def lines(found: "Explanation", width: int) -> Iterator[str]:
    """Yield the lines of an explanation, none of them longer than the width but for ids."""
    whose = Subject(found.customer, found.account)
    known = "" if found.known_at is None else f", as known at {rfc3339(found.known_at)}"
    yield from _wrapped(f"{whose} at {rfc3339(found.at)}{known}", width)
    for note in (*([found.refused] if found.refused else []), *found.notes):
        yield from _wrapped(note, width)
    for answer in found.answers:
        yield ""
        yield from _answer(answer, found.at, width)
    for subscription in found.subscriptions:
        yield ""
        yield from _subscription(subscription, width)
    yield from _people(found, width)
    if found.policy:
        yield ""
        yield f"policy {found.policy}"


def _answer(answer: "ExplainedAnswer", at: int, width: int) -> Iterator[str]:
    entitlement = answer.entitlement
    color = "green" if entitlement.granted else "red"
    yield typer.style(answer.feature, fg=color, bold=True)
    yield from _wrapped(answer.says, width, IN)
    if entitlement.rule is not None:
        rule = f"rule {entitlement.rule}: {RULES[entitlement.rule]}"
        yield from _wrapped(rule, width, IN)
    if answer.override is not None:
        expires = answer.override.expires_at
        until = "" if expires is None else f" until {rfc3339(expires)}"
        said = f"override: {answer.override.access}{until}, because {answer.override.reason}"
        yield from _wrapped(said, width, IN)
    if answer.timeline:
        yield from (f"{IN}{line}" for line in draw(answer.timeline, at, width - len(IN)))
    several = len({stretch.subscription for stretch in answer.timeline} - {None}) > 1
    for stretch in answer.timeline:
        until = "for good" if stretch.until is None else rfc3339(stretch.until)
        word = "granted" if stretch.granted else "denied"
        here = stretch.start <= at and (stretch.until is None or at < stretch.until)
        yield f"{'> ' if here else IN}{rfc3339(stretch.start)}  {until:<20}  {word:<7}  {stretch.reason}"
        if several and stretch.subscription:
            yield f"{IN}{'':20}  by {stretch.subscription}"


def _subscription(one: "ExplainedSubscription", width: int) -> Iterator[str]:
    yield typer.style(one.id, bold=True)
    yield from _wrapped(
        f"{one.status} since {rfc3339(one.since)}" if one.pause is None else one.status, width, IN
    )
    if one.pause is not None:
        yield from _wrapped(_pause(one), width, IN)
    if one.kept_from is not None:
        kept = f"What led to its state at {rfc3339(one.kept_from)} is older than what is kept (log_retention)."
        yield from _wrapped(kept, width, IN)
    if one.review is not None:
        said = f"review: {one.review.access}, because {one.review.reason}"
        yield from _wrapped(said, width, IN)
    for flag in one.flags:
        yield from _wrapped(f"{flag.flag}: {flag.says}", width, IN)
    if one.doubt is not None:
        yield from _wrapped(one.doubt.says, width, IN)
    if len(one.events) > EVENTS:
        yield f"{IN}{len(one.events) - EVENTS} earlier events: --json has all"
    for event in one.events[-EVENTS:]:
        yield from _event(event, width)


def _pause(one: "ExplainedSubscription") -> str:
    assert one.pause is not None
    until = "it is unset" if one.pause.resumes_at is None else rfc3339(one.pause.resumes_at)
    paid = max(one.pause.paid_until.values(), default=None)
    served = "" if paid is None else f"; what was paid when it began lasts until {rfc3339(paid)}"
    return f"collection paused with {one.pause.behavior} since {rfc3339(one.pause.since)}, until {until}{served}"


def _event(event: "ExplainedEvent", width: int) -> Iterator[str]:
    kind = event.type.rpartition(".")[2]
    delay = span(event.delay) if event.delay < 0 else f"+{span(event.delay)}"
    yield f"{event.place:>3}  {rfc3339(event.created)}  {delay:<12}  {event.outcome:<11}  {kind}"
    yield from _wrapped(f"{event.event}: {event.says}", width, FURTHER)
    if event.overtaken_by:
        late = f"arrived in place {event.arrived}, after {event.overtaken_by}, which comes later"
        yield from _wrapped(late, width, FURTHER)
    if event.gap:
        gap = "it changed another state than the event before it left: one between them may be missing"
        yield from _wrapped(gap, width, FURTHER)


def _people(found: "Explanation", width: int) -> Iterator[str]:
    waiting = (
        f"{q.event} ({q.type}) came at {rfc3339(q.received_at)}: {q.why}" for q in found.quarantined
    )
    yield from _section("in the quarantine, naming this customer", waiting, width)
    deeds = (
        f"{rfc3339(d.at)}  {d.by}: {d.action}{d.outcome and ' ' + d.outcome}, because {d.reason}"
        for d in found.done
    )
    yield from _section("done by people", deeds, width)


def _section(head: str, rows: Iterable[str], width: int) -> Iterator[str]:
    told = list(rows)
    if told:
        yield ""
        yield head
    for row in told:
        yield from _wrapped(row, width, IN)


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return text in lines; what goes on is set further in. Ids are never cut."""
    return wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + IN,
        break_long_words=False,
        break_on_hyphens=False,
    )
