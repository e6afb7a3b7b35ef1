"""Everything that asks Stripe. The library's calls block, so each runs in a thread; it repeats none of them.

Source: https://docs.stripe.com/api and stripe-python, whose own retries leave 429 out and would hide the rest.
"""

import asyncio
import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NamedTuple

import stripe

from entitlements.errors import StripeRefused, StripeUnavailable
from entitlements.model import Subject

TIMEOUT = 8.0
"""Seconds for one request: less than order.READ_SPAN, within which a read may have seen what happened."""

LIVE_BASE = "https://api.stripe.com"


class Read(NamedTuple):
    """What Stripe said a subscription is like."""

    stamp: int
    """An instant by Stripe's own clock at which the read had not begun before: all that happened earlier is in it."""
    body: bytes
    """The subscription, as JSON."""


class StripeApi:
    """Stripe, by one key. `base` is the address of the real one, of a sandbox or of a proxy."""

    def __init__(self, key: str, base: str = LIVE_BASE) -> None:
        self._client = _client(key, base)

    async def subscription(self, subject: Subject, name: str) -> Read:
        """Return what a subscription is like, and when that was.

        Raises StripeUnavailable where it may be asked again, StripeRefused where that would not help.
        """
        return await asyncio.to_thread(self._subscription, subject, name)

    def _subscription(self, subject: Subject, name: str) -> Read:
        began = time.monotonic()
        found = _asking(
            lambda: self._client.v1.subscriptions.retrieve(name, options=_options(subject))
        )
        took = time.monotonic() - began
        if took > TIMEOUT:
            raise StripeUnavailable(f"Stripe took {took:.1f} s to answer. Ask again.")
        return Read(_stamp(found.last_response.headers, took), found.last_response.body.encode())


@cache
def _quiet() -> None:
    """Keep the library from telling Stripe how long our requests took."""
    stripe.enable_telemetry = False


def _client(key: str, base: str) -> stripe.StripeClient:
    _quiet()
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
        max_network_retries=0,
    )


def _options(subject: Subject) -> Any:  # noqa: ANN401  the library's own typed dict
    return {"stripe_account": subject.account} if subject.account else {}


def _asking(call: Callable[[], Any]) -> Any:  # noqa: ANN401  whatever the library returns
    try:
        return call()
    except (stripe.RateLimitError, stripe.APIConnectionError) as error:
        raise StripeUnavailable(_said(error)) from error
    except stripe.StripeError as error:
        again = error.http_status is None or error.http_status >= 500  # noqa: PLR2004  the server's own
        raise (StripeUnavailable if again else StripeRefused)(_said(error)) from error


def _said(error: stripe.StripeError) -> str:
    """Return Stripe's own words, with what its support asks for."""
    words = error.user_message or type(error).__name__
    return f"Stripe says: {words} (request {error.request_id or 'unknown'}, status {error.http_status or 'none'})."


def _stamp(headers: Any, took: float) -> int:  # noqa: ANN401  the library passes any mapping on
    """Return when a request began at Stripe, at the latest: when it was answered, less what it took."""
    try:
        answered = parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError) as error:
        raise StripeUnavailable(
            "The answer has no Date, so nobody knows what it is an answer about. Is the API's base right?"
        ) from error
    return math.floor(answered - took)
