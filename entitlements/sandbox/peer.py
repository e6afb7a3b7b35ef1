"""The service at the other end: an event is posted to it, a question asked of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct

from entitlements.errors import EntitlementsError
from entitlements.sandbox.event import encoded, signed
from entitlements.sandbox.shapes import Body

if TYPE_CHECKING:
    from httpx2 import Client

PATIENCE = 10.0
"""Seconds for one request. Stripe itself would send an event again that takes longer."""


class Peer(Struct, frozen=True):
    """A service, and what it takes to speak to it."""

    url: str
    secret: str
    token: str | None = None


class Question(Struct, frozen=True):
    """Whether this customer may use this feature at `at` (Unix seconds; null is now)."""

    customer: str
    feature: str
    at: int | None = None
    account: str | None = None


class Reply(NamedTuple):
    """What the service said: a status and a JSON object."""

    status: int
    body: Body

    @property
    def ok(self) -> bool:
        """Tell whether it is a 2xx: the only thing that Stripe takes for received."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def why(self) -> str:
        """Return the reason that a problem document gives."""
        return str(self.body.get("detail") or self.body.get("title") or "It does not say why.")


class Service:
    """An open connection to a peer. Raises EntitlementsError where it cannot be reached."""

    def __init__(self, peer: Peer, client: "Client") -> None:
        self._peer = peer
        self._client = client

    def deliver(self, event: Body, now: int) -> Reply:
        """Post one event as Stripe does, signed at `now` (Unix seconds)."""
        body = encoded(event)
        headers = signed(body, self._peer.secret, now)
        return self._reply("POST", "/webhooks/stripe", content=body, headers=headers)

    def ask(self, question: Question) -> Reply:
        """Ask for one entitlement."""
        customer, feature = quote(question.customer, safe=""), quote(question.feature, safe="")
        at = {} if question.at is None else {"at": question.at}
        account = {"Stripe-Account": question.account} if question.account else {}
        bearer = {"Authorization": f"Bearer {self._peer.token}"}
        path = f"/v1/customers/{customer}/entitlements/{feature}"
        return self._reply("GET", path, params=at, headers=bearer | account)

    def is_ready(self) -> bool:
        """Tell whether it takes requests."""
        return self._reply("GET", "/readyz").ok

    def _reply(self, method: str, path: str, **request: Any) -> Reply:  # noqa: ANN401  httpx2's own
        from httpx2 import HTTPError  # here: slow to import

        try:
            response = self._client.request(method, path, **request)
        except HTTPError as error:
            raise EntitlementsError(_unreachable(self._peer.url, error)) from error
        return Reply(response.status_code, read_object(response.content))


@contextmanager
def connect(peer: Peer) -> Iterator[Service]:
    """Give a connection to a peer for as long as the block runs."""
    from httpx2 import Client, InvalidURL

    try:
        client = Client(base_url=peer.url, timeout=PATIENCE, trust_env=False)
    except InvalidURL as error:
        raise EntitlementsError(_unreachable(peer.url, error)) from error
    with client:
        yield Service(peer, client)


def _unreachable(url: str, error: Exception) -> str:
    return (
        f"Cannot reach {url} ({error}). "
        "Start a service there with `entitlements dev`, or name another one with --url."
    )


def read_object(content: bytes) -> Body:
    """Return a JSON object, or anything else as the detail of one."""
    try:
        value = json.loads(content)
    except ValueError:
        value = content[:200].decode(errors="replace")
    return value if isinstance(value, dict) else {"detail": value}
