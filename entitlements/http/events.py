"""The event log: what came, when, and what became of it. Scope `operate`, since bodies are customers' data."""

from typing import get_args

from msgspec import convert
from starlette.requests import Request
from starlette.responses import Response

from entitlements.errors import BadRequest, NotFound, StoreUnavailable
from entitlements.events import EventView, LogEntry
from entitlements.http import pages
from entitlements.http.deeds import answer
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.pages import LIMIT, LinkedPage
from entitlements.http.parameters import ACCOUNT, Parameter, Parameters, account_of, path_id
from entitlements.http.state import State
from entitlements.model import Outcome
from entitlements.store.entry import Place
from entitlements.store.log import Log, Search
from entitlements.wire import Id, Seconds, id_of

PATH = "/ops/v1/events"

LOOK = 500_000
"""Entries among which one event is looked for: some ten seconds."""

SINCE = Parameter("since", Seconds, "Only what was received at this instant or after it.")
UNTIL = Parameter("until", Seconds, "Only what was received before this instant.")
TYPE = Parameter(
    "type", Id, "Only events of this type; with `*` at its end, all types that begin so."
)
CUSTOMER = Parameter(
    "customer",
    Id,
    "Only events about this customer's subscriptions. What is quarantined counts for none, unless that outcome is "
    "asked for.",
)
SUBSCRIPTION = Parameter("subscription", Id, "Only events about this subscription.")
OUTCOME = Parameter("outcome", Outcome, "Only events of which this became.")
STARTING_AFTER = Parameter(
    "starting_after",
    Id,
    "Where the page begins: behind an entry's `cursor` or a page's `next`, which is free, or behind an event's id.",
)
WHERE = SINCE, UNTIL, CUSTOMER
FILTERS = SINCE, UNTIL, TYPE, CUSTOMER, SUBSCRIPTION, OUTCOME


class EventList(LinkedPage[LogEntry], frozen=True):
    """A page, the newest first, in Stripe's shape."""

    url: str = PATH


async def listing(request: Request[State]) -> Response:
    """List what came, the newest first: a page looks through a bounded part of the log, and may be short."""
    given = Parameters.of(request, *FILTERS, LIMIT, STARTING_AFTER)
    search, log = _search(request, given), Log(request.state["store"])
    after = await _place(log, search, given.text(STARTING_AFTER.name))
    page = await log.page(search, pages.limit(given), after)
    behind = None if page.next is None else str(page.next)
    return answer(EventList.of([LogEntry.of(one) for one in page.entries], behind))


async def show(request: Request[State]) -> Response:
    """Show one event's newest entry and its body, but for secrets. Quicker where its customer or its time is named."""
    given = Parameters.of(request, *WHERE)
    event, search = path_id(request, "event"), _search(request, given)
    return answer(EventView.of(await Log(request.state["store"]).one(event, search, look=LOOK)))


def _search(request: Request[State], given: Parameters) -> Search:
    outcome = given.choice(OUTCOME.name, *get_args(Outcome))
    return Search(
        since=given.number(SINCE.name),
        until=given.number(UNTIL.name),
        account=account_of(request),
        outcome=None if outcome is None else convert(outcome, Outcome),
        **{name: given.id(name) for name in ("type", "customer", "subscription")},
    )


async def _place(log: Log, search: Search, word: str | None) -> Place | None:
    """Return where a page begins: a place, or that of an event. Raises BadRequest."""
    if word is None:
        return None
    try:
        return Place.of(word) or (await log.one(id_of(word, "starting_after"), search)).place
    except NotFound as error:
        raise BadRequest(
            f"starting_after={word!r} is not on the list. Give the `cursor` of an entry, or the `next` of a page."
        ) from error


routes = routed(
    "operations",
    Endpoint(
        method="GET",
        path=PATH,
        handler=listing,
        scope="operate",
        parameters=(*FILTERS, LIMIT, STARTING_AFTER, ACCOUNT),
        answers={200: EventList},
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{event}}",
        handler=show,
        scope="operate",
        parameters=(*WHERE, ACCOUNT),
        answers={200: EventView},
        refusals=(NotFound, StoreUnavailable),
    ),
)
