"""The cursor of the change feed: short, exact, and read strictly."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from entitlements.cursor import START, Cursor, Position, before, decode, encode, position
from entitlements.errors import BadRequest

positions = st.builds(Position, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
cursors = st.lists(positions | st.just(START), min_size=1, max_size=64).map(tuple)


def word(*raw: int) -> str:
    """Return bytes as a cursor writes them."""
    return urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()


@given(cursors)
@example((START,))
@example((Position(0, 1), Position(2**64 - 1, 0)))
def test_what_is_written_is_read(cursor: Cursor) -> None:
    """Any positions of any number of partitions."""
    assert decode(encode(cursor), len(cursor)) == cursor


@given(cursors, cursors)
def test_two_cursors_are_two_words(one: Cursor, other: Cursor) -> None:
    """No cursor is written like another one."""
    assert (encode(one) == encode(other)) == (one == other)


@given(cursors, st.data())
def test_a_part_of_one_is_none(cursor: Cursor, data: st.DataObject) -> None:
    """A word that was cut is refused, wherever it was cut."""
    whole = encode(cursor)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BadRequest):
        decode(whole[:end], len(cursor))


@given(st.text(max_size=200) | st.binary(max_size=80).map(lambda raw: word(*raw)))
@example(word(1, 1, 0x80))
@example(word(1, 1, 5, 7, 0))
@example(word(1, 1, 0, 0, 0))
@example(word(1, 0, 0))
@example(word(1, 2, 5, 1))
@example(word(1, 1, 0x80, 0, 0))
@example("A" * 5_000)
@example("é")
def test_anything_else_is_refused(text: str) -> None:
    """With a sentence, whatever it is; and what is not refused is the one way to write it."""
    try:
        found = decode(text, 1)
    except BadRequest:
        return
    assert encode(found) == text


def test_a_cursor_of_another_store_is_refused() -> None:
    """Its partitions are counted."""
    with pytest.raises(BadRequest, match="of a store with 2 partitions, where this has 64"):
        decode(encode((START, START)), 64)


def test_a_cursor_is_short() -> None:
    """Of a week's traffic over 64 partitions it takes 480 characters, and of a quiet store 90."""
    week = 7 * 86_400_000
    busy = tuple(Position(1_800_000_000_000 + week * p // 64, p % 3) for p in range(64))
    assert len(encode(busy)) <= 480
    assert len(encode((START,) * 64)) < 95


def test_a_position_reads_as_the_store_writes_it() -> None:
    """Both ways; and there is one just before each but the first."""
    assert (position("17-3"), str(Position(17, 3))) == (Position(17, 3), "17-3")
    assert before(Position(17, 3)) == Position(17, 2)
    assert before(Position(17, 0)) == Position(16, 2**64 - 1)
    assert before(START) == START
