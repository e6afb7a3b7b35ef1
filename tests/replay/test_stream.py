"""Every event comes out of whatever mixture of JSON it stands in; what is none is named by its line."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.decode import NotUnderstood, decode
from entitlements.replay.stream import MOST, Piece, pieces
from entitlements.sandbox.shapes import Body
from tests.support.bodies import event, subscription

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


def told(n: int, note: str = "") -> Body:
    """Return the n-th event; a note may have anything in it."""
    return event(subscription(metadata={"note": note}), id=f"evt_{n}")


def read(raw: bytes, most: int = MOST) -> list[Piece]:
    """Return what comes out."""
    return list(pieces(io.BytesIO(raw), most))


def ids(found: list[Piece]) -> list[str]:
    """Return the ids of the events."""
    return [json.loads(piece.body)["id"] for piece in found if piece.body]


@st.composite
def written(draw: st.DrawFn, *, cut: bool) -> tuple[bytes, list[str], int]:
    """Draw a stream, the ids of its events, and how many other things are in it; perhaps some are cut off."""
    out, names, bad, n = b"", list[str](), 0, 0
    kinds = ["line", "pretty", "list", "array", "joined", "other", *(["cut"] if cut else [])]
    for _ in range(draw(st.integers(0, 5))):
        events = [told(n + k, draw(NAMES)) for k in range(draw(st.integers(1, 3)))]
        n += len(events)
        kind = draw(st.sampled_from(kinds))
        indent = draw(st.sampled_from([None, 2]))
        listed = {"object": "list", "data": events, "has_more": False}
        if kind == "cut":
            out += json.dumps(events[0])[: draw(st.integers(2, 400))].encode() + b"\n"
            bad += 1
            continue
        if kind == "other":
            out += json.dumps({"object": "customer", "id": "x"}, indent=indent).encode() + b"\n"
            bad += 1
            continue
        names += [one["id"] for one in events]
        if kind in {"line", "pretty"}:
            width = indent if kind == "pretty" else None
            out += b"".join(json.dumps(one, indent=width).encode() + b"\n" for one in events)
        elif kind == "joined":
            out += "".join(json.dumps(one) for one in events).encode() + b"\n"
        else:
            out += json.dumps(listed if kind == "list" else events, indent=indent).encode() + b"\n"
        if draw(st.booleans()):
            out += b"\n"
    return out, names, bad


@given(written(cut=False))
def test_every_event_comes_out_once_and_in_order(drawn: tuple[bytes, list[str], int]) -> None:
    """And what is no event is counted."""
    raw, names, bad = drawn
    found = read(raw)

    assert (ids(found), sum(piece.body is None for piece in found)) == (names, bad)


@given(written(cut=True))
def test_what_was_cut_off_spoils_no_event_that_is_a_line(
    drawn: tuple[bytes, list[str], int],
) -> None:
    """Nor makes one of what is none."""
    raw, names, _ = drawn
    lines = [line for line in raw.splitlines() if line.startswith(b'{"id"') and _complete(line)]
    found = ids(read(raw))

    assert set(found) <= set(names)
    assert len(found) == len(set(found))
    assert {json.loads(line)["id"] for line in lines} <= set(found)


def _complete(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_what_the_stripe_cli_prints_is_read() -> None:
    """A list over many lines, an event over many lines, and one a line."""
    listed = json.dumps({"object": "list", "data": [told(1), told(2)]}, indent=2)
    raw = f"{listed}\n{json.dumps(told(3), indent=2)}\n{json.dumps(told(4))}\n".encode()

    found = read(raw)

    assert ids(found) == ["evt_1", "evt_2", "evt_3", "evt_4"]
    assert found[0].line == found[1].line == 1
    assert found[3].line == len(raw.splitlines())


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"object":"customer"}', "its object is 'customer'"),
        (b'{"object":"list","data":{}}', "its object is 'list'"),
        (b"[1]", "its object is None"),
        (b'"evt_1"', "its object is None"),
        (b"{'id': 1}", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"}", "it is not JSON"),
    ],
)
def test_what_is_no_event_is_named_by_its_line(raw: bytes, why: str) -> None:
    """And spoils nothing around it."""
    good = json.dumps(told(1)).encode()
    found = read(good + b"\n" + raw + b"\n" + good)

    assert [piece.line for piece in found] == [1, 2, 3]
    assert why in found[1].why
    assert found[1].body is None


def test_an_event_that_only_a_lenient_parser_reads_is_kept() -> None:
    """Somebody has to look at it: it is authentic."""
    raw = json.dumps({"object": "list", "data": [told(1) | {"created": float("nan")}]}).encode()

    (found,) = read(raw)

    assert found.body
    assert isinstance(decode(found.body), NotUnderstood)


def test_memory_is_bounded() -> None:
    """A value that is too long is kept out, on one line or on many, and what comes after it is read."""
    small = b'{"object":"event","id":"evt_9"}\n'
    long = json.dumps({"object": "event", "id": "evt_1", "data": "x" * 5_000}).encode() + b"\n"
    wide = b'{"object":"list","data":[\n' + small.strip() + b"," + (b"\n" * 3_000)

    assert ids(read(long + small, 2_000)) == ["evt_9"]
    assert any(piece.body is None for piece in read(wide + b"\n" + small, 2_000))
