"""The events that tell of a change, as a webhook endpoint receives them: body, signature, headers.

Source: https://docs.stripe.com/api/events/object and https://docs.stripe.com/webhooks (signatures).
"""

import json
from hashlib import sha256
from uuid import UUID

from msgspec import Struct

from entitlements.sandbox.ids import Ids
from entitlements.sandbox.shapes import LATEST, Body, in_version
from entitlements.sandbox.subscription import Change, replaced


class Endpoint(Struct, frozen=True):
    """What a webhook endpoint fixes for every event that is sent to it."""

    api_version: str = LATEST
    account: str | None = None
    """The connected account, where the endpoint listens to those."""


HERE = Endpoint()
"""An endpoint of the platform's own account, of the latest API version."""


class Envelope(Struct, frozen=True):
    """What an event has around its object. Its times are Unix seconds."""

    id: str
    created: int
    request: str | None
    """Id of the API request behind it; null where Stripe acted by itself."""
    endpoint: Endpoint = HERE


def events(change: Change, created: int, ids: Ids, endpoint: Endpoint = HERE) -> list[Body]:
    """Return the events of a change, one for each of its types: same second, same request."""
    request = ids("req") if change.requested else None
    return [
        event(change, kind, Envelope(ids("evt"), created, request, endpoint))
        for kind in change.types
    ]


def event(change: Change, kind: str, envelope: Envelope) -> Body:
    """Return one event of a change, in the shape of its endpoint's API version."""
    endpoint = envelope.endpoint
    account = {"account": endpoint.account} if endpoint.account else {}
    return {
        "id": envelope.id,
        "object": "event",
        **account,
        "api_version": endpoint.api_version,
        "created": envelope.created,
        "data": _data(change, kind, endpoint.api_version),
        "livemode": change.after["livemode"],
        "pending_webhooks": 1,
        "request": _request(envelope.request),
        "type": kind,
    }


def encoded(event: Body) -> bytes:
    """Return an event as Stripe puts it on the wire: indented JSON."""
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def signed(body: bytes, secret: str, timestamp: int) -> dict[str, str]:
    """Return the headers of a delivery. `timestamp` (Unix seconds) is the time of sending."""
    from stripe import WebhookSignature  # here: slow to import, and rarely needed

    header = WebhookSignature.generate_signature_header(body.decode(), secret, timestamp)
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": header,
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }


def _data(change: Change, kind: str, api_version: str) -> Body:
    after = in_version(change.after, api_version)
    if change.before is None or not kind.endswith(".updated"):
        return {"object": after}
    before = in_version(change.before, api_version)
    return {"object": after, "previous_attributes": replaced(before, after)}


def _request(request: str | None) -> Body:
    """Stripe's libraries send a random UUID as the key. This one is made of the request's id, so as to stay pure."""
    if request is None:
        return {"id": None, "idempotency_key": None}
    key = UUID(bytes=sha256(request.encode()).digest()[:16], version=4)
    return {"id": request, "idempotency_key": str(key)}
