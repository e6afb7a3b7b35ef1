"""How deeply JSON is nested, told before it is read.

A reader goes one call deeper for each level, and gives up where the stack ends: where that is depends on who called it.
"""

import re
from itertools import accumulate

import msgspec

NESTED = 64
"""Levels. None of the calls has use for ten."""

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_BUT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One level down, and one up: -1 as a signed byte."""


def shallow(raw: bytes) -> bytes:
    """Return JSON as it is, if it is not nested too deeply. Raises DecodeError, as its reader would."""
    if _depth(raw) > NESTED:
        raise msgspec.DecodeError(f"JSON is nested more than {NESTED} levels deep")
    return raw


def _depth(raw: bytes) -> int:
    """Count levels, in time that grows with the length alone. Of what is no JSON, at least as far as it is."""
    kept = _ESCAPED.sub(b"", raw).translate(None, _BUT_BRACKETS)
    steps = _STRING.sub(b"", kept.replace(b'""', b"")).translate(_STEPS, b'"')
    return max(accumulate(memoryview(steps).cast("b")), default=0)
