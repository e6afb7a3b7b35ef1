"""The report of paused collection: scope `operate`."""

from collections.abc import AsyncIterator
from typing import Annotated, get_args

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from entitlements import span
from entitlements.errors import BadRequest, StoreUnavailable
from entitlements.http import pages, sheet
from entitlements.http.deeds import answer
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.pages import LIMIT, STARTING_AFTER, LinkedPage
from entitlements.http.parameters import ACCOUNT, Parameter, Parameters, account_of
from entitlements.http.state import State
from entitlements.paused import Asked, page, report
from entitlements.pauses import COLUMNS, Access, Paused, Wanted, row
from entitlements.policy import BEHAVIORS
from entitlements.store.store import Store
from entitlements.wire import Id

PATH = "/ops/v1/paused"

BEHAVIOR = Parameter(
    "behavior",
    Annotated[str, Meta(extra_json_schema={"enum": list(BEHAVIORS)})],
    "What becomes of the invoices.",
)
ACCESS = Parameter("access", Access, "What the customer is answered now.")
PRODUCT = Parameter("product", Id, "A product that the subscription is to.")
RESUMES_WITHIN = Parameter(
    "resumes_within",
    Annotated[str, Meta(pattern=rf"^{span.PATTERN}\Z")],
    "Collection resumes within this time: seconds, or such as 7d.",
)

FILTERS = (BEHAVIOR, ACCESS, PRODUCT, RESUMES_WITHIN)


class PausedList(LinkedPage[Paused], frozen=True):
    """A page, the newest pause first, in Stripe's shape."""

    url: str = PATH


async def listing(request: Request[State]) -> Response:
    """List subscriptions whose collection is paused while they stay in use, the newest pause first.

    A page looks at a bounded number of them: with a filter it may be short, or empty, while `has_more` says that there
    are more, from behind `next` on. With `Accept: text/csv` all of them come in one answer, with the filters and
    without pages. Without `Stripe-Account` those of every account are listed.
    """
    taken = Parameters.of(request, *FILTERS, LIMIT, STARTING_AFTER)
    state = request.state
    asked = Asked(_wanted(request, taken), state["answers"].policy, int(state["clock"]()))
    if sheet.wanted(request):
        if request.query_params.keys() & {LIMIT.name, STARTING_AFTER.name}:
            raise BadRequest("A CSV has no pages: leave out limit and starting_after.")
        return StreamingResponse(_csv(state["store"], asked), media_type=sheet.MEDIA_TYPE)
    limit, place = pages.limit(taken), pages.place(taken)
    data, following = await page(state["store"], asked, limit, place)
    return answer(PausedList.of(data, following))


def _wanted(request: Request[State], taken: Parameters) -> Wanted:
    within = taken.text("resumes_within")
    return Wanted(
        account=account_of(request),
        behavior=taken.choice("behavior", *BEHAVIORS),
        access=msgspec.convert(taken.choice("access", *get_args(Access)), Access | None),
        product=taken.id("product"),
        resumes_within=None if within is None else span.read(within, "resumes_within"),
    )


async def _csv(store: Store, asked: Asked) -> AsyncIterator[str]:
    yield sheet.lines([COLUMNS])
    async for _, some in report(store, asked):
        yield sheet.lines(map(row, some))


routes = routed(
    "operations",
    Endpoint(
        method="GET",
        path=PATH,
        handler=listing,
        scope="operate",
        parameters=(*FILTERS, LIMIT, STARTING_AFTER, ACCOUNT),
        answers={200: {"application/json": PausedList, sheet.MEDIA_TYPE: str}},
        refusals=(StoreUnavailable,),
    ),
)
