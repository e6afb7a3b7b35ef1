"""Deliveries to webhook endpoints: signed anew for each try, repeated until one gets a 2xx, and given up in the end.

Source: https://docs.stripe.com/webhooks: in a sandbox Stripe tries three times, over a few hours.
"""

from typing import TYPE_CHECKING

from msgspec import Struct

from entitlements.errors import NotFound
from entitlements.sandbox.event import encoded, signed
from entitlements.sandbox.ids import Ids
from entitlements.sandbox.shapes import LATEST, Body

if TYPE_CHECKING:
    from httpx2 import AsyncClient

WAITS = (600, 7_200)
"""Seconds from one try to the next, unless others are asked for; after the last one an event is given up."""

PATIENCE = 10.0
"""Seconds for one try."""

ALL = "*"


class Try(Struct, frozen=True):
    """A delivery to be made: when, and how many were made of it before."""

    event: str
    endpoint: str
    due: int
    before: int = 0


class Deliveries:
    """The webhook endpoints of an account, and what is on its way to them."""

    def __init__(self, events: dict[str, Body], ids: Ids) -> None:
        self.endpoints: dict[str, Body] = {}
        self.open: set[tuple[str, str]] = set()
        """Events and endpoints that have not answered with a 2xx, given up or not."""
        self.waits: tuple[int, ...] = WAITS
        self._events = events
        self._secrets: dict[str, str] = {}
        self._tries: list[Try] = []
        self._under_way = 0
        self._ids = ids

    def register(self, url: str, types: list[str], now: int, secret: str | None = None) -> Body:
        """Make an endpoint. The answer alone has its secret, as at Stripe."""
        name = self._ids("we")
        self._secrets[name] = secret or f"whsec_{self._ids('w')[2:]}{self._ids('w')[2:]}"
        self.endpoints[name] = {
            "id": name,
            "object": "webhook_endpoint",
            "api_version": LATEST,
            "created": now,
            "enabled_events": types or [ALL],
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": url,
        }
        return self.endpoints[name] | {"secret": self._secrets[name]}

    def find(self, name: str) -> Body:
        """Return an endpoint. Raises NotFound."""
        if name not in self.endpoints:
            raise NotFound(f"No such webhook endpoint: '{name}'")
        return self.endpoints[name]

    def remove(self, name: str) -> None:
        """Forget an endpoint, and whatever was on its way to it."""
        self.find(name)
        del self.endpoints[name], self._secrets[name]
        self._tries = [one for one in self._tries if one.endpoint != name]
        self.open = {pair for pair in self.open if pair[1] != name}

    def send(self, event: Body) -> None:
        """Put an event on its way to every endpoint that wants its type."""
        for name, endpoint in self.endpoints.items():
            wanted = {ALL, event["type"]} & set(endpoint["enabled_events"])
            if wanted and endpoint["status"] == "enabled":
                self.open.add((event["id"], name))
                self._tries.append(Try(event["id"], name, event["created"]))
        self._count(event["id"])

    def again(self, event: str, endpoint: str, now: int) -> None:
        """Put an event on its way to one endpoint once more."""
        self.find(endpoint)
        self._tries.append(Try(event, endpoint, now, before=len(self.waits)))

    def undelivered(self, event: str) -> bool:
        """Tell whether an endpoint has not answered an event with a 2xx."""
        return any(name == event for name, _ in self.open)

    async def due(self, client: "AsyncClient", now: int, sent_at: int) -> int:
        """Make the tries that are due, one after the other in their order. Returns how many.

        `sent_at` is what the signatures say: the time by the clock of whoever checks them.
        """
        due = [one for one in self._tries if one.due <= now]
        self._tries = [one for one in self._tries if one.due > now]
        self._under_way = len(due)
        for one in due:
            await self._try(client, one, now, sent_at)
            self._under_way -= 1
        return len(due)

    def count_due(self, now: int) -> int:
        """Return how many tries are due and not yet made."""
        return self._under_way + sum(one.due <= now for one in self._tries)

    async def _try(self, client: "AsyncClient", one: Try, now: int, sent_at: int) -> None:
        event, endpoint = self._events.get(one.event), self.endpoints.get(one.endpoint)
        if event is None or endpoint is None or endpoint["status"] != "enabled":
            return
        if await self._posted(client, endpoint, encoded(event), sent_at):
            self.open.discard((one.event, one.endpoint))
        elif one.before < len(self.waits):
            self._tries.append(
                Try(one.event, one.endpoint, now + self.waits[one.before], one.before + 1)
            )
        self._count(one.event)

    async def _posted(
        self, client: "AsyncClient", endpoint: Body, body: bytes, sent_at: int
    ) -> bool:
        from httpx2 import HTTPError  # here: slow to import

        headers = signed(body, self._secrets[endpoint["id"]], sent_at)
        try:
            answer = await client.post(
                endpoint["url"], content=body, headers=headers, timeout=PATIENCE
            )
        except HTTPError:
            return False
        return answer.is_success

    def _count(self, event: str) -> None:
        """Say in the event how many deliveries of it are open."""
        if event in self._events:
            pending = sum(name == event for name, _ in self.open)
            self._events[event] = self._events[event] | {"pending_webhooks": pending}
