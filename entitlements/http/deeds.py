"""What calls by which people do something share: who does it and why, and answers that nobody keeps."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements.errors import BadRequest
from entitlements.http import body
from entitlements.http.auth import authenticate
from entitlements.http.nesting import shallow
from entitlements.http.parameters import Parameter, Parameters
from entitlements.http.state import State
from entitlements.store.audit import Deed

REASON = 1_000
"""Characters."""

Reason = Annotated[str, Meta(min_length=1, max_length=REASON, pattern=r"\S")]

WHY = Parameter("reason", Reason, "Why, for the record.", required=True)
"""Of a call that has no body."""

Given = TypeVar("Given")
_encode = msgspec.json.Encoder().encode


class Reasoned(Struct, forbid_unknown_fields=True):
    """What a write says for itself that says nothing else."""

    reason: Reason


async def given(request: Request[State], kind: type[Given], shape: str) -> Given:
    """Return the body of a request, as it has to be. Raises BadRequest, which says what to send: `shape`."""
    try:
        return msgspec.json.decode(shallow(await body.read(request)), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            f"The body cannot be read ({error}). Send {shape}, the reason with up to {REASON} characters."
        ) from error


async def given_reason(request: Request[State]) -> str:
    """Return the reason of a call whose body says nothing else. Raises BadRequest."""
    return (await given(request, Reasoned, '{"reason": "…"}')).reason


def reasoned(text: str | None) -> str:
    """Return what is given as a reason. Raises BadRequest where it cannot be one."""
    try:
        return msgspec.convert(text, Reason)
    except msgspec.ValidationError as error:
        raise BadRequest(
            f"Every write says why: give a reason, up to {REASON} characters ({error})."
        ) from error


def why(request: Request[State]) -> str:
    """Return the reason of a call that has no body and no other parameter. Raises BadRequest."""
    return reasoned(Parameters.of(request, WHY).text(WHY.name))


def deed(request: Request[State], reason: str) -> Deed:
    """Return who does something, now, and why: the caller by the name of its token."""
    header, state = request.headers.get("authorization"), request.state
    caller = authenticate(header, state["settings"].tokens, "operate")
    return Deed(caller.name, reason, int(state["clock"]()))


def answer(value: Struct) -> Response:
    """Return a document that is of this moment alone."""
    return Response(
        _encode(value), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )
