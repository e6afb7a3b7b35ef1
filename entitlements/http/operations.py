"""For people: what they may see and do about decisions, with the scope `operate`."""

from collections.abc import AsyncIterator, Mapping

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from entitlements import policy_file
from entitlements.errors import BadRequest, PolicyError, StoreUnavailable
from entitlements.http import (
    at_stripe,
    body,
    events,
    explain,
    overrides,
    paused,
    quarantine,
    replays,
    reviews,
    sheet,
)
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.state import State
from entitlements.policy import Policy
from entitlements.preview import COLUMNS, Tally, preview, row
from entitlements.redecide import Difference, Kind

LISTED = 1_000
"""Differences that a JSON answer names; a CSV names all."""


class PolicyPreview(Struct, frozen=True, tag_field="object", tag="policy_preview"):
    """What a policy would change, summed up, with the first who are concerned."""

    policy: str
    in_force: str
    customers: int
    concerned: Mapping[Kind, int]
    answers: Mapping[Kind, int]
    features: Mapping[str, Mapping[Kind, int]]
    data: list[Difference]
    has_more: bool


async def preview_policy(request: Request[State]) -> Response:
    """Preview the policy that is posted as TOML: JSON with the sums, or with `Accept: text/csv` every difference."""
    try:
        text = (await body.read(request)).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not text. Post a policy file (TOML, UTF-8).") from error
    policy = policy_file.parse(text)
    if sheet.wanted(request):
        return StreamingResponse(_csv(request.state, policy), media_type=sheet.MEDIA_TYPE)
    found = await _summed(request.state, policy)
    return Response(msgspec.json.encode(found), media_type="application/json")


async def _summed(state: State, policy: Policy) -> PolicyPreview:
    tally, listed = Tally(), list[Difference]()
    async for step in preview(state["store"], policy, int(state["clock"]())):
        tally.add(step)
        listed += step.found[: LISTED - len(listed)]
    return PolicyPreview(
        policy=policy.digest,
        in_force=state["ingest"].policy.digest,
        customers=tally.customers,
        concerned=tally.concerned,
        answers=tally.answers,
        features=tally.features,
        data=listed,
        has_more=sum(tally.answers.values()) > len(listed),
    )


async def _csv(state: State, policy: Policy) -> AsyncIterator[str]:
    yield sheet.lines([COLUMNS])
    async for step in preview(state["store"], policy, int(state["clock"]())):
        yield sheet.lines(map(row, step.found))


routes = [
    *routed(
        "operations",
        Endpoint(
            method="POST",
            path="/ops/v1/policy/preview",
            handler=preview_policy,
            scope="operate",
            body={"application/toml": str},
            example='[status]\npast_due = "revoke"\n',
            answers={200: {"application/json": PolicyPreview, sheet.MEDIA_TYPE: str}},
            refusals=(PolicyError, StoreUnavailable),
        ),
    ),
    *events.routes,
    *explain.routes,
    *quarantine.routes,
    *replays.routes,
    *paused.routes,
    *at_stripe.routes,
    *overrides.routes,
    *reviews.routes,
]
