"""What waits in the quarantine, and what a person does about it: scope `operate`."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements import quarantine
from entitlements.errors import BadRequest, Conflict, NotFound, StoreError, StoreUnavailable
from entitlements.http import body
from entitlements.http.auth import authenticate
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.parameters import Parameter, Parameters, path_id
from entitlements.http.state import State
from entitlements.quarantine import Deed, Settled
from entitlements.store import quarantine as waiting_room
from entitlements.store.quarantine import Place, Waiting
from entitlements.wire import Id

PATH = "/ops/v1/quarantine"
DEFAULT, MOST = 10, 100
"""Entries in a page, as in Stripe's own lists."""

REASON = 1_000
"""Characters."""

LIMIT = Parameter(
    "limit", Annotated[int, Meta(ge=1, le=MOST)], f"Entries of a page; {DEFAULT} without it."
)
STARTING_AFTER = Parameter(
    "starting_after", Id, "The id of the entry behind which the page begins."
)

_encode = msgspec.json.Encoder().encode


class Entry(Struct, frozen=True, tag_field="object", tag="quarantine_entry"):
    """An event that waits. Times are Unix seconds."""

    id: str
    event: str
    type: str
    customer: str | None
    """As the log has it: `acct_…/cus_…` of a connected account; null where it could not be read."""
    received_at: int
    why: str
    attempts: int


class Listing(Struct, frozen=True, tag_field="object", tag="list"):
    """A page, the newest first, in Stripe's shape."""

    data: list[Entry]
    has_more: bool
    url: str = PATH


class Shown(Struct, frozen=True, tag_field="object", tag="quarantine_view"):
    """One event that waits, with its body (secrets left out) and what a retry would make of it."""

    entry: Entry
    body: Raw
    retry: Settled


class Discarded(Struct, frozen=True, tag_field="object", tag="quarantine_discard"):
    """What is gone."""

    entry: Entry


class Given(Struct, forbid_unknown_fields=True):
    """What a write says for itself."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON, pattern=r"\S")]


async def listing(request: Request[State]) -> Response:
    """List what waits: `limit` (up to 100), from behind `starting_after` on."""
    parameters = Parameters.of(request, LIMIT, STARTING_AFTER)
    limit = parameters.number("limit")
    limit = DEFAULT if limit is None else limit
    if not 1 <= limit <= MOST:
        raise BadRequest(f"limit={limit} is out of range. It takes 1 to {MOST}.")
    after = await _place(request.state, parameters.text("starting_after"))
    found = await waiting_room.page(request.state["store"], limit + 1, after)
    return _answer(Listing([_entry(w) for w in found[:limit]], len(found) > limit))


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
    return _answer(Shown(_entry(waiting), Raw(quarantine.shown(raw).encode()), retry))


async def retry(request: Request[State]) -> Response:
    """Try one again: its outcome, or `quarantined` and why it stays."""
    event, state, deed = path_id(request, "event"), request.state, await _deed(request)
    return _answer(await quarantine.retry(state["store"], state["ingest"], event, deed))


async def discard(request: Request[State]) -> Response:
    """Take one out for good."""
    event, deed = path_id(request, "event"), await _deed(request)
    return _answer(Discarded(_entry(await quarantine.discard(request.state["store"], event, deed))))


async def _deed(request: Request[State]) -> Deed:
    """Read who does it, and the `reason` that every write takes."""
    header, state = request.headers.get("authorization"), request.state
    caller = authenticate(header, state["settings"].tokens, "operate")
    try:
        given = msgspec.json.decode(await body.read(request), type=Given)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(
            f'The body cannot be read ({error}). Post {{"reason": "…"}}, up to {REASON} characters.'
        ) from error
    return Deed(caller.name, given.reason, int(state["clock"]()))


def _entry(found: Waiting) -> Entry:
    return Entry(
        id=found.event,
        event=found.event,
        type=found.type,
        customer=found.subject or None,
        received_at=found.received_ms // 1000,
        why=found.why,
        attempts=found.attempts,
    )


def _answer(value: Struct) -> Response:
    return Response(
        _encode(value), headers={"Cache-Control": "no-store"}, media_type="application/json"
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
        answers={200: Listing},
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{event}}",
        handler=show,
        scope="operate",
        answers={200: Shown},
        refusals=(NotFound, StoreUnavailable),
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{event}}/retry",
        handler=retry,
        scope="operate",
        body=Given,
        example=_EXAMPLE,
        answers={200: Settled},
        refusals=(NotFound, Conflict, StoreError),
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{event}}/discard",
        handler=discard,
        scope="operate",
        body=Given,
        example=_EXAMPLE,
        answers={200: Discarded},
        refusals=(NotFound, StoreError),
    ),
)
