"""A sandbox Stripe over HTTP, with a customer who subscribes: for whoever speaks to it in another process too."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from entitlements.cli.dev import KEY
from entitlements.sandbox.hosting import running
from entitlements.sandbox.shapes import Body, Terms, new
from entitlements.sandbox.subscription import Change
from entitlements.sandbox.world import Sandbox
from tests.support.command import run
from tests.support.histories import KIND, MONTH, START
from tests.support.service import Clock, Service, serving

SUBSCRIPTION = new(Terms("cus_1", "pro", "price_pro"), "sub_1", "si_1", START, START + MONTH)


class Stripe(NamedTuple):
    """A sandbox, where it is, and its clock."""

    sandbox: Sandbox
    url: str
    clock: Clock

    @property
    def settings(self) -> dict[str, str]:
        """Return the variables by which a process speaks to it."""
        return {
            "ENTITLEMENTS_STRIPE_API_KEY": KEY,
            "ENTITLEMENTS_STRIPE_API_BASE": self.url,
        }

    def holds(self, *bodies: Body, account: str | None = None) -> None:
        """Let it hold subscriptions, and their customers."""
        there = self.sandbox.connected[account] if account else self.sandbox
        for body in bodies:
            there.account.held["subscription"][body["id"]] = body
            if body["customer"] not in there.account.held["customer"]:
                there.account.add("customer", "cus", START, id=body["customer"])

    def subscribes(self, body: Body, *kinds: str) -> Body:
        """Let a subscription begin now, or become what it is; return the last of the events that tell of it."""
        before = self.sandbox.account.held["subscription"].get(body["id"])
        types = kinds or (f"{KIND}{'updated' if before else 'created'}",)
        self.holds(body)
        self.sandbox.account.apply(Change(before, body, types), int(self.clock()))
        return [*self.sandbox.account.held["event"].values()][-1]

    def fails(self, *events: Body) -> None:
        """Let some events be undelivered to an endpoint."""
        self.sandbox.deliveries.open |= {(event["id"], "we_1") for event in events}

    def configures(self, name: str, *, is_default: bool, pause: bool) -> None:
        """Let it have a configuration of the customer portal, in which customers pause by themselves or do not."""
        self.sandbox.configurations[name] = {
            "id": name,
            "object": "billing_portal.configuration",
            "active": True,
            "is_default": is_default,
            "livemode": False,
            "features": {"subscription_pause": {"enabled": pause}},
        }

    def held(self, name: str = "sub_1") -> Body:
        """Return a subscription."""
        return self.sandbox.account.held["subscription"][name]


@asynccontextmanager
async def stripe(clock: Clock | None = None) -> AsyncGenerator[Stripe]:
    """Give a sandbox that serves as long as the block runs. Its clock stands at START, or is the given one."""
    clock = clock or Clock(START)
    sandbox = Sandbox(clock, seed=1)
    async with running(sandbox) as url:
        yield Stripe(sandbox, url, clock)


@asynccontextmanager
async def serving_beside_stripe(store_url: str) -> AsyncGenerator[Service]:
    """Give a service on a store, and a sandbox behind it that has a customer who subscribes."""
    async with (
        stripe() as beyond,
        serving(store_url, stripe_api_key=KEY, stripe_api_base=beyond.url) as found,
    ):
        beyond.holds(SUBSCRIPTION)
        yield found


async def told(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, while this process's sandbox goes on serving."""
    return await asyncio.to_thread(partial(run, *arguments, **settings))
