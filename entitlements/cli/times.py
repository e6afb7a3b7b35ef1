"""Instants as people write and read them. Inside, they are Unix seconds."""

from datetime import datetime

from entitlements.errors import BadRequest
from entitlements.instants import rfc3339
from entitlements.span import seconds

__all__ = ["instant", "rfc3339", "span"]

_SPANS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
_LATEST = 253_402_300_799  # the last second of the year 9999, and of RFC 3339


def instant(text: str, now: int) -> int:
    """Read Unix seconds, RFC 3339, or an offset from `now` such as `+30d` or `-2h`.

    Raises BadRequest for anything else.
    """
    found = _offset(text, now) if text[:1] in ("+", "-") else _absolute(text)
    if found is None or not 0 <= found <= _LATEST:
        raise BadRequest(
            f"{text!r} is not a time. Give Unix seconds, RFC 3339 (2027-01-31T09:00:00Z), "
            "or an offset from now (+30d, -2h; s, m, h, d, w)."
        )
    return found


def span(seconds: int) -> str:
    """Return a time for people, by its two largest units: `2 h 5 min`."""
    sign, left, parts = "-" if seconds < 0 else "", abs(seconds), list[str]()
    for unit, size in _SPANS.items():
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return sign + " ".join(parts[:2])


def _offset(text: str, now: int) -> int | None:
    apart = seconds(text[1:])
    if apart is None:
        return None
    return now - apart if text[0] == "-" else now + apart


def _absolute(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else int(at.timestamp())
