"""A request's body, bounded while it is read.

Starlette's own limit answers in plain text; ours is a problem document like every other error.
"""

import re

from starlette.requests import Request

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
    parts, size, more = list[bytes](), 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The sender went away before the whole body had come.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return b"".join(parts)


def paired(raw: bytes) -> bytes:
    r"""Return JSON with NUL in the place of each half of a surrogate pair, as in `"\ud800"`.

    RFC 8259 8.2 leaves it open what becomes of them, and msgspec refuses the whole. As NUL, which no id may hold, the
    one of many that has it can be refused alone.
    """
    return _ESCAPED.sub(_without_half, raw) if _SURROGATE.search(raw) else raw


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPED = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    rb"|u[dD](?P<half>[89a-fA-F][0-9a-fA-F]{2})"
    rb"|.)",
    re.DOTALL,
)


def _without_half(escaped: re.Match[bytes]) -> bytes:
    return rb"\u0000" if escaped["half"] else escaped[0]


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is over the limit of {limit} bytes. Send less.")
