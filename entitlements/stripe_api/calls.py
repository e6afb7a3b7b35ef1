"""One call of Stripe's API: the library's own blocks, so each runs in a thread; it repeats none of them.

The library signs, sends and tells errors apart. What was answered is kept as bytes: its own objects cost a hundred
times what decoding them costs (stripe.StripeObject), and our decode wants bytes.

Source: https://docs.stripe.com/api and stripe-python, whose own retries leave 429 out and would hide the rest.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import stripe

from entitlements.errors import StripeError, StripeMissing, StripeRefused, StripeUnavailable

TIMEOUT = 8.0
"""Seconds for one request: less than order.READ_SPAN, within which a read may have seen what happened."""

LIVE_BASE = "https://api.stripe.com"

_WORDS = 500
"""Characters of Stripe's own words."""

Params = Mapping[str, Any]
"""As the library encodes them: nested mappings and lists. None is left out, "" is sent empty."""


class Answer(NamedTuple):
    """What Stripe answered."""

    stamp: int
    """An instant by Stripe's own clock at which the call had not begun before: all that happened earlier is in it."""
    body: bytes


class Calls:
    """Calls by one key, at one base address."""

    def __init__(self, key: str, base: str = LIVE_BASE) -> None:
        self._client = _client(key, base)
        self._base = base

    async def get(self, url: str, params: Params, account: str | None = None) -> Answer:
        """Read. `account` is a connected one.

        Raises StripeUnavailable where it may be asked again, StripeRefused where that would not help.
        """
        return await asyncio.to_thread(self._call, "get", url, {**params, **_account(account)})

    async def post(self, url: str, params: Params, key: str, account: str | None = None) -> Answer:
        """Write. Under one idempotency key Stripe does a thing once, however often asked. Raises as `get` does."""
        given = {**params, **_account(account), "idempotency_key": key}
        return await asyncio.to_thread(self._call, "post", url, given)

    def _call(self, method: Literal["get", "post"], url: str, params: dict[str, Any]) -> Answer:
        began = time.monotonic()
        try:
            found: Any = self._client.raw_request(method, url, **params)
        except stripe.APIConnectionError as error:
            why = type(error.__cause__ or error).__name__
            raise StripeUnavailable(f"Stripe cannot be reached at {self._base} ({why}).") from error
        except stripe.RateLimitError as error:
            raise StripeUnavailable(_said(error)) from error
        except stripe.StripeError as error:
            raise _kind(error)(_said(error)) from error
        took = time.monotonic() - began
        in_time(took)
        return Answer(_stamp(found.headers, took), found.body.encode())


def in_time(took: float) -> None:
    """Raise StripeUnavailable where an answer took so long that its stamp says too little."""
    if took > TIMEOUT:
        raise StripeUnavailable(f"Stripe took {took:.1f} s to answer. Ask again.")


def path(*parts: str) -> str:
    """Return an address below `/v1`; a part may be anything that somebody typed."""
    return "/".join(("/v1", *(quote(part, safe="") for part in parts)))


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


def _account(account: str | None) -> dict[str, str]:
    return {"stripe_account": account} if account else {}


def _kind(error: stripe.StripeError) -> type[StripeError]:
    if error.http_status is None or error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return StripeUnavailable
    return StripeMissing if error.code == "resource_missing" else StripeRefused


def _said(error: stripe.StripeError) -> str:
    """Return Stripe's own words, with what its support asks for."""
    words = " ".join((error.user_message or type(error).__name__).split())[:_WORDS]
    return f"Stripe says: {words} (request {error.request_id or 'unknown'}, status {error.http_status or 'none'})."


def _stamp(headers: Mapping[str, str], took: float) -> int:
    """Return when a request began at Stripe, at the latest: when it was answered, less what it took."""
    try:
        answered = parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError) as error:
        raise StripeUnavailable(
            "The answer has no Date, so nobody knows what it is an answer about. Is the API's base right?"
        ) from error
    return math.floor(answered - took)
