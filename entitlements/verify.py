"""Who sent it: raw bytes and a header, before anything parses them.

The only importer of the signature half of `stripe`. The library's check accepts any timestamp in the future and raises
its own kinds of error on bytes that are not text (stripe-python `_webhook.py`); both are closed here.
Source: https://docs.stripe.com/webhooks (verify manually).
"""

from collections.abc import Sequence
from typing import NamedTuple

from stripe import SignatureVerificationError, WebhookSignature

from entitlements.errors import SignatureInvalid

TOLERANCE = 300
"""Seconds by which a timestamp may differ from now, either way."""

MAX_DIGITS = 12
MAX_HEADER = 4096
"""Bytes. Stripe sends about a hundred for each secret in use."""


class Verified(NamedTuple):
    """What is proven of a delivery: when it was signed (Unix seconds), and with which of the secrets."""

    at: int
    secret: str


def verify(body: bytes, header: bytes | None, secrets: Sequence[str], now: float) -> Verified:
    """Check Stripe's signature of a webhook.

    Takes the raw body, the raw `Stripe-Signature` header, the secrets any of which may have signed, and Unix seconds.
    Raises SignatureInvalid, saying what was wrong, wherever it is not proven.
    """
    if not header:
        raise SignatureInvalid(
            "The Stripe-Signature header is missing. Only Stripe's own deliveries are accepted."
        )
    text = _text(header, "Stripe-Signature header")
    signed_at = _timestamp(text)
    if abs(now - signed_at) > TOLERANCE:
        raise SignatureInvalid(
            f"The signature's timestamp is {_distance(now - signed_at)}, more than {TOLERANCE} s. "
            "Check the clock of this machine, or have Stripe send the event again: each delivery is signed anew."
        )
    payload = _text(body, "body")
    matching = [s for s in secrets if _matches(payload, text, s)]  # all of them: constant work
    if not matching:
        raise SignatureInvalid(
            "No configured secret made this signature. Compare ENTITLEMENTS_WEBHOOK_SECRETS with the endpoint's "
            "signing secret in Stripe, and let nothing between Stripe and here change the body."
        )
    return Verified(signed_at, matching[0])


def _text(raw: bytes, what: str) -> str:
    if what != "body" and (len(raw) > MAX_HEADER or not raw.isascii()):
        raise SignatureInvalid(
            f"The {what} is not one that Stripe sends: over {MAX_HEADER} bytes, or not ASCII."
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise SignatureInvalid(
            f"The {what} is not UTF-8. Stripe signs and sends UTF-8 only."
        ) from error


def _timestamp(header: str) -> int:
    """Return `t` of the header, which the library would look for as well."""
    stamps = [part[2:] for part in header.split(",") if part.startswith("t=")]
    if len(stamps) != 1 or not stamps[0].isdigit() or len(stamps[0]) > MAX_DIGITS:
        raise SignatureInvalid(
            'The Stripe-Signature header is malformed. It should read "t=<seconds>,v1=<hex>".'
        )
    return int(stamps[0])


def _matches(payload: str, header: str, secret: str) -> bool:
    """Ask the library, which compares in constant time. The timestamp has been judged already."""
    try:
        return bool(WebhookSignature.verify_header(payload, header, secret, tolerance=None))
    except SignatureVerificationError:
        return False


def _distance(seconds: float) -> str:
    return f"{seconds:.0f} s old" if seconds > 0 else f"{-seconds:.0f} s in the future"
