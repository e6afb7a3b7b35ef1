"""Bodies as they are kept: nothing of them is lost, and what was packed once can always be unpacked."""

import zlib
from base64 import b85decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.store.packed import pack, unpack
from tests.support.bodies import encoded, event, subscription

LONG_AGO = b85decode("0VuUE{UAoQ001a^F(NE|1OS};5P<UIg6K1!C^ya(")
"""A body that was packed when the dictionary was made."""


@given(st.binary(max_size=2_000) | st.text(max_size=500).map(str.encode))
def test_a_body_comes_out_as_it_went_in(body: bytes) -> None:
    """Whatever it is: also one that is nothing like an event."""
    assert unpack(pack(body)) == body


def test_an_event_is_small() -> None:
    """A tenth of what Stripe sends, and a third of what it would be without the dictionary."""
    body = encoded(event(subscription()))

    packed = pack(body)

    assert unpack(packed) == body
    assert len(packed) < len(body) / 10
    assert len(packed) < len(zlib.compress(body)) / 2.5


def test_what_was_packed_stays_readable() -> None:
    """With the dictionary that there is now."""
    assert (
        unpack(LONG_AGO)
        == b'{"id": "evt_1", "object": "event", "api_version": "2026-10-28.endive"}'
    )


@pytest.mark.parametrize("body", [b"", b"{}", b"\x01", encoded(event(subscription()))])
def test_what_the_first_versions_packed_is_readable(body: bytes) -> None:
    """By zlib."""
    assert unpack(zlib.compress(body, level=1)) == body
