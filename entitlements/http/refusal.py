"""What the server answers by itself, in place of the application: whole answers, as bytes."""

from collections.abc import Iterable, Mapping

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from entitlements.http.problems import MEDIA_TYPE, RETRY_AFTER, Problem

_Headers = Iterable[tuple[bytes, bytes]]

_KINDS: Mapping[int, tuple[str, str, _Headers]] = {
    400: ("bad-request", "The request cannot be read", ()),
    408: ("request-timeout", "The request came too slowly", ()),
    431: ("headers-too-large", "The request's headers are too large", ()),
    503: ("stopping", "The server is stopping", [(b"retry-after", RETRY_AFTER.encode())]),
}


def refusal(status: int, detail: str, headers: _Headers) -> bytes:
    """Return a problem document (RFC 9457) as an answer after which the connection closes."""
    name, title, more = _KINDS[status]
    problem = Problem(f"urn:problem-type:entitlements:{name}", title, status, detail)
    body = msgspec.json.encode(problem)
    lines = [
        *(b"%s: %s\r\n" % header for header in (*headers, *more)),
        b"content-type: %s\r\n" % MEDIA_TYPE.encode(),
        b"content-length: %d\r\n" % len(body),
        b"connection: close\r\n\r\n",
    ]
    return b"".join([STATUS_LINE[status], *lines, body])
