"""What waits in the quarantine, and what a person does about it: scope `operate`."""

from msgspec import Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements import quarantine, redact
from entitlements.errors import BadRequest, Conflict, NotFound, StoreError, StoreUnavailable
from entitlements.http import deeds, pages
from entitlements.http.deeds import Reasoned, answer, given_reason
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.pages import LIMIT, Page
from entitlements.http.parameters import Parameter, Parameters, path_id
from entitlements.http.state import State
from entitlements.quarantine import Settled
from entitlements.store import quarantine as waiting_room
from entitlements.store.quarantine import Place, Waiting
from entitlements.wire import Id

PATH = "/ops/v1/quarantine"

STARTING_AFTER = Parameter(
    "starting_after", Id, "The id of the entry behind which the page begins."
)


class QuarantineEntry(Struct, frozen=True, tag_field="object", tag="quarantine_entry"):
    """An event that waits. Times are Unix seconds."""

    id: str
    event: str
    type: str
    customer: str | None
    """As the log has it: `acct_…/cus_…` of a connected account; null where it could not be read."""
    received_at: int
    why: str
    attempts: int


class QuarantineList(Page[QuarantineEntry], frozen=True):
    """A page, the newest first, in Stripe's shape."""

    url: str = PATH


class QuarantineView(Struct, frozen=True, tag_field="object", tag="quarantine_view"):
    """One event that waits, with its body (secrets left out) and what a retry would make of it."""

    entry: QuarantineEntry
    body: Raw
    retry: Settled


class QuarantineDiscarded(Struct, frozen=True, tag_field="object", tag="quarantine_discard"):
    """What is gone."""

    entry: QuarantineEntry


async def listing(request: Request[State]) -> Response:
    """List what waits: `limit` (up to 100), from behind `starting_after` on."""
    parameters = Parameters.of(request, LIMIT, STARTING_AFTER)
    limit = pages.limit(parameters)
    after = await _place(request.state, parameters.text(STARTING_AFTER.name))
    found = await waiting_room.page(request.state["store"], limit + 1, after)
    return answer(QuarantineList([_entry(w) for w in found[:limit]], len(found) > limit))


async def _place(state: State, event: str | None) -> Place | None:
    if event is None:
        return None
    try:
        waiting, _ = await waiting_room.one(state["store"], event)
    except NotFound as error:
        raise BadRequest(
            f"starting_after={event!r} does not wait (any more). List from the beginning."
        ) from error
    return Place(waiting.received_ms, waiting.event)


async def show(request: Request[State]) -> Response:
    """Show one event that waits."""
    event, state = path_id(request, "event"), request.state
    waiting, raw = await waiting_room.one(state["store"], event)
    livemode = state["settings"].livemode
    retry = await quarantine.foresee(
        state["store"], event, int(state["clock"]()), livemode=livemode
    )
    return answer(QuarantineView(_entry(waiting), Raw(redact.shown(raw).encode()), retry))


async def retry(request: Request[State]) -> Response:
    """Try one again: its outcome, or `quarantined` and why it stays."""
    event, state = path_id(request, "event"), request.state
    deed = deeds.deed(request, await given_reason(request))
    async with state["watch"].safe():
        found = await quarantine.retry(state["store"], state["ingest"], event, deed)
    return answer(found)


async def discard(request: Request[State]) -> Response:
    """Take one out for good."""
    event, state = path_id(request, "event"), request.state
    deed = deeds.deed(request, await given_reason(request))
    async with state["watch"].safe():
        found = await quarantine.discard(state["store"], event, deed)
    return answer(QuarantineDiscarded(_entry(found)))


def _entry(found: Waiting) -> QuarantineEntry:
    return QuarantineEntry(
        id=found.event,
        event=found.event,
        type=found.type,
        customer=found.subject or None,
        received_at=found.received_ms // 1000,
        why=found.why,
        attempts=found.attempts,
    )


_EXAMPLE = {"reason": "understood since the last release"}

routes = routed(
    "operations",
    Endpoint(
        method="GET",
        path=PATH,
        handler=listing,
        scope="operate",
        parameters=(LIMIT, STARTING_AFTER),
        answers={200: QuarantineList},
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{event}}",
        handler=show,
        scope="operate",
        answers={200: QuarantineView},
        refusals=(NotFound, StoreUnavailable),
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{event}}/retry",
        handler=retry,
        scope="operate",
        body=Reasoned,
        example=_EXAMPLE,
        answers={200: Settled},
        refusals=(NotFound, Conflict, StoreError),
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{event}}/discard",
        handler=discard,
        scope="operate",
        body=Reasoned,
        example=_EXAMPLE,
        answers={200: QuarantineDiscarded},
        refusals=(NotFound, StoreError),
    ),
)
