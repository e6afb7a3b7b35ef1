"""What can be an id: told the same way by whoever decodes and by whoever only looks."""

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from entitlements.wire import Id, is_id


@given(st.text(max_size=300) | st.from_regex(r"[a-z_0-9]{250,260}", fullmatch=True))
@example("")
@example("cus_1\n")
@example("a b")
@example("a" * 255)
@example("a" * 256)
@example("\ud800")
def test_an_id_is_what_msgspec_takes_for_one(value: str) -> None:
    """Neither knows more of them."""
    try:
        msgspec.convert(value, Id)
    except msgspec.ValidationError:
        assert not is_id(value)
    else:
        assert is_id(value)
