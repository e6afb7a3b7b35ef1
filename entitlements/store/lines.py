"""The format in which a store travels: lines of JSON, each numbered and with a checksum, and one of the whole.

A header, the parts of every key, and an end. What is cut off, altered, left out or put elsewhere is told by its line.
"""

import hashlib
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct

from entitlements.errors import BadRequest
from entitlements.store import keys

FORMAT = "entitlements-export"
VERSION = 1

LINE = 64 * 2**20
"""Bytes: the longest line that is read."""

PART = 2**20
"""Bytes of one key in a line, about; what is larger takes several."""

Type = Literal["string", "hash", "set", "list", "zset", "stream"]


class Binary(Struct, frozen=True):
    """Bytes that are no text."""

    b64: str


Text = str | Binary


class Header(Struct, frozen=True, tag_field="line", tag="header", kw_only=True):
    """What store it was, and when (Unix seconds)."""

    format: str = FORMAT
    version: int = VERSION
    partitions: int
    policy: str
    livemode: str
    created: int


class Tail(Struct, frozen=True):
    """What a stream knows beyond its entries: its last id, how many were ever added, the highest that was deleted."""

    last: str
    added: int
    deleted: str


class Part(Struct, frozen=True, tag_field="line", tag="part", omit_defaults=True, kw_only=True):
    """Some elements of one key.

    A string's value; a hash's fields, each with its value; a sorted set's members, each with its score; a stream's
    entries, each an id, then fields and values.
    """

    key: str
    type: Type
    data: Sequence[Sequence[Text]]
    offset: int = 0
    """Elements of the key in the lines before."""
    expires_ms: int | None = None
    tail: Tail | None = None
    """In a stream's last line."""


class End(Struct, frozen=True, tag_field="line", tag="end"):
    """The sums: keys by their type, and the SHA-256 of all the bytes before."""

    keys: Mapping[str, int]
    sha256: str


Line = Header | Part | End
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode
_CRC = b',"crc":"'
_CLOSED = len(_CRC) + len(b'00000000"}\n')


class Sums:
    """What the end says of all lines before it."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self.lines = 0
        self._sha = hashlib.sha256()

    def add(self, raw: bytes, value: Line) -> None:
        """Count a line."""
        self.lines += 1
        self._sha.update(raw)
        if isinstance(value, Part):
            self.keys[value.type] += value.offset == 0

    def end(self) -> End:
        """Return the end that fits."""
        return End(dict(self.keys), self._sha.hexdigest())


def written(sums: Sums, value: Line) -> bytes:
    """Return the next line, and count it."""
    body = b'{"n":%d,%s' % (sums.lines + 1, _encode(value)[1:-1])
    raw = b'%s%s%08x"}\n' % (body, _CRC, zlib.crc32(body))
    sums.add(raw, value)
    return raw


def read(file: BinaryIO) -> Iterator[tuple[int, Line]]:
    """Yield each line of a file with its number, checked. Raises BadRequest, which names the line."""
    sums = Sums()
    value: Line | None = None
    while raw := file.readline(LINE + 1):
        n = sums.lines + 1
        if isinstance(value, End):
            raise _refused(n, "there is more after the end")
        value = _checked(n, raw)
        if isinstance(value, Header) != (n == 1):
            raise _refused(n, "the header is the first line, and no other")
        if isinstance(value, End) and value != sums.end():
            raise _refused(n, "its sums are not those of the lines before")
        sums.add(raw, value)
        yield n, value
    if not isinstance(value, End):
        raise _refused(sums.lines + 1, "the end is missing: the file was cut off here")


def _checked(n: int, raw: bytes) -> Line:
    body, crc = raw[:-_CLOSED], raw[-_CLOSED:]
    if crc != b'%s%08x"}\n' % (_CRC, zlib.crc32(body)):
        raise _refused(n, "its checksum is not that of its content: it was altered or cut off")
    if not body.startswith(b'{"n":%d,' % n):
        raise _refused(n, "another line stood here: one was left out, added or moved")
    try:
        value: Line = _decode(b"%s}" % body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refused(n, f"it is not of this format ({error})") from error
    if isinstance(value, Header) and (value.format, value.version) != (FORMAT, VERSION):
        raise _refused(n, f"it is {value.format} {value.version}, not {FORMAT} {VERSION}")
    if isinstance(value, Part) and not value.key.startswith(_OURS):
        raise _refused(n, f"{value.key!r} is no key of ours")
    return value


def _refused(n: int, why: str) -> BadRequest:
    return BadRequest(f"The file cannot be used: line {n}: {why}. Nothing is taken from it.")


_OURS = keys.EVERYTHING.removesuffix("*")


def text(raw: bytes) -> Text:
    """Return bytes as a line has them: as they read, where they are text."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Binary(b64encode(raw).decode())


def raw(value: Text) -> bytes:
    """Return the bytes. Raises BadRequest where they are garbled."""
    if isinstance(value, str):
        return value.encode()
    try:
        return b64decode(value.b64, validate=True)
    except ValueError as error:
        raise BadRequest(f"A value is not base64 ({error}).") from error


def parts(
    key: str, kind: Type, elements: Iterable[Sequence[Text]], expires_ms: int | None = None
) -> Iterator[Part]:
    """Yield a key's elements in parts of about PART bytes."""
    offset, size, batch = 0, 0, list[Sequence[Text]]()
    for element in elements:
        batch.append(element)
        size += sum(len(t if isinstance(t, str) else t.b64) for t in element) + 8
        if size >= PART:
            yield Part(key=key, type=kind, data=batch, offset=offset, expires_ms=expires_ms)
            offset, size, batch = offset + len(batch), 0, []
    if batch:
        yield Part(key=key, type=kind, data=batch, offset=offset, expires_ms=expires_ms)
