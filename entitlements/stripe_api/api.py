"""The calls of Stripe's API that this service makes.

Each raises StripeUnavailable where it may be made again, StripeRefused where that would not help; `account` is a
connected account, and null the key's own.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from msgspec.structs import asdict, replace

from entitlements.errors import StripeKeyMissing
from entitlements.model import Subject
from entitlements.patience import at_once
from entitlements.stripe_api.calls import LIVE_BASE, Answer, Calls, Params, path
from entitlements.stripe_api.items import is_cut_off, whole
from entitlements.stripe_api.lists import (
    BEGINNING,
    EventFilter,
    Page,
    Place,
    Read,
    decoded,
    oldest_first,
    page_of,
)
from entitlements.stripe_api.shapes import (
    Account,
    Pause,
    PortalConfiguration,
    PortalRequest,
    PortalSession,
    WebhookEndpoint,
)

Found = TypeVar("Found")


class Pacing(Protocol):
    """How calls are spread over time, and whether they are made again: paced.Paced does both."""

    async def __call__(self, call: Callable[[], Awaitable[Found]]) -> Found:
        """Make a call, once its time has come."""


class StripeApi:
    """Stripe, by one key. `base` is the address of the real one, of a sandbox or of a proxy."""

    def __init__(self, key: str, base: str = LIVE_BASE, pace: Pacing = at_once) -> None:
        self._calls = Calls(key, base)
        self._pace = pace

    async def subscription(self, subject: Subject, name: str) -> Read:
        """Return what a subscription is like, all of its items included, and when that was."""
        return await self._pace(lambda: whole(self._calls, name, subject.account))

    async def subscriptions(
        self, place: Place = BEGINNING, *, account: str | None = None, **filters: str
    ) -> Page:
        """Return one page of subscriptions in every status, canceled ones too, unless a `status` is asked for.

        `filters` are Stripe's: `customer`, `status`, `price`. Each comes with all of its items: one with more than the
        list shows of them is read by itself, with a stamp of its own.
        """
        params = {"status": "all", **filters, **place.params()}
        page = await self._page("subscriptions", params, account)
        reads = [
            await self.subscription(Subject("", account), read.id)
            if is_cut_off(read.body)
            else read
            for read in page.data
        ]
        return page._replace(data=tuple(reads))

    async def walk_subscriptions(
        self, after: str | None = None, *, account: str | None = None, **filters: str
    ) -> AsyncIterator[Page]:
        """Yield all subscriptions in pages, the newest first, from behind the one named `after` on.

        The id of a page's last one resumes the walk. What is created meanwhile is not in it.
        """
        more = True
        while more:
            page = await self.subscriptions(Place(starting_after=after), account=account, **filters)
            yield page
            after, more = (page.data[-1].id, page.has_more) if page.data else (after, False)

    async def events(
        self, asked: EventFilter, place: Place = BEGINNING, *, account: str | None = None
    ) -> Page:
        """Return one page of the events of the last thirty days, the newest first."""
        return await self._page("events", {**asked.params(), **place.params()}, account)

    def walk_events(
        self, asked: EventFilter, after: str | None = None, *, account: str | None = None
    ) -> AsyncIterator[Read]:
        """Yield events, the oldest first, from behind the one named `after` on: lists.oldest_first says how."""
        return oldest_first(partial(self.events, account=account), asked, after)

    async def event(self, name: str, *, account: str | None = None) -> Read:
        """Return one event of the last thirty days."""
        return Read(*await self._get(path("events", name), account), name)

    async def set_pause(
        self, name: str, pause: Pause, *, key: str, account: str | None = None
    ) -> Read:
        """Pause the collection of payment for a subscription; return what it is like now.

        `key` is the idempotency key, as of every write here: the same one does the same thing once.
        """
        return await self._update(name, {"pause_collection": asdict(pause)}, key, account)

    async def clear_pause(self, name: str, *, key: str, account: str | None = None) -> Read:
        """Collect payment for a subscription again; return what it is like now."""
        return await self._update(
            name, {"pause_collection": ""}, key, account
        )  # null sends nothing

    async def _update(self, name: str, params: Params, key: str, account: str | None) -> Read:
        url = path("subscriptions", name)
        return Read(*await self._pace(lambda: self._calls.post(url, params, key, account)), name)

    async def portal_session(
        self, asked: PortalRequest, *, key: str, account: str | None = None
    ) -> PortalSession:
        """Make a customer's way into the portal."""
        url = path("billing_portal", "sessions")
        made = await self._pace(lambda: self._calls.post(url, asked.params(), key, account))
        return decoded(made.body, PortalSession)

    async def portal_configurations(
        self, *, account: str | None = None
    ) -> list[PortalConfiguration]:
        """Return every configuration of the customer portal, the newest first."""
        return await self._all("billing_portal/configurations", PortalConfiguration, account)

    async def webhook_endpoints(self, *, account: str | None = None) -> list[WebhookEndpoint]:
        """Return every webhook endpoint, the newest first."""
        return await self._all("webhook_endpoints", WebhookEndpoint, account)

    async def account(self, *, account: str | None = None) -> Account:
        """Return whose key it is, or the connected account."""
        answer = await self._get(path("account"), account)
        return replace(decoded(answer.body, Account), asked_at=answer.stamp)

    async def _all(self, what: str, kind: type[Found], account: str | None) -> list[Found]:
        found: list[Found] = []
        page, after = Page((), has_more=True), None
        while page.has_more:
            page = await self._page(what, Place(starting_after=after).params(), account)
            found += [decoded(read.body, kind) for read in page.data]
            after = page.data[-1].id if page.data else None
        return found

    async def _page(self, what: str, params: Params, account: str | None) -> Page:
        return page_of(await self._get(path(*what.split("/")), account, params))

    async def _get(self, url: str, account: str | None, params: Params | None = None) -> Answer:
        return await self._pace(lambda: self._calls.get(url, params or {}, account))


def required(key: str | None, base: str, pace: Pacing = at_once) -> StripeApi:
    """Return Stripe by the key of the settings. Raises StripeKeyMissing where there is none."""
    if key:
        return StripeApi(key, base, pace)
    raise StripeKeyMissing(
        "This asks Stripe: set ENTITLEMENTS_STRIPE_API_KEY to a secret key, or to a restricted one that may do it."
    )
