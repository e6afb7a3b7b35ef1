"""Stretches of time as people write them."""

import pytest

from entitlements.errors import BadRequest
from entitlements.span import read, seconds


@pytest.mark.parametrize(
    ("text", "found"),
    [("7d", 604_800), ("12h", 43_200), ("30m", 1_800), ("45s", 45), ("2w", 1_209_600), ("0d", 0)],
)
def test_a_stretch_has_a_unit(text: str, found: int) -> None:
    """Which a reader of seconds understands as well."""
    assert (seconds(text), read(text, "grace")) == (found, found)


@pytest.mark.parametrize(
    "text", ["", "d", "7", "7 d", "-7d", "7y", "1.5d", "\u0667d", "9999999999d"]
)
def test_what_is_none_is_null(text: str) -> None:
    """A number alone says no unit."""
    assert seconds(text) is None


def test_seconds_may_be_written_as_they_are() -> None:
    """Where a name says that they are seconds."""
    assert read("90", "--for") == 90


@pytest.mark.parametrize("text", ["", "\u0667", "soon", "9999999999"])
def test_what_is_neither_is_refused_by_name(text: str) -> None:
    """With an example."""
    with pytest.raises(BadRequest, match=r"--for=.* such as 7d"):
        read(text, "--for")
