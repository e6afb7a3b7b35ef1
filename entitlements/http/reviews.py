"""What policy leaves to a person, and what people decide: scope `operate`."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements import reviews
from entitlements.errors import Conflict, NotFound, StoreError
from entitlements.http import deeds, pages
from entitlements.http.deeds import WHY, Reason, answer, given
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.pages import LIMIT, STARTING_AFTER, LinkedPage
from entitlements.http.parameters import ACCOUNT, Parameter, Parameters, account_of, path_id
from entitlements.http.state import State
from entitlements.model import Entitlement
from entitlements.resolve import entitlement
from entitlements.reviews import Waiting, Wish

PATH = "/ops/v1/reviews"
SHAPE = '{"decision": "grant" or "revoke", "reason": "…"}'

Status = Literal["waiting", "decided"]
STATUS = Parameter("status", Status, "Those that wait (without it), or those that are decided.")


class ReviewWanted(Struct, forbid_unknown_fields=True):
    """A decision."""

    decision: Literal["grant", "revoke"]
    reason: Reason


class ReviewList(LinkedPage[Waiting], frozen=True):
    """A page, what waits for longest coming first."""

    url: str = PATH


class ReviewDecided(Struct, frozen=True, kw_only=True, tag_field="object", tag="review_decision"):
    """What was decided, and what is answered from then on about each feature of the subscription."""

    customer: str
    account: str | None
    subscription: str
    decision: Literal["grant", "revoke"] | None
    """Null where it was undone."""
    since: int
    """The beginning of the pause, or else of the status, that it is about, and lasts as long as."""
    reason: str
    by: str
    features: Sequence[Entitlement]


async def listing(request: Request[State]) -> Response:
    """List what waits for a person, the oldest first: why, since when, and what holds meanwhile.

    A page looks at a bounded number of entries: it may be short, or empty, while `next` leads on.
    """
    parameters = Parameters.of(request, STATUS, LIMIT, STARTING_AFTER)
    state = request.state
    found = await reviews.waiting(
        state["store"],
        int(state["clock"]()),
        pages.limit(parameters),
        pages.place(parameters),
        decided=parameters.choice(STATUS.name, "waiting", "decided") == "decided",
    )
    return answer(ReviewList.of(found.found, found.following and found.following.id))


async def decide(request: Request[State]) -> Response:
    """Decide, for as long as this pause lasts. What was decided before about it is replaced."""
    Parameters.of(request)
    said = await given(request, ReviewWanted, SHAPE)
    return await _write(request, said.decision, said.reason)


async def undo(request: Request[State]) -> Response:
    """Take a decision back: the subscription waits again."""
    return await _write(request, None, deeds.why(request))


async def _write(
    request: Request[State], access: Literal["grant", "revoke"] | None, reason: str
) -> Response:
    state, name = request.state, path_id(request, "subscription")
    deed = deeds.deed(request, reason)
    subject = await reviews.find(state["store"], name, account_of(request))
    async with state["watch"].safe():
        saying = await reviews.write(state["store"], Wish(subject, name, access), deed)
    decision = saying.after.decisions[name]
    return answer(
        ReviewDecided(
            customer=subject.customer,
            account=subject.account,
            subscription=name,
            decision=access,
            since=decision.since,
            reason=reason,
            by=deed.by,
            features=[entitlement(saying.after, f, saying.at) for f in sorted(decision.features)],
        )
    )


_EXAMPLE = {"decision": "grant", "reason": "on parental leave, back in May"}

routes = routed(
    "operations",
    Endpoint(
        method="GET",
        path=PATH,
        handler=listing,
        scope="operate",
        parameters=(STATUS, LIMIT, STARTING_AFTER),
        answers={200: ReviewList},
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{subscription}}",
        handler=decide,
        scope="operate",
        parameters=(ACCOUNT,),
        body=ReviewWanted,
        example=_EXAMPLE,
        answers={200: ReviewDecided},
        refusals=(NotFound, Conflict, StoreError),
    ),
    Endpoint(
        method="DELETE",
        path=f"{PATH}/{{subscription}}",
        handler=undo,
        scope="operate",
        parameters=(WHY, ACCOUNT),
        answers={200: ReviewDecided},
        refusals=(NotFound, StoreError),
    ),
)
