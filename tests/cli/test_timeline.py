"""An answer over time, drawn: the right letter at the right place, and the mark where it is asked about."""

import pytest
from click import unstyle
from hypothesis import given
from hypothesis import strategies as st

from entitlements.cli.timeline import LEGEND, draw
from entitlements.explained import AnswerStretch
from entitlements.instants import rfc3339
from tests.support.histories import MONTH, START

WIDTH = 60


def stretches(*starts: int) -> list[AnswerStretch]:
    """Return stretches that begin at these instants, granted and denied in turn."""
    ends = [*starts[1:], None]
    return [
        AnswerStretch(
            start=start,
            until=end,
            granted=n % 2 == 0,
            reason="active",
            rule=None,
            subscription=None,
            quantity=1,
        )
        for n, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def drawn(found: list[AnswerStretch], at: int) -> list[str]:
    """Return what is drawn, without colours."""
    return [unstyle(line) for line in draw(found, at, WIDTH)]


def test_it_is_drawn_to_scale() -> None:
    """Half of the time granted is half of the letters; what lasts for good is drawn too."""
    head, bar, mark = drawn(stretches(START, START + MONTH, START + 2 * MONTH), START + MONTH)

    assert head.split() == ["2027-01-15", *LEGEND.split(), "2027-03-23"]
    assert (bar.count("#", 0, 30), bar.count("."), len(bar)) == (26, 27, WIDTH)
    assert bar.strip("#") == "." * 27
    assert mark.index("^") == bar.index(".")
    assert mark.endswith(f"^ {rfc3339(START + MONTH)}")


def test_before_the_first_answer_nothing_is_drawn() -> None:
    """The mark may lie there."""
    _, bar, mark = drawn(stretches(START), START - MONTH)
    assert bar.strip() == "#" * (WIDTH - bar.index("#"))
    assert bar.index("#") > WIDTH / 2
    assert mark.startswith("^ ")


def test_a_short_time_is_named_by_its_seconds() -> None:
    """Days alone would be the same on both sides."""
    head, bar, mark = drawn(stretches(START), START)
    assert head.startswith(rfc3339(START))
    assert (bar, mark) == ("#" * WIDTH, f"^ {rfc3339(START)}")


@given(
    st.lists(st.integers(START, START + 9 * MONTH), min_size=1, max_size=12, unique=True),
    st.integers(START - MONTH, START + 12 * MONTH),
    st.integers(70, 120),
)
def test_every_line_fits_and_the_mark_stands_in_its_answer(
    starts: list[int], at: int, width: int
) -> None:
    """Whatever is drawn; a letter of another answer stands under the mark only where both share a column."""
    found = stretches(*sorted(starts))
    head, bar, mark = (unstyle(line) for line in draw(found, at, width))
    assert {len(head), len(bar)} == {width}
    assert len(mark) <= width
    column, last = mark.index("^"), max(at, found[-1].start)
    length = last - min(at, found[0].start)
    length += max(length // 8, width)
    here = [s for s in found if s.start <= at][-1:]
    near = [s for s in found if s.start > at and (s.start - at) * width <= length]
    letters = {"#" if s.granted else "." for s in (*here, *near)} | (set() if here else {" "})
    assert bar[column] in letters


@pytest.mark.parametrize("granted", [True, False])
def test_its_colours_are_those_of_the_answer(granted: bool) -> None:  # noqa: FBT001  a parameter of a test
    """Green and red, which a terminal alone is shown."""
    found = stretches(START, START + 1)[0 if granted else 1 :]
    assert ("\x1b[32m" if granted else "\x1b[31m") in draw(found[:1], START, WIDTH)[1]
