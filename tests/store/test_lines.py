"""The format of an export: what is altered, cut off, left out or moved is told by its line."""

import io
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.errors import BadRequest
from entitlements.store import lines
from entitlements.store.lines import Binary, Header, Part, Sums, parts, raw, read, text, written

HEADER = Header(partitions=64, policy="0" * 16, livemode="false", created=1)
PARTS = [
    Part(key=f"ent:{{{n}}}:e:evt_{n}", type="string", data=[["ignored d"]], expires_ms=n or None)
    for n in range(5)
]


def made(found: Sequence[Part] = PARTS, header: Header = HEADER) -> list[bytes]:
    """Return the lines of a whole file."""
    sums = Sums()
    whole = [written(sums, header), *(written(sums, part) for part in found)]
    return [*whole, written(sums, sums.end())]


def refused(content: bytes) -> str:
    """Return why a file is refused."""
    with pytest.raises(BadRequest) as refusal:
        list(read(io.BytesIO(content)))
    return str(refusal.value)


def test_what_is_written_is_read() -> None:
    """Each value in its line."""
    found = list(read(io.BytesIO(b"".join(made()))))
    assert [n for n, _ in found] == list(range(1, 8))
    assert [value for _, value in found][:-1] == [HEADER, *PARTS]


@given(st.binary())
def test_any_bytes_travel(value: bytes) -> None:
    """As text where they are text, and whole in any case."""
    assert raw(text(value)) == value
    (part,) = parts("ent:x", "string", [[text(value)]])
    ((_, _), (_, found), _) = read(io.BytesIO(b"".join(made([part]))))
    assert found == part


def test_what_is_no_base64_is_refused() -> None:
    """Bytes are never guessed."""
    with pytest.raises(BadRequest, match="base64"):
        raw(Binary("?"))


@given(st.data())
def test_no_altered_byte_passes(data: st.DataObject) -> None:
    """Wherever it stands."""
    whole = b"".join(made())
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    assert "line " in refused(whole[:at] + bytes([other]) + whole[at + 1 :])


@given(st.data())
def test_no_truncated_file_passes(data: st.DataObject) -> None:
    """Wherever it was cut."""
    whole = b"".join(made())
    assert "cut off" in refused(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda w: w[:3] + w[4:], "line 4: another line stood here"),
        (lambda w: [*w[:3], w[4], w[3], *w[5:]], "line 4: another line stood here"),
        (lambda w: [*w, w[-1]], "line 8: there is more after the end"),
        (lambda w: w[:-1], "line 7: the end is missing"),
        (lambda w: w[1:], "line 1: another line stood here"),
        (lambda w: [*made(PARTS[:4])[:5], *w[5:6], *made(PARTS[::-1])[6:]], "line 7: its sums"),
        (lambda _: [], "line 1: the end is missing"),
    ],
)
def test_lines_that_are_each_whole_and_wrong_together(
    change: Callable[[list[bytes]], list[bytes]], complaint: str
) -> None:
    """Left out, moved, added, or of another file."""
    assert complaint in refused(b"".join(change(made())))


def sealed(n: int, body: str) -> bytes:
    """Return a line with the right checksum."""
    inner = b'{"n":%d,%s' % (n, body.encode())
    return b'%s,"crc":"%08x"}\n' % (inner, zlib.crc32(inner))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('"line":"part","key":"ent:x","type":"odd","data":[]', "line 2: it is not of this format"),
        ('"line":"part","key":"other","type":"set","data":[]', "line 2: 'other' is no key of ours"),
        (
            '"line":"header","partitions":1,"policy":"","livemode":"","created":1',
            "line 2: the header",
        ),
    ],
)
def test_a_line_that_is_sealed_and_wrong(body: str, complaint: str) -> None:
    """A checksum is not all."""
    assert complaint in refused(made()[0] + sealed(2, body))


def test_another_format_is_refused() -> None:
    """A later version may mean something else by the same words."""
    header = Header(partitions=64, policy="", livemode="", created=1, version=2)
    assert "it is entitlements-export 2" in refused(b"".join(made(header=header)))


def test_a_large_key_takes_several_lines() -> None:
    """Each knows how many elements came before, and only the first counts as a key."""
    elements = [[f"field {n}", "x" * (lines.PART // 3)] for n in range(10)]
    found = list(parts("ent:h", "hash", elements))
    assert [part.offset for part in found] == [0, 3, 6, 9]
    assert [row for part in found for row in part.data] == elements
    *_, (_, end) = read(io.BytesIO(b"".join(made(found))))
    assert isinstance(end, lines.End)
    assert end.keys == {"hash": 1}
