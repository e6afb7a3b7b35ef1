"""What people say over policy, and what they said: scope `operate`."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from entitlements import overrides, span
from entitlements.errors import Conflict, NotFound, StoreError, StoreUnavailable
from entitlements.http import deeds, pages
from entitlements.http.deeds import WHY, Reason, answer, given
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.pages import LIMIT, STARTING_AFTER, Page
from entitlements.http.parameters import ACCOUNT, Parameter, Parameters, path_id, subject_of
from entitlements.http.state import State
from entitlements.model import Entitlement, Override, Subject
from entitlements.overrides import Wish
from entitlements.resolve import entitlement
from entitlements.store.places import Span
from entitlements.wire import Seconds
from entitlements.words import Word

PATH = "/ops/v1/customers/{customer}/overrides"
EXPIRING = "/ops/v1/overrides"
SHAPE = '{"access": "grant" or "deny", "reason": "…", "expires_at": Unix seconds or null}'

EXPIRES_WITHIN = Parameter(
    "expires_within",
    Annotated[str, Meta(pattern=rf"^{span.PATTERN}\Z")],
    "They expire within this time: seconds, or such as 7d. Without it all that expire.",
)


class OverrideWanted(Struct, forbid_unknown_fields=True):
    """An override as it is set."""

    access: Literal["grant", "deny"]
    reason: Reason
    expires_at: Seconds | None = None


class OverrideShown(Struct, frozen=True, kw_only=True, tag_field="object", tag="override"):
    """An override that holds, or held until now. Times are Unix seconds."""

    customer: str
    feature: str
    access: Literal["grant", "deny"]
    reason: str
    expires_at: int | None
    created: int
    by: str | None
    """Who set it; null where that was not noted."""
    account: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    """Of an entry in the list of all customers: where it stands in it."""
    deleted: bool | UnsetType = UNSET
    entitlement: Entitlement | UnsetType = UNSET
    """After a write: what is answered now."""


class OverrideSaid(Struct, frozen=True, tag_field="object", tag="override_change"):
    """What was once said about a feature."""

    feature: str
    access: Literal["grant", "deny"] | None
    """Null where an override was taken back."""
    reason: str
    expires_at: int | None
    at: int
    by: str | None


class OverrideList(Struct, frozen=True, tag_field="object", tag="list"):
    """The overrides of a customer that hold, and all that was said before, the newest first."""

    data: Sequence[OverrideShown]
    has_more: bool
    url: str
    history: Sequence[OverrideSaid]
    history_from: int
    """The instant from which on the history is whole; 0 where nothing of it is gone."""


class ExpiringList(Page[OverrideShown], frozen=True):
    """A page of overrides of all customers, those that expire first coming first."""

    url: str = EXPIRING


async def of_customer(request: Request[State]) -> Response:
    """List a customer's overrides, with the history: who said what, when and why."""
    Parameters.of(request)
    subject, state = subject_of(request), request.state
    found = await overrides.of_customer(state["store"], subject, int(state["clock"]()))
    return answer(
        OverrideList(
            data=[_shown(subject, word) for word in found.holding],
            has_more=False,
            url=request.url.path,
            history=[_said(word) for word in reversed(found.words.overrides)],
            history_from=found.words.settled,
        )
    )


async def one(request: Request[State]) -> Response:
    """Show the override that holds for a feature."""
    Parameters.of(request)
    subject, feature, state = subject_of(request), path_id(request, "feature"), request.state
    word = await overrides.one(state["store"], subject, feature, int(state["clock"]()))
    return answer(_shown(subject, word))


async def put(request: Request[State]) -> Response:
    """Set an override, in the place of the one there is: from now on, until `expires_at` or for good.

    A denial comes before what any subscription grants, and either before what people review and what policy says.
    """
    Parameters.of(request)
    said = await given(request, OverrideWanted, SHAPE)
    subject, feature = subject_of(request), path_id(request, "feature")
    return await _write(request, Wish(subject, feature, said.access, said.expires_at), said.reason)


async def delete(request: Request[State]) -> Response:
    """Take an override back: from now on it is as policy says. The history keeps it."""
    reason = deeds.why(request)
    wish = Wish(subject_of(request), path_id(request, "feature"), None)
    return await _write(request, wish, reason)


async def _write(request: Request[State], wish: Wish, reason: str) -> Response:
    state, deed = request.state, deeds.deed(request, reason)
    async with state["watch"].safe():
        saying = await overrides.write(state["store"], wish, deed)
    shown = _shown(wish.subject, overrides.last_set(saying.words, wish.feature))
    now = entitlement(saying.after, wish.feature, saying.at)
    return answer(replace(shown, entitlement=now, deleted=UNSET if wish.access else True))


async def expiring(request: Request[State]) -> Response:
    """List the overrides of all customers that expire, the next one first."""
    parameters = Parameters.of(request, EXPIRES_WITHIN, LIMIT, STARTING_AFTER)
    now = int(request.state["clock"]())
    within = parameters.text(EXPIRES_WITHIN.name)
    until = None if within is None else now + span.read(within, EXPIRES_WITHIN.name)
    found = await overrides.expiring(
        request.state["store"],
        pages.limit(parameters),
        pages.place(parameters),
        Span(now + 1, until),
    )
    data = [replace(_shown(place.subject, word), id=place.id) for place, word in found.found]
    return answer(ExpiringList(data, found.more))


def _shown(subject: Subject, word: Word[Override]) -> OverrideShown:
    assert word.said  # it holds, or did until now
    return OverrideShown(
        customer=subject.customer,
        account=subject.account or UNSET,
        feature=word.about,
        access=word.said.access,
        reason=word.said.reason,
        expires_at=word.said.expires_at,
        created=word.at,
        by=word.by or None,
    )


def _said(word: Word[Override]) -> OverrideSaid:
    said = word.said
    return OverrideSaid(
        feature=word.about,
        access=said.access if said else None,
        reason=said.reason if said else word.reason,
        expires_at=said.expires_at if said else None,
        at=word.at,
        by=word.by or None,
    )


_EXAMPLE = {"access": "grant", "reason": "promised by support", "expires_at": None}

routes = routed(
    "operations",
    Endpoint(
        method="GET",
        path=EXPIRING,
        handler=expiring,
        scope="operate",
        parameters=(EXPIRES_WITHIN, LIMIT, STARTING_AFTER),
        answers={200: ExpiringList},
    ),
    Endpoint(
        method="GET",
        path=PATH,
        handler=of_customer,
        scope="operate",
        parameters=(ACCOUNT,),
        answers={200: OverrideList},
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{feature}}",
        handler=one,
        scope="operate",
        parameters=(ACCOUNT,),
        answers={200: OverrideShown},
        refusals=(NotFound, StoreUnavailable),
    ),
    Endpoint(
        method="PUT",
        path=f"{PATH}/{{feature}}",
        handler=put,
        scope="operate",
        parameters=(ACCOUNT,),
        body=OverrideWanted,
        example=_EXAMPLE,
        answers={200: OverrideShown},
        refusals=(Conflict, StoreError),
    ),
    Endpoint(
        method="DELETE",
        path=f"{PATH}/{{feature}}",
        handler=delete,
        scope="operate",
        parameters=(WHY, ACCOUNT),
        answers={200: OverrideShown},
        refusals=(NotFound, StoreError),
    ),
)
