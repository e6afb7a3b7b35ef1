"""What the server answers by itself, in place of the application: whole answers, as bytes."""

from collections.abc import Iterable, Mapping

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from entitlements.errors import BadRequest, HeadTooLarge
from entitlements.http.problems import KINDS, MEDIA_TYPE, RETRY_AFTER, Kind, Problem, uri

_Headers = Iterable[tuple[bytes, bytes]]

_KINDS: Mapping[int, Kind] = {
    400: KINDS[BadRequest],
    408: Kind("request-timeout", "The request came too slowly", 408),
    431: KINDS[HeadTooLarge],
    503: Kind("stopping", "The server is stopping", 503, {"Retry-After": RETRY_AFTER}),
}


def refusal(status: int, detail: str, headers: _Headers) -> bytes:
    """Return a problem document (RFC 9457) as an answer after which the connection closes."""
    kind = _KINDS[status]
    problem = Problem(uri(kind.name), kind.title, status, detail)
    more = [(name.lower().encode(), value.encode()) for name, value in kind.headers.items()]
    body = msgspec.json.encode(problem)
    lines = [
        *(b"%s: %s\r\n" % header for header in (*headers, *more)),
        b"content-type: %s\r\n" % MEDIA_TYPE.encode(),
        b"content-length: %d\r\n" % len(body),
        b"connection: close\r\n\r\n",
    ]
    return b"".join([STATUS_LINE[status], *lines, body])
