"""Tables as CSV: for who says `Accept: text/csv`."""

import csv
import io
from collections.abc import Iterable

from starlette.requests import Request

from entitlements.http.state import State

MEDIA_TYPE = "text/csv"


def wanted(request: Request[State]) -> bool:
    """Tell whether a request asks for it."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def lines(rows: Iterable[tuple[object, ...]]) -> str:
    """Return rows as lines of CSV."""
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
