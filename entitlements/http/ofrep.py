"""OpenFeature's door to the answers: a feature is a flag, the targeting key is the customer, the value is the answer.

https://github.com/open-feature/protocol/blob/main/service/openapi.yaml (0.3.0). A flag is asked about at present.
"""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements import metrics
from entitlements.errors import BadRequest, BeyondRetention, StoreUnavailable
from entitlements.http import body
from entitlements.http.asking import one_record
from entitlements.http.auth import Handler
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.nesting import shallow
from entitlements.http.parameters import (
    ACCOUNT,
    IF_NONE_MATCH,
    Parameter,
    account_of,
    path_id,
)
from entitlements.http.problems import Problem, telling
from entitlements.http.queries import UNREADABLE, tags
from entitlements.http.state import State
from entitlements.model import CustomerRecord, Entitlement, Subject
from entitlements.resolve import entitlement, entitlements, next_change
from entitlements.wire import Id, id_of

Code = Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]


class UnusableContext(BadRequest):
    """A request whose context cannot be used, with OpenFeature's code for why."""

    def __init__(self, message: str, code: Code = "INVALID_CONTEXT") -> None:
        super().__init__(message)
        self.code: Code = code


class Flag(Struct, frozen=True):
    """The answer about one feature. What the metadata has are words and numbers, as the protocol wants it."""

    key: str
    value: bool
    reason: Literal["TARGETING_MATCH", "UNKNOWN"]
    variant: Literal["granted", "denied"]
    metadata: dict[str, str | int | bool]


class Flags(Struct, frozen=True):
    """The answers about every feature that a customer's record speaks of."""

    flags: list[Flag]
    metadata: dict[str, str | int]


class Told(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What an error says in this protocol. There is no code where the fault is ours."""

    key: str | None = None
    error_code: Code | None = None
    error_details: str | None = None


class Target(Struct, frozen=True, rename="camel"):
    """Whom a request is about. Whatever else its context has decides nothing here."""

    targeting_key: Id


class Question(Struct, frozen=True):
    """What a request asks."""

    context: Target


class _Asked(Struct, frozen=True):
    context: Raw = Raw(b"null")


class _Context(Struct, frozen=True):
    targetingKey: str | None = None  # noqa: N815  the protocol's name


_question = msgspec.json.Decoder(Question)
_asked = msgspec.json.Decoder(_Asked)
_context = msgspec.json.Decoder(_Context | None)
_encode = msgspec.json.Encoder().encode


async def one_flag(request: Request[State]) -> Response:
    """Answer for one feature. One that is not known is denied, as at every door: a 404 would leave it to a default."""
    feature, customer = path_id(request, "key"), await _customer(request)
    record, at = await one_record(request, customer)
    metrics.answered("ofrep_one")
    found = _flag(entitlement(record, feature, at))
    return Response(_encode(found), media_type="application/json")


async def all_flags(request: Request[State]) -> Response:
    """Answer for every feature that the customer's record speaks of; 304 while the caller holds just that."""
    customer = await _customer(request)
    record, at = await one_record(request, customer)
    metrics.answered("ofrep_all")
    headers = {"ETag": _etag(Subject(customer, account_of(request)), record, at)}
    if record.age is not None:
        headers = {"Cache-Control": "no-store"}
    elif headers["ETag"] in tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    found = Flags(
        [_flag(answer) for answer in entitlements(record, at)],
        {"policy": record.policy, "version": record.version},
    )
    return Response(_encode(found), headers=headers, media_type="application/json")


async def _customer(request: Request[State]) -> str:
    """Return whom a request is about."""
    raw = await body.read(request)
    try:
        return _question.decode(shallow(raw)).context.targeting_key
    except UNREADABLE:
        return _lenient(raw)


def _lenient(raw: bytes) -> str:
    """Read a body step by step, to say what is wrong with it. Raises UnusableContext."""
    try:
        raw_context = _asked.decode(shallow(raw)).context
    except UNREADABLE as error:
        raise UnusableContext(f"{error}. {_FORM}", "PARSE_ERROR") from error
    try:
        context = _context.decode(raw_context)
    except UNREADABLE as error:
        raise UnusableContext(f"{error}. {_FORM}") from error
    if context is None or not context.targetingKey:
        raise UnusableContext(f"There is no targeting key. {_FORM}", "TARGETING_KEY_MISSING")
    return _usable(context.targetingKey)


_FORM = 'Send {"context": {"targetingKey": "<the customer>"}}.'


def _usable(key: str) -> str:
    try:
        return id_of(key, "targetingKey")
    except BadRequest as error:
        raise UnusableContext(str(error)) from error


def _flag(answer: Entitlement) -> Flag:
    return Flag(
        key=answer.feature,
        value=answer.granted,
        reason="UNKNOWN" if answer.rule is None else "TARGETING_MATCH",
        variant="granted" if answer.granted else "denied",
        metadata=_metadata(answer),
    )


def _metadata(answer: Entitlement) -> dict[str, str | int | bool]:
    """Return an entitlement's other fields, without those that are null; what comes then and the flags laid flat."""
    then = answer.then
    said: dict[str, str | int | bool | None] = {
        "reason": answer.reason,
        "rule": answer.rule,
        "subscription": answer.subscription,
        "quantity": answer.quantity,
        "until": answer.until,
        "then_granted": None if then is None else then.granted,
        "then_reason": None if then is None else then.reason,
        "policy": answer.policy,
        "flags": None if answer.flags is UNSET else ",".join(answer.flags),
        "stale": None if answer.stale is UNSET else answer.stale,
        "age": None if answer.age is UNSET else answer.age,
    }
    return {name: value for name, value in said.items() if value is not None}


def _etag(subject: Subject, record: CustomerRecord, at: int) -> str:
    """Return what changes with the record and at each flip, and names whose it is: all customers share one address."""
    whose = hashlib.sha256(str(subject).encode()).hexdigest()[:16]
    return f'"{whose}-{record.version}-{record.policy}-{next_change(record, at) or 0}"'


def _failure(request: Request, error: Exception, problem: Problem) -> dict[str, object]:
    """Return what the protocol's errors have. It leaves 401 and 403 open."""
    found: dict[str, object] = msgspec.to_builtins(_told(request, error, problem))
    return found


def _told(request: Request, error: Exception, problem: Problem) -> Told:
    if problem.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Told()
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Told(error_details=problem.detail)
    code = error.code if isinstance(error, UnusableContext) else "GENERAL"
    return Told(request.path_params.get("key") or None, code, problem.detail)


def _telling(handler: Handler) -> Handler:
    return telling(_failure, handler)


def _call(
    path: str, handler: Handler, answers: Mapping[int, object], *parameters: Parameter
) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"/ofrep/v1/evaluate/flags{path}",
        handler=handler,
        scope="read",
        parameters=(ACCOUNT, *parameters),
        body=Question,
        example={"context": {"targetingKey": "cus_demo"}},
        answers=answers,
        refusals=(BeyondRetention, StoreUnavailable),
        members=Told,
        around=_telling,
    )


routes = routed(
    "OpenFeature",
    _call("", all_flags, {200: Flags, 304: None}, IF_NONE_MATCH),
    _call("/{key:path}", one_flag, {200: Flag}),
)
