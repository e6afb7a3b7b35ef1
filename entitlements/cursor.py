"""Where a reader of the change feed stands: a position in every partition's stream, in one short word. Pure.

A reader that shows its cursor goes on exactly after what it has read, whichever process it asks: each stream has an
order of its own, given by its server, so no clock is compared with another one.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from entitlements.errors import BadRequest

VERSION = 1
LONGEST = 4_096
"""Characters of a cursor that are looked at: many more than 64 partitions take."""

_LOW, _MORE = 0x7F, 0x80  # of a byte: seven bits of a number, and whether others follow
_LARGEST = 2**64 - 1  # https://redis.io/docs/latest/develop/data-types/streams/#entry-ids


class Position(NamedTuple):
    """The id of a stream's entry: milliseconds, and a number within them. 0-0 is before every entry."""

    ms: int
    seq: int

    def __str__(self) -> str:
        """Return it as the store writes it."""
        return f"{self.ms}-{self.seq}"


START = Position(0, 0)

Cursor = tuple[Position, ...]
"""By partition: the last entry that was read."""


def position(text: str) -> Position:
    """Read an id as the store writes it."""
    ms, _, seq = text.partition("-")
    return Position(int(ms), int(seq))


def before(at: Position) -> Position:
    """Return the position just before another one."""
    if at.seq:
        return Position(at.ms, at.seq - 1)
    return Position(at.ms - 1, _LARGEST) if at.ms else START


def encode(cursor: Sequence[Position]) -> str:
    """Return a cursor as a word of letters, digits, - and _.

    A byte for the version; the number of partitions and the latest milliseconds of all; for each partition 0 if it
    stands at 0-0, else one more than the milliseconds before the latest ones, and the number within them.
    """
    latest = max(at.ms for at in cursor)
    out = bytearray([VERSION])
    for number in (len(cursor), latest, *_numbers(cursor, latest)):
        _put(out, number)
    return urlsafe_b64encode(out).rstrip(b"=").decode()


def decode(word: str, partitions: int) -> Cursor:
    """Read a cursor of a store with so many partitions. Raises BadRequest for anything that `encode` did not make."""
    try:
        found = _decoded(word)
    except (Error, ValueError, IndexError) as error:
        raise _malformed("is none") from error
    if len(found) != partitions:
        raise _malformed(f"is of a store with {len(found)} partitions, where this has {partitions}")
    if encode(found) != word:
        raise _malformed("is none")
    return found


def _numbers(cursor: Sequence[Position], latest: int) -> Iterator[int]:
    for at in cursor:
        yield from (0,) if at == START else (latest - at.ms + 1, at.seq)


def _put(out: bytearray, number: int) -> None:
    """Append a number, seven bits a byte, the lowest first; all but the last byte have the eighth bit."""
    while number > _LOW:
        out.append(number & _LOW | _MORE)
        number >>= 7
    out.append(number)


def _decoded(word: str) -> Cursor:
    if len(word) > LONGEST:
        raise ValueError
    raw = urlsafe_b64decode(word.encode("ascii") + b"=" * (-len(word) % 4))
    if raw[0] != VERSION:
        raise ValueError
    numbers = _taken(raw[1:])
    count, latest = _next(numbers), _next(numbers)
    found = tuple(_position(numbers, latest) for _ in range(min(count, len(raw))))
    if next(numbers, None) is not None:
        raise ValueError
    return found


def _taken(raw: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in raw:
        number |= (byte & _LOW) << shift
        shift += 7
        if not byte & _MORE:
            yield number
            number = shift = 0
    if shift:
        raise ValueError


def _position(numbers: Iterator[int], latest: int) -> Position:
    age = _next(numbers)
    if age == 0:
        return START
    at = Position(latest - age + 1, _next(numbers))
    if not 0 <= at.ms <= _LARGEST or at.seq > _LARGEST:
        raise ValueError
    return at


def _next(numbers: Iterator[int]) -> int:
    found = next(numbers, None)
    if found is None:
        raise ValueError
    return found


def _malformed(why: str) -> BadRequest:
    return BadRequest(
        f"The cursor {why}. Give the id of an event of this feed, as it came, or none to begin at now."
    )
