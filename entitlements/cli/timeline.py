"""An answer over time, drawn in letters: `#` where it is granted, `.` where it is denied."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from entitlements.instants import rfc3339
from entitlements.policy import DAY

if TYPE_CHECKING:
    from entitlements.explained import AnswerStretch

ROOM = 8
"""What is known to last for good is drawn for an eighth of the rest."""

LEGEND = "# granted  . denied"

DAYS = 2 * DAY
"""From this length on the ends are named by their days alone."""


def draw(stretches: "Sequence[AnswerStretch]", at: int, width: int) -> list[str]:
    """Return lines of a width: the days at both ends, the answers between them, and a mark at an instant."""
    begin = min(at, stretches[0].start)
    length = max(at, stretches[-1].start) - begin
    length += max(length // ROOM, width)

    def column(instant: int) -> int:
        return (instant - begin) * width // length

    first = column(stretches[0].start)
    ends = [*(column(s.start) for s in stretches[1:]), width]
    bar = " " * first
    for stretch, end in zip(stretches, ends, strict=True):
        letter, color = ("#", "green") if stretch.granted else (".", "red")
        bar += typer.style(letter * (end - first), fg=color) if end > first else ""
        first = end
    names = [rfc3339(t)[: 10 if length > DAYS else 20] for t in (begin, begin + length)]
    head = names[0] + LEGEND.center(width - len("".join(names))) + names[1]
    return [head, bar, _mark(column(at), at, width)]


def _mark(column: int, at: int, width: int) -> str:
    """Return the line of the mark, with its name on the side where there is room."""
    right = f"^ {rfc3339(at)}"
    if column + len(right) <= width:
        return " " * column + right
    return f"{rfc3339(at)} ^".rjust(column + 1)
