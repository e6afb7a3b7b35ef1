"""Stretches of time as people write them: `7d`, `12h`, `30m`, `45s`, `2w`. Pure."""

import re

from entitlements.errors import BadRequest

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
PATTERN = r"[0-9]{1,9}[smhdw]?"

_SPAN = re.compile(PATTERN)


def seconds(text: str) -> int | None:
    """Return how many seconds a stretch has; null for what is none."""
    named = _SPAN.fullmatch(text) and text[-1] in UNITS
    return int(text[:-1]) * UNITS[text[-1]] if named else None


def read(text: str, name: str) -> int:
    """Return how many seconds a stretch has, or plain digits say. Raises BadRequest, which calls it by a name."""
    found = seconds(f"{text}s") if text.isdecimal() else seconds(text)
    if found is None:
        raise BadRequest(f"{name}={text!r} is no stretch of time. It takes seconds, or such as 7d.")
    return found
