"""May this customer use this feature? The calls of product services."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from entitlements import metrics
from entitlements.errors import BadRequest, BeyondRetention, StoreUnavailable, VersionNotReached
from entitlements.http import body
from entitlements.http.asking import Found, records
from entitlements.http.encoded import (
    JSON,
    Encoded,
    EntitlementList,
    checked,
    encode,
    features_of,
    listed,
    one,
)
from entitlements.http.endpoint import Endpoint, each, either, routed
from entitlements.http.nesting import pruned
from entitlements.http.parameters import (
    ACCOUNT,
    AT,
    IF_NONE_MATCH,
    KNOWN_AT,
    MIN_VERSION,
    Parameter,
    Parameters,
    newest_of,
    path_id,
    subject_of,
)
from entitlements.http.problems import Problem, problem_of
from entitlements.http.state import State
from entitlements.model import CustomerRecord, Entitlement, Subject
from entitlements.resolve import entitlement
from entitlements.wire import Id, Seconds

MAX_CHECKS = 1_000
ASKED = (AT, KNOWN_AT, MIN_VERSION)
"""The parameters of every question about one customer."""

Include = Literal["denied"]
INCLUDE = Parameter("include", Include, "Adds what is denied to what is granted.")

REFUSALS = (VersionNotReached, BeyondRetention, StoreUnavailable)
"""Why a question that can be read may have no answer."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON raises: not JSON or of another shape, not UTF-8, nested too deeply."""


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """One question of a batch."""

    customer: Id
    feature: Id
    at: Seconds | None = None


class Checks(Struct, frozen=True, forbid_unknown_fields=True):
    """A batch of questions, each read by itself so that a bad one fails alone."""

    checks: Annotated[
        list[Annotated[msgspec.Raw, each(Check, "Any other: a problem stands in its place.")]],
        Meta(extra_json_schema={"maxItems": MAX_CHECKS}),
    ]


class CheckList(Struct, frozen=True, tag_field="object", tag="list"):
    """The answers to a batch, in the order of its questions."""

    data: Sequence[Annotated[object, either(Entitlement, Problem)]]


_checks = msgspec.json.Decoder(Checks)
_check = msgspec.json.Decoder(Check)


async def list_entitlements(request: Request[State]) -> Response:
    """Answer for all of a customer's features: the granted ones, or with `include=denied` every one."""
    asked = Parameters.of(request, *ASKED, INCLUDE)
    subject = subject_of(request)
    denied = asked.choice("include", *get_args(Include)) is not None
    record, at = await asked_about(request, asked, subject)
    data = features_of(record, at, denied=denied)
    found = encode(listed(record, data, subject.customer, request.url.path, at))
    metrics.answered("list")
    return cached(request, replace(data, body=found), record)


async def one_entitlement(request: Request[State]) -> Response:
    """Answer for one feature. What is not known is denied, with its reason; never a 404."""
    asked = Parameters.of(request, *ASKED)
    subject, feature = subject_of(request), path_id(request, "feature")
    record, at = await asked_about(request, asked, subject)
    metrics.answered("one")
    return cached(request, one(record, feature, at), record)


async def checks(request: Request[State]) -> Response:
    """Answer up to a thousand questions at once, in their order."""
    Parameters.of(request)
    raw = body.paired(await body.read(request))
    try:
        batch = _checks.decode(pruned(raw)).checks
    except UNREADABLE as error:
        raise BadRequest(
            f'{error}. Send {{"checks": [{{"customer": …, "feature": …}}, …]}}.'
        ) from error
    if len(batch) > MAX_CHECKS:
        raise BadRequest(
            f"{len(batch)} checks are more than {MAX_CHECKS}. Send them in several batches."
        )
    data = await _answer_all(request, [_read_check(one) for one in batch])
    metrics.answered("checks", len(data))
    return Response(checked([encode(one) for one in data]), media_type=JSON)


async def _answer_all(
    request: Request[State], asked: list[Check | BadRequest]
) -> list[Entitlement | Problem]:
    good = [(check.customer, check.at) for check in asked if isinstance(check, Check)]
    found = iter(await records(request, good))
    return [
        _resolve(one.feature, next(found)) if isinstance(one, Check) else problem_of(one)
        for one in asked
    ]


def _resolve(feature: str, found: Found) -> Entitlement | Problem:
    if isinstance(found, BeyondRetention):
        return problem_of(found)
    record, at = found
    return entitlement(record, feature, at)


def _read_check(raw: msgspec.Raw) -> Check | BadRequest:
    try:
        return _check.decode(raw)
    except UNREADABLE as error:
        return BadRequest(
            f"{error}. A check is a customer, a feature and, if you like, an instant `at`."
        )


async def asked_about(
    request: Request[State], asked: Parameters, subject: Subject
) -> tuple[CustomerRecord, int]:
    """Return what a question is to be resolved by: a record, and the instant that is asked about."""
    answers, now = request.state["answers"], int(request.state["clock"]())
    at, known_at, least = (asked.number(name) for name in ("at", "known_at", "min_version"))
    newest = newest_of(request)
    if at is None:
        return await answers.now(subject, now, least or 0, known_at, newest=newest)
    return await answers.record(subject, at, least or 0, known_at, newest=newest), at


def cached(request: Request[State], answer: Encoded, record: CustomerRecord) -> Response:
    """Answer with an ETag, and to be kept until the next flip at most. A stale answer is not to be kept at all."""
    headers = {"ETag": answer.etag, "Cache-Control": f"private, max-age={answer.max_age()}"}
    if record.age is not None:
        headers = {"Cache-Control": "no-store"}
    elif answer.etag in tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers, media_type=JSON)


def tags(header: str) -> set[str]:
    """Return the tags that an If-None-Match header names."""
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


_CACHED = (*ASKED, ACCOUNT, IF_NONE_MATCH)

routes = routed(
    "queries",
    Endpoint(
        method="GET",
        path="/v1/customers/{customer}/entitlements",
        handler=list_entitlements,
        scope="read",
        parameters=(INCLUDE, *_CACHED),
        answers={200: EntitlementList, 304: None},
        refusals=REFUSALS,
    ),
    Endpoint(
        method="GET",
        path="/v1/customers/{customer}/entitlements/{feature}",
        handler=one_entitlement,
        scope="read",
        parameters=_CACHED,
        answers={200: Entitlement, 304: None},
        refusals=REFUSALS,
    ),
    Endpoint(
        method="POST",
        path="/v1/checks",
        handler=checks,
        scope="read",
        parameters=(ACCOUNT,),
        body=Checks,
        example={"checks": [{"customer": "cus_demo", "feature": "pro"}]},
        answers={200: CheckList},
        parts=(Check, Entitlement, Problem),
    ),
)
