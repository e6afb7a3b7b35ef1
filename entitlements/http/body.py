"""A request's body, bounded while it is read.

Starlette's own limit answers in plain text; ours is a problem document like every other error.
"""

from starlette.requests import ClientDisconnect, Request

from entitlements.errors import BadRequest, BodyTooLarge
from entitlements.http.state import State

LIMIT = 1024 * 1024
"""Bytes."""


async def read(request: Request[State], limit: int = LIMIT) -> bytes:
    """Return the whole body.

    Raises BodyTooLarge as soon as it is known to be over the limit, BadRequest where its sender left in the middle.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect as error:
        raise BadRequest("The sender went away before the whole body had come.") from error
    return bytes(body)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is over the limit of {limit} bytes. Send less.")
