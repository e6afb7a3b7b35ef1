"""Stripe's deliveries: verify, ingest, and only then 200."""

import asyncio
import time
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta, Raw
from starlette.requests import Request
from starlette.responses import Response

from entitlements import metrics
from entitlements.errors import (
    EntitlementsError,
    SignatureInvalid,
    StoreError,
    StoreUnavailable,
)
from entitlements.http import body
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.parameters import Parameter
from entitlements.http.problems import refused
from entitlements.http.state import State
from entitlements.ingest import Receipt
from entitlements.verify import verify

PATIENCE = 0.9
"""Seconds in which a delivery is stored or refused, so that Stripe never has to wait for a store that hangs."""

SIGNATURE = Parameter(
    "Stripe-Signature",
    str,
    "`t=<Unix seconds>,v1=<hex>`: the HMAC-SHA256 of `<t>.<body>` with the endpoint's signing secret.",
    "header",
    required=True,
)
Event = Annotated[
    Raw, Meta(description="An event as Stripe sends it: https://docs.stripe.com/api/events/object")
]

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


async def receive(request: Request[State]) -> Response:
    """Take in one delivery. A 2xx means stored; a 4xx that sending it again cannot help; 503 that it can."""
    began = time.perf_counter()
    try:
        receipt = await _take(request)
    except EntitlementsError as error:
        metrics.webhook_refused(type(error).__name__)
        log.warning("webhook_refused", error=type(error).__name__, detail=str(error))
        return refused(request, error)
    metrics.webhook(receipt.outcome, time.perf_counter() - began)
    log.info("webhook", **_told(receipt))
    return Response(_encode(receipt), media_type="application/json")


def _told(receipt: Receipt) -> dict[str, str | int]:
    """Return a receipt as a line of the log has it; `event` there is the name of the line."""
    said = msgspec.structs.asdict(receipt)
    return {"stripe_event" if k == "event" else k: v for k, v in said.items() if v is not None}


async def _take(request: Request[State]) -> Receipt:
    state = request.state
    raw = await body.read(request)
    header = b",".join(v for k, v in request.headers.raw if k == b"stripe-signature")
    now = state["clock"]()
    proven = verify(raw, header, state["settings"].webhook_secrets, now)
    try:
        async with asyncio.timeout(PATIENCE), state["watch"].safe():
            receipt = await state["ingest"].deliver(raw, now)
    except TimeoutError as error:
        raise StoreUnavailable("The store did not answer in time. Send the event again.") from error
    await state["signing"].verified(proven.secret, now)
    return receipt


endpoint = Endpoint(
    method="POST",
    path="/webhooks/stripe",
    handler=receive,
    parameters=(SIGNATURE,),
    body=Event,
    answers={200: Receipt},
    refusals=(SignatureInvalid, StoreError),
)
routes = routed("webhooks", endpoint)
