"""Times as people write and read them."""

import pytest

from entitlements.cli.times import instant, rfc3339, span
from entitlements.errors import BadRequest

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1798761600", 1_798_761_600),
        ("2027-01-01T00:00:00Z", 1_798_761_600),
        ("2027-01-01T01:00:00+01:00", 1_798_761_600),
        ("+30d", NOW + 30 * 86_400),
        ("-2h", NOW - 7_200),
        ("+1w", NOW + 604_800),
        ("-90s", NOW - 90),
    ],
)
def test_a_time_is_read(text: str, expected: int) -> None:
    """Unix seconds, RFC 3339 and offsets are all understood."""
    assert instant(text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "30d", "+30", "+1y", "2027-01-01T00:00:00", "-99999999d", "253402300800"]
)
def test_what_is_not_a_time_is_refused_with_examples(text: str) -> None:
    """A date without an offset from UTC is refused too: it would mean something else elsewhere."""
    with pytest.raises(BadRequest, match="RFC 3339"):
        instant(text, NOW)


def test_a_time_is_shown_in_utc() -> None:
    """What is shown can be given back; nothing is shown for null."""
    assert rfc3339(1_798_761_600) == "2027-01-01T00:00:00Z"
    assert instant(rfc3339(NOW), 0) == NOW
    assert not rfc3339(None)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (41, "41 s"),
        (60, "1 min"),
        (7_500, "2 h 5 min"),
        (86_401, "1 d 1 s"),
        (90_061, "1 d 1 h"),
        (-3, "-3 s"),
    ],
)
def test_a_span_is_said_by_its_two_largest_units(seconds: int, said: str) -> None:
    """What is smaller does not matter beside them."""
    assert span(seconds) == said
