"""What every command of `entitlements trigger` does: post the events of a change, ask, and show both."""

import json
import time
from collections.abc import Callable
from typing import NamedTuple

import typer

from entitlements.cli.tables import show_answer
from entitlements.cli.trigger_options import Options, peer, stage
from entitlements.errors import BadRequest
from entitlements.sandbox import memory
from entitlements.sandbox.event import Endpoint, events
from entitlements.sandbox.memory import Held
from entitlements.sandbox.peer import Question, Reply, Service, connect
from entitlements.sandbox.shapes import Body
from entitlements.sandbox.stage import Stage
from entitlements.sandbox.subscription import Change


class Sent(NamedTuple):
    """One event, and what the service said to it."""

    event: Body
    reply: Reply


def run(options: Options, happens: Callable[[Stage], Change]) -> int:
    """Tell the service of a change, and show its answers. Returns the exit code.

    Raises EntitlementsError where nothing can be told: no secret, nobody there, nothing changed.
    """
    clock = int(time.time())
    to, scene = peer(options), stage(options, clock)
    change = happens(scene)
    with connect(to) as service:
        sent = deliver(service, scene, change, options.api_version, clock)
        if all(reply.ok for _, reply in sent):
            memory.save(options.data_dir, Held(change.after, scene.account))
        answer = service.ask(question(options, scene, change, clock)) if to.token else None
    _talk(scene, change, answer)
    _print(options, change, sent, answer)
    replies = [reply for _, reply in sent] + ([answer] if answer else [])
    return 0 if all(reply.ok for reply in replies) else 1


def deliver(
    service: Service, scene: Stage, change: Change, api_version: str, clock: int
) -> list[Sent]:
    """Post the events of a change, signed at `clock` (Unix seconds). Raises BadRequest where there are none."""
    made = events(change, scene.now, scene.ids, Endpoint(api_version, scene.account))
    if not made:
        raise BadRequest(
            f"{change.after['id']} is like that already: Stripe sends no event where nothing changes."
        )
    return [Sent(event, service.deliver(event, clock)) for event in made]


def question(options: Options, scene: Stage, change: Change, clock: int) -> Question:
    """Return what is asked afterwards: of now, or of the change's own time where that is yet to come."""
    product = change.after["items"]["data"][0]["price"]["product"]
    at = scene.now if scene.now > clock else None
    return Question(change.after["customer"], options.feature or product, at, scene.account)


def _talk(scene: Stage, change: Change, answer: Reply | None) -> None:
    notes = [*scene.notes, f"{change.after['id']} of customer {change.after['customer']}"]
    if answer is None:
        notes.append("No token, so nothing was asked: give --token or ENTITLEMENTS_TOKEN.")
    elif not answer.ok:
        notes.append(f"The question was refused: {answer.status} {answer.why}")
    typer.echo("\n".join(notes), err=True)


def _print(options: Options, change: Change, sent: list[Sent], answer: Reply | None) -> None:
    told = [_told(one) for one in sent]
    entitlement = answer.body if answer and answer.ok else None
    if options.json:
        names = {"subscription": change.after["id"], "customer": change.after["customer"]}
        typer.echo(json.dumps(names | {"events": told, "answer": entitlement}, indent=2))
        return
    for one in told:
        typer.echo(_line(**one))
    if entitlement:
        show_answer(entitlement)


def _line(version: int | None, detail: str | None, **first: object) -> str:
    last = detail if version is None else f"version {version}"
    return "  ".join(map(str, [*first.values(), *([last] if last else [])]))


def _told(sent: Sent) -> Body:
    event, reply = sent
    said = reply.body.get("outcome") if reply.ok else "refused"
    return {
        "type": event["type"],
        "event": event["id"],
        "status": reply.status,
        "outcome": said,
        "version": reply.body.get("version"),
        "detail": None if reply.ok else reply.why,
    }
