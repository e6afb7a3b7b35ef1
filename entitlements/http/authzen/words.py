"""What OpenID AuthZEN's Authorization API 1.0 says of requests and responses: its entities.

Fields that are not known are ignored, and an optional one may be null. https://openid.net/specs/authorization-api-1_0.html
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements.errors import BadRequest, EntitlementsError
from entitlements.http import body
from entitlements.http.auth import Handler
from entitlements.http.endpoint import Endpoint, each
from entitlements.http.nesting import shallow
from entitlements.http.parameters import ACCOUNT, account_of
from entitlements.http.queries import MAX_CHECKS, UNREADABLE
from entitlements.http.request_id import ECHO, HEADER
from entitlements.http.state import State
from entitlements.wire import Seconds

CUSTOMER, FEATURE, USE = "customer", "feature", "use"
"""The one type of subjects, the one type of resources, and the one action."""

_FORM = (
    'Send {"subject": {"type": "customer", "id": …}, "action": {"name": "use"}, '
    '"resource": {"type": "feature", "id": …}}; in a search without the id of what is searched for.'
)

Properties = dict[str, Raw] | None
"""Attributes that a caller sends along. None of them decides here: what does is what Stripe has sent."""


class Entity(Struct, frozen=True):
    """A subject or a resource."""

    type: str
    id: str
    properties: Properties = None


class Kind(Struct, frozen=True):
    """A subject or a resource that is searched for: its id is ignored, if it has one."""

    type: str
    properties: Properties = None


class Action(Struct, frozen=True):
    """What a subject would do."""

    name: str
    properties: Properties = None


class Context(Struct, frozen=True):
    """The circumstances. `at` is ours: the instant that is asked about, in Unix seconds; the present without it."""

    at: Seconds | None = None


class Evaluation(Struct, frozen=True):
    """One question."""

    subject: Entity
    action: Action
    resource: Entity
    context: Context | None = None


class Part(Struct, frozen=True):
    """One question of several: what it leaves out is taken, whole, from what they share."""

    subject: Entity | None = None
    action: Action | None = None
    resource: Entity | None = None
    context: Context | None = None


class Options(Struct, frozen=True):
    """How several questions are to be answered: all of them, or up to the first denial or permit."""

    evaluations_semantic: (
        Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] | None
    ) = None


class Evaluations(Part, frozen=True):
    """Several questions, each read by itself so that a bad one fails alone, and what they share."""

    evaluations: (
        Annotated[
            list[Annotated[Raw, each(Part, "Any other: its decision is no, and says why.")]],
            Meta(extra_json_schema={"maxItems": MAX_CHECKS}),
        ]
        | None
    ) = None
    options: Options | None = None


class Page(Struct, frozen=True):
    """Which part of the results of a search."""

    token: str | None = None
    limit: Annotated[int, Meta(ge=0)] | None = None
    properties: Properties = None


T = TypeVar("T")


async def read(
    request: Request[State], decoder: msgspec.json.Decoder[T], *, several: bool = False
) -> tuple[T, bytes]:
    """Return a request's body, decoded and raw; of several questions, so that each can be refused alone.

    Raises BadRequest for another type of content, or another shape.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequest(
            "Send the request as JSON, with the header Content-Type: application/json."
        )
    account_of(request)  # here: what is foreign is answered without asking for any record
    raw = await body.read(request)
    raw = body.paired(raw) if several else raw
    return decoded(raw, decoder), raw


def decoded(raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return a body as what it is to be. Raises BadRequest, which says what to send."""
    try:
        return decoder.decode(shallow(raw))
    except UNREADABLE as error:
        raise BadRequest(f"{error}. {_FORM}") from error


def foreign(subject: str, action: str, resource: str) -> tuple[str, str] | None:
    """Return why nothing here can be allowed, a code and a sentence: a type or an action is none of ours; else null."""
    if subject != CUSTOMER:
        return "unknown_subject_type", f"subjects here are of the type {CUSTOMER}"
    if action != USE:
        return "unknown_action", f"the action here is {USE}"
    if resource != FEATURE:
        return "unknown_resource_type", f"resources here are of the type {FEATURE}"
    return None


def call(  # noqa: PLR0913  what differs between the calls
    path: str,
    handler: Handler,
    body: object,
    example: object,
    answer: object,
    *refusals: type[EntitlementsError],
    parts: tuple[type[Struct], ...] = (),
) -> Endpoint:
    """Return the endpoint of a call at this door: for known callers, whose X-Request-ID is sent back as it came."""
    return Endpoint(
        method="POST",
        path=f"/access/v1/{path}",
        handler=handler,
        scope="read",
        parameters=(ACCOUNT,),
        body=body,
        example=example,
        answers={200: answer},
        refusals=refusals,
        parts=parts,
        around=_echoing,
    )


def _echoing(handler: Handler) -> Handler:
    async def echoing(request: Request[State]) -> Response:
        if given := request.headers.get(HEADER):
            request.scope[ECHO] = given
        return await handler(request)

    return echoing
