"""AuthZEN's evaluations: one question, or several that share what they do not say themselves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements import metrics
from entitlements.errors import BadRequest, BeyondRetention, StoreUnavailable
from entitlements.http.asking import Found, one_record, records
from entitlements.http.authzen.decision import (
    Decision,
    Decisions,
    Failed,
    Grounds,
    decided,
    denied,
    failed,
)
from entitlements.http.authzen.words import (
    Evaluation,
    Evaluations,
    Part,
    call,
    decoded,
    foreign,
    read,
)
from entitlements.http.endpoint import either, routed
from entitlements.http.queries import MAX_CHECKS, UNREADABLE
from entitlements.http.state import State
from entitlements.wire import id_of


class Check(Struct, frozen=True):
    """A question that can be asked of what is held: customer, feature, and an instant or null for the present."""

    customer: str
    feature: str
    at: int | None


_evaluation = msgspec.json.Decoder(Evaluation)
_evaluations = msgspec.json.Decoder(Evaluations)
_part = msgspec.json.Decoder(Part)
_encode = msgspec.json.Encoder().encode

_STOPS: Mapping[str | None, bool] = {"deny_on_first_deny": False, "permit_on_first_permit": True}
"""The first decision after which nothing more is wanted."""


async def evaluation(request: Request[State]) -> Response:
    """Answer one question."""
    asked, _ = await read(request, _evaluation)
    return await _one(request, asked)


async def evaluations(request: Request[State]) -> Response:
    """Answer several questions in their order, or up to the first denial or permit; without any, the one."""
    batch, raw = await read(request, _evaluations, several=True)
    if not batch.evaluations:
        return await _one(request, decoded(raw, _evaluation))
    if len(batch.evaluations) > MAX_CHECKS:
        raise BadRequest(
            f"{len(batch.evaluations)} evaluations are more than {MAX_CHECKS}. Send them in several requests."
        )
    found = await _decisions(request, [_tried(part, batch) for part in batch.evaluations])
    stop = _STOPS.get(batch.options.evaluations_semantic if batch.options else None)
    said = list(_up_to(found, stop=stop))
    metrics.answered("authzen_evaluations", len(said))
    return Response(_encode(Decisions(said)), media_type="application/json")


async def _one(request: Request[State], asked: Evaluation) -> Response:
    question = _question(asked)
    if isinstance(question, Check):
        record, at = await one_record(request, question.customer, question.at)
        question = decided(question.feature, record, at)
    metrics.answered("authzen_evaluation")
    return Response(_encode(question), media_type="application/json")


def _tried(raw: Raw, batch: Evaluations) -> Check | Decision:
    """Return one question of several. One that cannot be read has its decision: no, with what is wrong with it."""
    try:
        return _question(_completed(raw, batch))
    except BadRequest as error:
        return failed(error)


def _completed(raw: Raw, batch: Evaluations) -> Evaluation:
    """Return a question with whatever it leaves out taken, whole, from what all share."""
    try:
        part = _part.decode(raw)
    except UNREADABLE as error:
        raise BadRequest(f"{error}. An evaluation is an object.") from error
    subject, action = part.subject or batch.subject, part.action or batch.action
    resource = part.resource or batch.resource
    if subject is None or action is None or resource is None:
        raise BadRequest(
            "An evaluation needs a subject, an action and a resource: its own, or the request's for all."
        )
    return Evaluation(subject, action, resource, part.context or batch.context)


def _question(asked: Evaluation) -> Check | Decision:
    """Return what to look up, or the decision about what is foreign here."""
    if found := foreign(asked.subject.type, asked.action.name, asked.resource.type):
        return denied(*found)
    customer = id_of(asked.subject.id, "subject.id")
    feature = id_of(asked.resource.id, "resource.id")
    return Check(customer, feature, asked.context.at if asked.context else None)


async def _decisions(request: Request[State], asked: Sequence[Check | Decision]) -> list[Decision]:
    """Return the decisions, those that are made already in their places."""
    checks = [(c.customer, c.at) for c in asked if isinstance(c, Check)]
    found = iter(await records(request, checks))
    return [_answered(c.feature, next(found)) if isinstance(c, Check) else c for c in asked]


def _answered(feature: str, found: Found) -> Decision:
    return failed(found) if isinstance(found, BeyondRetention) else decided(feature, *found)


def _up_to(found: Iterable[Decision], *, stop: bool | None) -> Iterator[Decision]:
    for one in found:
        yield one
        if one.decision is stop:
            return


_WHOLE = ("subject", "action", "resource")
_SEVERAL = Annotated[
    Evaluations,
    Meta(
        extra_json_schema={
            "anyOf": [
                {
                    "required": ["evaluations"],
                    "properties": {"evaluations": {"type": "array", "minItems": 1}},
                },
                {
                    "required": list(_WHOLE),
                    "properties": {name: {"type": "object"} for name in _WHOLE},
                },
            ]
        }
    ),
]
_EXAMPLE = {
    "subject": {"type": "customer", "id": "cus_demo"},
    "action": {"name": "use"},
    "resource": {"type": "feature", "id": "pro"},
}

routes = routed(
    "AuthZEN",
    call(
        "evaluation",
        evaluation,
        Evaluation,
        _EXAMPLE,
        Decision,
        BeyondRetention,
        StoreUnavailable,
        parts=(Grounds, Failed),
    ),
    call(
        "evaluations",
        evaluations,
        _SEVERAL,
        {**_EXAMPLE, "evaluations": [{}, {"resource": {"type": "feature", "id": "seats"}}]},
        Annotated[object, either(Decisions, Decision)],
        StoreUnavailable,
        parts=(Part, Decisions, Decision, Grounds, Failed),
    ),
)
