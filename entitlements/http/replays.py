"""Replays: what events would change, and exactly that done. Scope `operate`."""

from collections.abc import AsyncIterator
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from entitlements.errors import (
    BadRequest,
    Conflict,
    NotFound,
    StoreError,
    StoreUnavailable,
    StripeKeyMissing,
)
from entitlements.http import deeds, pages, sheet
from entitlements.http.deeds import WHY, Reason, answer
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.pages import LIMIT, Page
from entitlements.http.parameters import ACCOUNT, Parameter, Parameters, account_of, path_id
from entitlements.http.state import State
from entitlements.redecide import Difference
from entitlements.rehearse import COLUMNS, row
from entitlements.store import replays
from entitlements.store.replays import LISTED, Asked, Run
from entitlements.wire import Id, Seconds

PATH = "/ops/v1/replays"

WINDOW = ("since", "until", "type", "customer", "subscription", "event", "undelivered")
"""What of a request says which events are meant, beside their source."""

SHOWN = 1_000
"""Differences that a JSON answer names; a CSV names as many as are kept."""

STARTING_AFTER = Parameter(
    "starting_after", Id, "The id of the replay behind which the page begins."
)


class ReplayWanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events are replayed, and why; or `preview`, whose window is taken up as it was."""

    reason: Reason
    dry_run: bool = True
    """Only foresee it."""
    preview: Id | None = None
    """A replay that was previewed, to do exactly that; or one that was stopped, to go on with it."""
    source: Literal["log", "stripe"] | None = None
    since: Seconds | None = None
    """From this instant on: of receipt in the log, of creation at Stripe."""
    until: Seconds | None = None
    type: Id | None = None
    """A type; with `*` at its end all that begin so."""
    customer: Id | None = None
    subscription: Id | None = None
    event: Id | None = None
    undelivered: bool = False
    """Of Stripe alone: only what it could not deliver to every endpoint of the account."""


class ReplayRun(Run, tag_field="object", tag="replay"):
    """One run of a replay: who made it, its window, how far it is, and what came, or would come, of its events."""


class ReplayShown(Run, kw_only=True, tag_field="object", tag="replay"):
    """One run, with the answers that it changes or would change."""

    data: list[Difference]
    has_more: bool
    """Whether it changes more than are named here."""


class ReplayList(Page[ReplayRun], frozen=True):
    """A page, the newest first, in Stripe's shape."""

    url: str = PATH


async def begin(request: Request[State]) -> Response:
    """Begin a replay beside other work: a preview, unless `dry_run` is false. Look at it by its id."""
    wanted = await deeds.given(request, ReplayWanted, '{"source": "log", "reason": "…"}')
    deed, background = deeds.deed(request, wanted.reason), request.state["replays"]
    asked = _asked(wanted, account_of(request))
    async with request.state["watch"].safe():
        if wanted.preview is not None:
            run = await background.take_up(wanted.preview, deed, dry_run=wanted.dry_run)
        elif asked is not None:
            run = await background.begin(asked, deed, dry_run=wanted.dry_run)
        else:
            raise BadRequest(
                "Say where the events come from: source is log or stripe; or name a preview."
            )
    begun = answer(ReplayRun(**asdict(run)))
    begun.status_code = 202
    begun.headers["Location"] = f"{PATH}/{run.id}"
    return begun


def _asked(wanted: ReplayWanted, account: str | None) -> Asked | None:
    """Return which events are meant; null for those of a preview. Raises BadRequest."""
    window = {name: getattr(wanted, name) for name in WINDOW}
    if wanted.source is None:
        if account or any(window.values()):
            raise BadRequest(
                "A window goes with a source. A preview has its own: name nothing else with it."
            )
        return None
    if wanted.preview:
        raise BadRequest("Name a source, or a preview: one of them.")
    if wanted.undelivered and wanted.source != "stripe":
        raise BadRequest("Only Stripe knows what is undelivered: that goes with the source stripe.")
    return Asked(source=wanted.source, account=account, **window)


async def listing(request: Request[State]) -> Response:
    """List replays, from HTTP and from the command line, the newest first."""
    parameters = Parameters.of(request, LIMIT, STARTING_AFTER)
    limit, after = pages.limit(parameters), parameters.id(STARTING_AFTER.name)
    state = request.state
    found = await replays.latest(state["store"], state["clock"]())
    rest = [run for run in found if after is None or run.id < after]
    page = [ReplayRun(**asdict(run)) for run in rest[:limit]]
    return answer(ReplayList(page, len(rest) > limit))


async def show(request: Request[State]) -> Response:
    """Show a replay: how far it is, what became of its events, whose answers it changes; as CSV all that are kept."""
    state = request.state
    run = await replays.one(state["store"], path_id(request, "replay"), state["clock"]())
    if sheet.wanted(request):
        return StreamingResponse(_csv(state, run.id), media_type=sheet.MEDIA_TYPE)
    found = await replays.differences(state["store"], run.id, 0, SHOWN)
    more = sum(run.answers.values()) > len(found)
    return answer(ReplayShown(**asdict(run), data=found, has_more=more))


async def _csv(state: State, name: str) -> AsyncIterator[str]:
    yield sheet.lines([COLUMNS])
    for first in range(0, LISTED, SHOWN):
        found = await replays.differences(state["store"], name, first, SHOWN)
        yield sheet.lines(map(row, found))


async def cancel(request: Request[State]) -> Response:
    """Let a replay end after the batch at hand, whichever process makes it."""
    reason = deeds.why(request)
    state = request.state
    run = await replays.one(state["store"], path_id(request, "replay"), state["clock"]())
    await replays.cancel(state["store"], run, deeds.deed(request, reason))
    return answer(ReplayRun(**asdict(run)))


routes = routed(
    "operations",
    Endpoint(
        method="POST",
        path=PATH,
        handler=begin,
        scope="operate",
        parameters=(ACCOUNT,),
        body=ReplayWanted,
        example={"source": "log", "reason": "webhooks failed from 02:10 to 03:05"},
        answers={202: ReplayRun},
        refusals=(NotFound, Conflict, StripeKeyMissing, StoreError),
    ),
    Endpoint(
        method="GET",
        path=PATH,
        handler=listing,
        scope="operate",
        parameters=(LIMIT, STARTING_AFTER),
        answers={200: ReplayList},
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{replay}}",
        handler=show,
        scope="operate",
        answers={200: {"application/json": ReplayShown, "text/csv": str}},
        refusals=(NotFound, StoreUnavailable),
    ),
    Endpoint(
        method="DELETE",
        path=f"{PATH}/{{replay}}",
        handler=cancel,
        scope="operate",
        parameters=(WHY,),
        answers={200: ReplayRun},
        refusals=(NotFound, Conflict, StoreError),
    ),
)
