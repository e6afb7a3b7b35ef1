"""Who sent it: only what a configured secret signed, lately, comes through."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.errors import SignatureInvalid
from entitlements.verify import MAX_HEADER, TOLERANCE, verify

NOW = 1_800_000_000
SECRET, OTHER = "whsec_one", "whsec_two"
BODY = '{"id":"evt_1","name":"Zoë"}'.encode()


def v1(body: bytes = BODY, at: int = NOW, secret: str = SECRET) -> str:
    """Return a signature by Stripe's published recipe, made without Stripe's library."""
    return hmac.new(secret.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()


def header(body: bytes = BODY, at: int = NOW, secret: str = SECRET) -> bytes:
    """Return the header of a delivery."""
    return f"t={at},v1={v1(body, at, secret)}".encode()


@pytest.mark.parametrize(
    "sent",
    [
        header(),
        f"t={NOW},v1={'0' * 64},v1={v1()}".encode(),
        f"t={NOW},v1={v1()},v1={'0' * 64}".encode(),
        f"t={NOW},v1={v1()},v0={v1()}".encode(),
        f"v0=anything,v1={v1()},t={NOW}".encode(),
        f"t={NOW},v1={v1()},v9=a=b".encode(),
    ],
)
def test_a_signature_of_stripes_recipe_is_accepted(sent: bytes) -> None:
    """One right `v1` is enough, wherever it stands; other schemes are passed over."""
    assert verify(BODY, sent, [SECRET], NOW) == (NOW, SECRET)


@pytest.mark.parametrize("secret", [SECRET, OTHER, "whsec_ü"])
def test_any_secret_may_have_signed(secret: str) -> None:
    """While a secret is rolled, deliveries of both come through."""
    assert verify(BODY, header(secret=secret), [SECRET, OTHER, "whsec_ü"], NOW) == (NOW, secret)


@pytest.mark.parametrize("body", [b"", b"{}", b"\x00", "\U0001f600".encode()])
def test_any_text_can_be_signed(body: bytes) -> None:
    """What is signed is bytes that are UTF-8; whether they are an event is not asked here."""
    assert verify(body, header(body), [SECRET], NOW) == (NOW, SECRET)


@pytest.mark.parametrize("off", [-TOLERANCE, 0, TOLERANCE])
def test_a_timestamp_within_the_tolerance_is_accepted(off: int) -> None:
    """Five minutes either way are within it."""
    assert verify(BODY, header(at=NOW + off), [SECRET], NOW) == (NOW + off, SECRET)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (NOW + TOLERANCE + 1, "301 s old"),
        (NOW + TOLERANCE + 0.75, "301 s old"),
        (NOW - TOLERANCE - 1, "301 s in the future"),
        (NOW - TOLERANCE - 0.75, "301 s in the future"),
    ],
)
def test_a_timestamp_beyond_the_tolerance_is_refused(now: float, said: str) -> None:
    """A replayed delivery is refused, and so is one from the future, with the distance."""
    with pytest.raises(SignatureInvalid, match=said):
        verify(BODY, header(), [SECRET], now)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (None, "is missing"),
        (b"", "is missing"),
        (b"nonsense", "malformed"),
        (b"t=", "malformed"),
        (b"t=now,v1=00", "malformed"),
        (b"t=-1,v1=00", "malformed"),
        (b"t= 1800000000,v1=00", "malformed"),
        (b"t=1800000000.0,v1=00", "malformed"),
        (b"t=" + b"1" * 13 + b",v1=00", "malformed"),
        (b"v1=" + v1().encode(), "malformed"),
        (header() + b"," + header(), "malformed"),
        (header() + b",t=1800000000", "malformed"),
        (header() + "é".encode(), "not ASCII"),
        (header() + b"\xff", "not ASCII"),
        (header() + b" " * MAX_HEADER, "over 4096 bytes"),
        (b"t=1800000000", "No configured secret"),
        (b"t=1800000000,v1=", "No configured secret"),
        (b"t=1800000000,v1", "No configured secret"),
        (f"t={NOW},v0={v1()}".encode(), "No configured secret"),
        (f"t={NOW},v1={v1()[:-1]}".encode(), "No configured secret"),
        (f"t={NOW - 1},v1={v1()}".encode(), "No configured secret"),
        (header(secret=OTHER), "No configured secret"),
        (header(BODY + b" "), "No configured secret"),
    ],
)
def test_every_other_header_is_refused(sent: bytes | None, said: str) -> None:
    """What is missing, malformed, oversized or signed otherwise is refused in words of its own."""
    with pytest.raises(SignatureInvalid, match=said):
        verify(BODY, sent, [SECRET], NOW)


def test_without_a_secret_nothing_is_accepted() -> None:
    """A service that has no secret trusts nobody."""
    with pytest.raises(SignatureInvalid, match="No configured secret"):
        verify(BODY, header(), [], NOW)


@pytest.mark.parametrize("body", [b"\xff", b"\xed\xa0\x80"])
def test_a_body_that_is_not_text_is_refused(body: bytes) -> None:
    """Stripe sends UTF-8 only, even where the bytes are rightly signed."""
    with pytest.raises(SignatureInvalid, match="not UTF-8"):
        verify(body, header(body), [SECRET], NOW)


def test_no_refusal_repeats_a_secret() -> None:
    """A refusal is shown to whoever sent the request."""
    with pytest.raises(SignatureInvalid) as refused:
        verify(BODY, header(secret=OTHER), [SECRET], NOW)
    assert SECRET not in str(refused.value)


bodies = st.binary(max_size=64) | st.just(BODY)
headers = (
    st.binary(max_size=64)
    | st.text(alphabet="tv01=, .\x00é", max_size=24).map(str.encode)
    | st.text(max_size=32).map(lambda tail: header() + tail.encode("utf-8", "surrogatepass"))
    | st.lists(st.sampled_from(["t=1800000000", "v1=00", "v1", "t", "=", ""])).map(
        lambda parts: ",".join(parts).encode()
    )
)


@given(bodies, headers, st.lists(st.text(max_size=8), max_size=3))
def test_whatever_comes_is_refused_in_one_way(body: bytes, sent: bytes, secrets: list[str]) -> None:
    """Bytes that no configured secret signed raise SignatureInvalid and nothing else."""
    with pytest.raises(SignatureInvalid):
        verify(body, sent, secrets, NOW)


@given(st.data())
def test_one_changed_bit_is_refused(data: st.DataObject) -> None:
    """A change of any bit of the body makes the signature another one's."""
    at = data.draw(st.integers(0, len(BODY) * 8 - 1))
    changed = bytearray(BODY)
    changed[at // 8] ^= 1 << at % 8
    with pytest.raises(SignatureInvalid):
        verify(bytes(changed), header(), [SECRET], NOW)
