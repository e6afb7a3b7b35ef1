"""A Stripe that knows more than this service was told: a sandbox, a store, and deliveries that may be lost."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from entitlements.cli.dev import KEY
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN, Policy
from entitlements.reconcile import Found, Reconciliation, Scope
from entitlements.sandbox import subscription as life
from entitlements.sandbox.hosting import running
from entitlements.sandbox.shapes import ENDIVE, LATEST, Body, Terms, in_version
from entitlements.sandbox.subscription import Change
from entitlements.sandbox.world import Sandbox
from entitlements.store.audit import Deed
from entitlements.store.store import Store
from entitlements.stripe_api import StripeApi
from tests.support.bodies import encoded
from tests.support.customers import opened
from tests.support.histories import START
from tests.support.service import Clock

DEED = Deed("ann", "events were lost", START)


class World:
    """A sandbox that is Stripe, and a service whose webhooks may be down."""

    def __init__(self, sandbox: Sandbox, api: str, store: Store, url: str, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.store = store
        self.url = url
        self.base = api
        self.api = StripeApi(KEY, api)
        self.ingest = Ingest(store, BUILT_IN)
        self.env = {
            "ENTITLEMENTS_REDIS_URL": url,
            "ENTITLEMENTS_STRIPE_API_KEY": KEY,
            "ENTITLEMENTS_STRIPE_API_BASE": api,
        }

    async def subscribe(self, n: int, *, lost: bool = False, account: str | None = None) -> Body:
        """Let a customer subscribe at Stripe; unless it is lost, the service hears of it."""
        terms = Terms(f"cus_{n}", "pro", "price_pro")
        found = life.create(terms, int(self.clock.now), lambda kind: f"{kind}_{n}")
        return await self.happens(found, lost=lost, account=account)

    async def happens(
        self,
        change: Change,
        *,
        lost: bool = False,
        account: str | None = None,
        version: str = LATEST,
    ) -> Body:
        """Let something happen at Stripe; unless it is lost, the service hears of it, in a version of the API."""
        place = self.sandbox.connected[account] if account else self.sandbox
        before = set(place.account.held["event"])
        after = place.account.apply(change, int(self.clock.now))
        told = [body for name, body in place.account.held["event"].items() if name not in before]
        for body in () if lost else told:
            await self.ingest.deliver(encoded(_of(_in(body, version), account)), self.clock.now)
        return after

    async def reconcile(
        self,
        scope: Scope | None = None,
        *,
        apply: bool = True,
        after: str | None = None,
        each: Callable[[Reconciliation], object] = lambda _: None,
        **more: Any,  # noqa: ANN401  whatever else it takes
    ) -> tuple[Reconciliation, list[Found]]:
        """Reconcile; call something behind each page. Returns it, and what it found."""
        self.ingest.policy = await self.store.policy_in_force()
        made = Reconciliation(
            self.api,
            self.ingest,
            scope or Scope(),
            deed=DEED if apply else None,
            clock=self.clock,
            **more,
        )
        found = []
        async for some in made.go(after):
            found.append(some)
            each(made)
        return made, found

    async def truth(self, account: str | None = None) -> dict[str, list[Body]]:
        """Return every event of an account by customer, in the order in which it happened."""
        place = self.sandbox.connected[account] if account else self.sandbox
        found: dict[str, list[Body]] = {}
        for body in place.account.held["event"].values():
            found.setdefault(body["data"]["object"]["customer"], []).append(_of(body, account))
        return found


def _in(body: Body, version: str) -> Body:
    """Return an event as an endpoint of a version is sent it."""
    about = body["data"] | {"object": in_version(body["data"]["object"], version)}
    if "previous_attributes" in about and version < ENDIVE:
        before = about["previous_attributes"].items()
        about["previous_attributes"] = {k: v for k, v in before if k != "status_details"}
    return body | {"api_version": version, "data": about}


def _of(body: Body, account: str | None) -> Body:
    return body | ({"account": account} if account else {})


@asynccontextmanager
async def worlds(url: str, policy: Policy = BUILT_IN) -> AsyncGenerator[World]:
    """Give one whose time is START, with a connected account `acct_1`."""
    clock = Clock(START)
    sandbox = Sandbox(clock, seed=1)
    sandbox.connect("acct_1")
    async with running(sandbox) as api, opened(url, policy) as store:
        yield World(sandbox, api, store, url, clock)


def subject(n: int, account: str | None = None) -> Subject:
    """Return the n-th customer."""
    return Subject(f"cus_{n}", account)
