"""What people have Stripe do: pause collection, collect again, open the customer portal. Scope `operate`."""

from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements import at_stripe
from entitlements.at_stripe import Collection, Order
from entitlements.errors import (
    StoreError,
    StripeKeyMissing,
    StripeMissing,
    StripeRefused,
    StripeUnavailable,
)
from entitlements.http import deeds
from entitlements.http.deeds import Reason, Reasoned, answer, given, given_reason
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.parameters import ACCOUNT, Parameter, Parameters, account_of, path_id
from entitlements.http.state import State
from entitlements.model import KnownBehavior
from entitlements.stripe_api.shapes import Flow, Pause, PortalRequest, PortalSession
from entitlements.wire import Id, Seconds, id_if

PATH = "/ops/v1/subscriptions/{id}"
REFUSALS = (StripeMissing, StripeRefused, StripeKeyMissing, StripeUnavailable, StoreError)

IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    Id,
    "Under which Stripe does this once, however often it is sent; one is made up without it.",
    "header",
)
Address = Annotated[str, Meta(min_length=1, max_length=2_048)]


class PauseOrder(Struct, forbid_unknown_fields=True):
    """How collection is to be paused. Without `resumes_at` (Unix seconds), until somebody resumes it."""

    behavior: KnownBehavior
    reason: Reason
    resumes_at: Seconds | None = None


class PortalOrder(Struct, forbid_unknown_fields=True):
    """What a portal session is to be like: null is as Stripe's default has it.

    A `flow` leads to one purpose alone; those that are about a subscription name it in `subscription`.
    """

    customer: Id
    reason: Reason
    configuration: Id | None = None
    return_url: Address | None = None
    flow: Flow | None = None
    subscription: Id | None = None


async def pause(request: Request[State]) -> Response:
    """Pause the collection of payment for a subscription, at Stripe; tell what Stripe holds now.

    Access follows from the webhook that Stripe sends of it, as always.
    """
    asked = await given(request, PauseOrder, '{"behavior": "void", "reason": "…"}')
    return await _change(request, Pause(asked.behavior, asked.resumes_at), asked.reason)


async def resume(request: Request[State]) -> Response:
    """Collect payment for a subscription again, at Stripe; tell what Stripe holds now."""
    return await _change(request, None, await given_reason(request))


async def _change(request: Request[State], pause: Pause | None, reason: str) -> Response:
    Parameters.of(request)
    state, key = request.state, _key(request)
    order = Order(path_id(request, "id"), pause, account_of(request))
    deed = deeds.deed(request, reason)
    async with state["watch"].safe():
        done = await at_stripe.change(state["stripe"](), state["store"], order, deed, key)
    return answer(done)


async def open_portal(request: Request[State]) -> Response:
    """Make a session of the customer portal: its `url` is the customer's way in, for a short while."""
    Parameters.of(request)
    asked = await given(request, PortalOrder, '{"customer": "cus_…", "reason": "…"}')
    state, key, account = request.state, _key(request), account_of(request)
    wanted = PortalRequest(
        asked.customer, asked.configuration, asked.return_url, asked.flow, asked.subscription
    )
    deed = deeds.deed(request, asked.reason)
    async with state["watch"].safe():
        made = await at_stripe.open_portal(
            state["stripe"](), state["store"], wanted, deed, key=key, account=account
        )
    return answer(made)


def _key(request: Request[State]) -> str | None:
    return id_if(request.headers.get("idempotency-key"), "the Idempotency-Key header")


_HEADERS = (ACCOUNT, IDEMPOTENCY_KEY)

routes = routed(
    "operations",
    Endpoint(
        method="POST",
        path=f"{PATH}/pause",
        handler=pause,
        scope="operate",
        parameters=_HEADERS,
        body=PauseOrder,
        example={"behavior": "void", "reason": "asked for a break"},
        answers={200: Collection},
        refusals=REFUSALS,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/resume",
        handler=resume,
        scope="operate",
        parameters=_HEADERS,
        body=Reasoned,
        example={"reason": "is back"},
        answers={200: Collection},
        refusals=REFUSALS,
    ),
    Endpoint(
        method="POST",
        path="/ops/v1/portal-sessions",
        handler=open_portal,
        scope="operate",
        parameters=_HEADERS,
        body=PortalOrder,
        example={"customer": "cus_1", "configuration": "bpc_1", "reason": "asked for the portal"},
        answers={200: PortalSession},
        refusals=REFUSALS,
    ),
)
