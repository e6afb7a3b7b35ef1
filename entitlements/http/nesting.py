"""How deeply JSON is nested, told before it is read.

A reader goes one call deeper for each level, and gives up where the stack ends: where that is depends on who called it.
"""

import re
from collections.abc import Iterator
from itertools import accumulate

import msgspec

NESTED = 64
"""Levels. None of the calls has use for ten."""

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_RUNS = re.compile(rb'"(?:[^"\\]|\\.)*"|(?P<opens>[\[{]+)|(?P<closes>[\]}]+)', re.DOTALL)
_BUT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One level down, and one up: -1 as a signed byte."""


def shallow(raw: bytes) -> bytes:
    """Return JSON as it is, if it is not nested too deeply. Raises DecodeError, as its reader would."""
    if _depth(raw) > NESTED:
        raise msgspec.DecodeError(f"JSON is nested more than {NESTED} levels deep")
    return raw


def pruned(raw: bytes) -> bytes:
    """Return JSON with null in the place of whatever is nested too deeply: of many values, the others can be read.

    What is cut out is not looked at: it counts as any other value would that is not asked for, or not as asked.
    """
    return b"".join(_left(raw)) if _depth(raw) > NESTED else raw


def _left(raw: bytes) -> Iterator[bytes]:
    """Yield what is not nested too deeply, and a null for each part that is."""
    depth, begins = 0, 0
    for run in _RUNS.finditer(raw):
        at, size = run.start(), len(run[0])
        if run.lastgroup == "opens":
            if depth <= NESTED < depth + size:
                yield raw[begins : at + NESTED - depth]
                yield b"null"
            depth += size
        elif run.lastgroup == "closes":
            if depth - size <= NESTED < depth:
                begins = at + depth - NESTED
            depth -= size
    if depth <= NESTED:
        yield raw[begins:]


def _depth(raw: bytes) -> int:
    """Count levels, in time that grows with the length alone. Of what is no JSON, at least as far as it is."""
    kept = _ESCAPED.sub(b"", raw).translate(None, _BUT_BRACKETS)
    steps = _STRING.sub(b"", kept.replace(b'""', b"")).translate(_STEPS, b'"')
    return max(accumulate(memoryview(steps).cast("b")), default=0)
