"""Events out of a stream of JSON values: whole ones, and lists of them, one a line or over several, in any mixture.

So does the Stripe CLI print them: `stripe listen --print-json` an event a line, `stripe get` and `stripe events list`
an event or a list over many lines. Memory is bounded by the largest value.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Raw, Struct

MOST = 16 * 2**20
"""Bytes of one value: a hundred of Stripe's largest events, and more than any list of them that was seen."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


class Piece(NamedTuple):
    """An event, or what is wrong with what stands in its place."""

    line: int
    """Where it begins, counted from one; of an event in a list, where the list does."""
    body: bytes | None
    why: str = ""


class _Value(Struct):
    object: str | None = None
    data: Raw = Raw(b"null")


_value = msgspec.json.Decoder(_Value)
_list = msgspec.json.Decoder(list[Raw])
_decoder = json.JSONDecoder()


def pieces(file: BinaryIO, most: int = MOST) -> Iterator[Piece]:
    """Yield every event of a stream, and a piece without a body for each value that is none or over `most` bytes."""
    for line, text in _values(_lines(file, most), most):
        yield from _of(line, text)


def _lines(file: BinaryIO, most: int) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines; of one that is too long, its beginning."""
    n = 0
    while line := file.readline(most + 1):
        n += 1
        yield n, line
        while len(line) > most and not line.endswith(b"\n"):
            line = file.readline(most + 1)


def _values(lines: Iterable[tuple[int, bytes]], most: int) -> Iterator[tuple[int, bytes]]:
    """Yield what belongs together: a line, or several up to one at whose end every bracket is closed.

    A line that is a whole object by itself begins anew, except in an array: what is before it was cut off.
    """
    held, first, depth = bytearray(), 0, 0
    for n, line in lines:
        whole = not held.startswith(b"[") and _whole(line)
        if held and (whole or len(held) + len(line) > most):
            yield first, bytes(held)
            held, depth = bytearray(), 0
        first = first if held else n
        held += line
        depth += 0 if whole else _opened(line)
        if depth <= 0:
            if held.strip():
                yield first, bytes(held)
            held, depth = bytearray(), 0
    if held.strip():
        yield first, bytes(held)


def _opened(line: bytes) -> int:
    """Return how many brackets a line opens and does not close. A string cannot go beyond its line."""
    bare = _STRING.sub(b"", line)
    opened = bare.count(b"{") + bare.count(b"[")
    return opened - bare.count(b"}") - bare.count(b"]")


def _whole(line: bytes) -> bool:
    if not line.startswith(b"{"):
        return False
    try:
        _value.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _of(line: int, text: bytes) -> Iterator[Piece]:
    try:
        if text.lstrip()[:1] == b"[":
            for raw in _list.decode(text):
                yield from _of(line, bytes(raw))
            return
        value = _value.decode(text)
        data = _list.decode(value.data) if value.object == "list" else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield from _leniently(line, text)
        return
    if value.object == "event":
        yield Piece(line, text.strip())
    elif data is not None:
        for raw in data:
            yield from _of(line, bytes(raw))
    else:
        yield _no_event(line, value.object)


def _leniently(line: int, text: bytes) -> Iterator[Piece]:
    """Take values apart that share a line, and read what only Python's own parser can: it waits for somebody then."""
    try:
        rest = text.decode(errors="surrogateescape").strip()
        while rest:
            value, end = _decoder.raw_decode(rest)
            yield from _of_value(line, value)
            rest = rest[end:].strip()
    except (ValueError, RecursionError) as error:
        yield Piece(line, None, f"it is not JSON ({error})")


def _of_value(line: int, value: object) -> Iterator[Piece]:
    kind = value.get("object") if isinstance(value, dict) else None
    data = value.get("data") if isinstance(value, dict) and kind == "list" else value
    if kind == "event":
        yield Piece(line, json.dumps(value).encode())
    elif isinstance(data, list):
        for one in data:
            yield from _of_value(line, one)
    else:
        yield _no_event(line, kind)


def _no_event(line: int, kind: object) -> Piece:
    return Piece(line, None, f"its object is {kind!r}, not 'event' or a list of them")
