"""Every error as `application/problem+json` (RFC 9457), and the one table from what went wrong to a status."""

from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus

import msgspec
import structlog
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from entitlements import errors
from entitlements.errors import EntitlementsError
from entitlements.http.auth import Handler
from entitlements.http.request_id import request_id
from entitlements.http.state import State

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "2"
"""Seconds. The store's own failures pass or fail over in about that time."""

log = structlog.get_logger()


class Problem(Struct, frozen=True, omit_defaults=True):
    """A problem document. `type` is stable: match on it, show `detail` to a person."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None


class Kind(Struct, frozen=True):
    """What all problems of one kind share."""

    name: str
    title: str
    status: int
    headers: Mapping[str, str] = {}


Members = Callable[[Request, Exception, Problem], Mapping[str, object]]
"""From a request, its error and its problem to what else a document has: https://www.rfc-editor.org/rfc/rfc9457#section-3.2."""

_MEMBERS = "problem_members"  # in the scope, which every handler of errors sees

_RETRY = {"Retry-After": RETRY_AFTER}

KINDS: Mapping[type[Exception], Kind] = {
    errors.SignatureInvalid: Kind("signature-invalid", "The webhook's signature is not valid", 400),
    errors.BodyTooLarge: Kind("body-too-large", "The request body is too large", 413),
    errors.HeadTooLarge: Kind("headers-too-large", "The request's headers are too large", 431),
    errors.BadRequest: Kind("bad-request", "The request cannot be read", 400),
    errors.PolicyError: Kind("policy-invalid", "The policy cannot be used", 400),
    errors.Unauthenticated: Kind(
        "unauthenticated", "A known bearer token is needed", 401, {"WWW-Authenticate": "Bearer"}
    ),
    errors.Forbidden: Kind("forbidden", "The token's scope is too small", 403),
    errors.NotFound: Kind("not-found", "There is no such thing here", 404),
    errors.Conflict: Kind("conflict", "It cannot be done as things stand", 409),
    errors.VersionNotReached: Kind("version-not-reached", "Not that fresh yet", 412),
    errors.FeedUnavailable: Kind("feed-unavailable", "Nobody more can follow here", 503, _RETRY),
    errors.BeyondRetention: Kind("beyond-retention", "That is longer ago than what is kept", 410),
    errors.StripeKeyMissing: Kind("stripe-key-missing", "This needs a key to Stripe's API", 409),
    errors.StripeMissing: Kind("stripe-missing", "Stripe has no such thing", 404),
    errors.StripeRefused: Kind("stripe-refused", "Stripe refuses to do it", 409),
    errors.StripeUnavailable: Kind("stripe-unavailable", "Stripe is not available", 503, _RETRY),
    errors.StoreBusy: Kind("store-busy", "Too many writes at once", 503, _RETRY),
    errors.StoreUnsafe: Kind(
        "store-unsafe", "The store would not keep what is acknowledged", 503, _RETRY
    ),
    errors.NotDurable: Kind("not-durable", "The write is not confirmed", 503, _RETRY),
    errors.StoreError: Kind("store-unavailable", "The store is not available", 503, _RETRY),
    errors.EntitlementsError: Kind("internal", "Something went wrong here", 500),
}

_BY_STATUS = {
    404: (
        "not-found",
        "There is nothing at this address",
        "See the README for the addresses, and ENTITLEMENTS_SURFACES.",
    ),
    405: (
        "method-not-allowed",
        "This address does not take that method",
        "The Allow header names those that it does.",
    ),
}


def kind_of(error: Exception) -> Kind:
    """Return the kind of an error."""
    return kind_named(type(error))


def kind_named(error: type[Exception]) -> Kind:
    """Return the kind of the nearest class in an error's ancestry."""
    return next(
        (KINDS[cls] for cls in error.__mro__ if cls in KINDS), KINDS[errors.EntitlementsError]
    )


def problem_of(error: Exception, request_id: str | None = None) -> Problem:
    """Return the document for one of our own errors."""
    kind = kind_of(error)
    return Problem(uri(kind.name), kind.title, kind.status, str(error), request_id)


async def on_error(request: Request, error: Exception) -> Response:
    """Answer one of our own errors, and log what an operator should see."""
    problem = problem_of(error, request_id(request.scope))
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning(
            "request_failed", problem=problem.type, detail=problem.detail, path=request.url.path
        )
    return respond(problem, kind_of(error).headers, _more(request, error, problem))


def refused(request: Request[State], error: EntitlementsError) -> Response:
    """Answer one of our own errors that the log has been told of already."""
    return respond(problem_of(error, request_id(request.scope)), kind_of(error).headers)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: an address or a method that is not there."""
    assert isinstance(error, HTTPException)  # registered for this class alone
    name, title, detail = _BY_STATUS.get(
        error.status_code, ("http-error", error.detail, error.detail)
    )
    problem = Problem(uri(name), title, error.status_code, detail, request_id(request.scope))
    return respond(problem, error.headers or {}, _more(request, error, problem))


async def on_crash(request: Request, error: Exception) -> Response:
    """Answer a bug: say nothing of it outside, all of it in the log."""
    log.error("request_crashed", path=request.url.path, exc_info=error)
    detail = "This is a fault of the service. Its log has the cause under this request_id."
    name = request_id(request.scope)
    problem = Problem(uri("internal"), "Something went wrong here", 500, detail, name)
    return respond(problem, more=_more(request, error, problem))


async def on_any(request: Request, error: Exception) -> Response:
    """Answer whatever went wrong, for those whom the framework does not stand around."""
    answer = on_error if isinstance(error, EntitlementsError) else on_crash
    return await answer(request, error)


def telling(members: Members, handler: Handler) -> Handler:
    """Return a handler whose problem documents, a refused token and a crash among them, have more members."""

    @wraps(handler)
    async def told(request: Request[State]) -> Response:
        request.scope[_MEMBERS] = members
        return await handler(request)

    return told


def respond(
    problem: Problem,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """Encode a document, with more members if there are any; uncacheable."""
    body = msgspec.json.encode({**msgspec.to_builtins(problem), **(more or {})})
    sent = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, problem.status, sent, media_type=MEDIA_TYPE)


def _more(request: Request, error: Exception, problem: Problem) -> Mapping[str, object] | None:
    members: Members | None = request.scope.get(_MEMBERS)
    return members(request, error, problem) if members else None


def uri(name: str) -> str:
    """Return the `type` of a problem document."""
    return f"urn:problem-type:entitlements:{name}"
