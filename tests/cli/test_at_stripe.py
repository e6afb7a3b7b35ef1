"""`entitlements pause`, `resume` and `portal` as their users run them: processes, a store and a sandbox Stripe."""

import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from entitlements.policy import BUILT_IN
from entitlements.store import audit
from tests.support.command import refusal
from tests.support.stores import opened
from tests.support.stripes import SUBSCRIPTION, Stripe, stripe, told

if TYPE_CHECKING:
    import subprocess


class World:
    """A sandbox and a store, by which commands run."""

    def __init__(self, stripe: Stripe, url: str) -> None:
        self.stripe = stripe
        self.url = url

    async def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command."""
        return await told(*arguments, ENTITLEMENTS_REDIS_URL=self.url, **self.stripe.settings)

    async def recorded(self) -> list[audit.Record]:
        """Return what is recorded, the newest first."""
        async with opened(self.url) as store:
            return await audit.latest(store, 100)


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a sandbox that holds a subscription."""
    async with stripe() as found:
        found.holds(SUBSCRIPTION)
        async with opened(store_url) as store:
            await store.policy(BUILT_IN)
        yield World(found, store_url)


DONE = ("--apply", "--reason", "asked for a break", "--actor", "ann")


@pytest.mark.asyncio
async def test_pause_alone_only_looks(world: World) -> None:
    """What Stripe holds, and what would be set."""
    found = await world.run("pause", "sub_1", "--behavior", "void", "--resumes-at", "+30d")
    lines = await world.run("resume", "sub_1", "--json")

    assert found.returncode == 0, found.stderr
    _, row, _, answer = found.stdout.splitlines()
    assert row.split()[:5] == ["sub_1", "cus_1", "active", "collected", "void"]
    assert answer.split()[:1] == ["cus_1"]
    assert "Nothing is sent" in found.stderr
    assert json.loads(lines.stdout)["applied"] is False
    assert world.stripe.held()["pause_collection"] is None
    assert await world.recorded() == []


@pytest.mark.asyncio
async def test_pause_and_resume_are_done_and_recorded(world: World) -> None:
    """With --apply and a reason; under one key once."""
    arguments = ("pause", "sub_1", "--behavior", "keep_as_draft", "--idempotency-key", "once")
    for _ in range(2):
        found = await world.run(*arguments, *DONE, "--json")
        assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    assert (said["applied"], said["pause_collection"]) == (True, {"behavior": "keep_as_draft"})
    assert world.stripe.held()["pause_collection"]["behavior"] == "keep_as_draft"
    assert len(world.stripe.sandbox.account.held["event"]) == 1

    resumed = await world.run("resume", "sub_1", *DONE)
    _, row = resumed.stdout.splitlines()
    assert row.split() == [
        *("sub_1", "cus_1", "active", "keep_as_draft", "until", "resumed", "collected")
    ]
    assert resumed.stderr == ""
    assert world.stripe.held()["pause_collection"] is None
    records = await world.recorded()
    assert {(r.by, r.reason) for r in records} == {("ann", "asked for a break")}
    assert {r.action for r in records} == {"subscription.pause", "subscription.resume"}


@pytest.mark.asyncio
async def test_portal_prints_the_address(world: World) -> None:
    """After a look at the configuration that the session would have."""
    world.stripe.configures("bpc_1", is_default=True, pause=True)
    seen = await world.run("portal", "cus_1", "--return-url", "https://here.test/")
    line = await world.run("portal", "cus_1", "--json")
    flow = ("--flow", "subscription_pause", "--subscription", "sub_1")
    made = await world.run("portal", "cus_1", *flow, *DONE)
    again = await world.run("portal", "cus_1", *DONE, "--json")

    assert seen.stdout.splitlines()[1].split() == ["cus_1", "bpc_1", "yes", "https://here.test/"]
    assert "Nothing is sent" in seen.stderr
    assert json.loads(line.stdout)["subscription_pause"] is True
    assert made.stdout.startswith("https://billing.stripe.com/"), made.stderr
    assert json.loads(again.stdout)["customer"] == "cus_1"
    assert {r.action for r in await world.recorded()} == {"portal.open"}


@pytest.mark.asyncio
async def test_a_connected_account_is_named(world: World) -> None:
    """Its subscription is not the platform's."""
    world.stripe.sandbox.connect("acct_1")
    world.stripe.holds(SUBSCRIPTION, account="acct_1")
    await world.run("pause", "sub_1", "--behavior", "void", "--account", "acct_1", *DONE)
    assert world.stripe.held()["pause_collection"] is None
    assert {r.about for r in await world.recorded()} == {"acct_1/cus_1"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("resume", "sub_1", "--apply"), "--reason"),
        (("resume", "sub_9"), "No such subscription"),
        (("portal", "cus_1", "--flow", "elsewhere"), "subscription_cancel"),
        (("portal", "cus 1"), "cannot be asked for"),
        (("portal", "cus_1", "--configuration", "bpc_9"), "bpc_9"),
        (("pause", "sub_1", "--behavior", "void", "--resumes-at", "soon"), "not a time"),
        (("pause", "sub_1", "--behavior", "void", "--resumes-at", "-1d"), "has passed"),
    ],
)
async def test_what_cannot_be_is_one_sentence(
    world: World, arguments: tuple[str, ...], sentence: str
) -> None:
    """Exit code 2, and nothing is done."""
    assert sentence in refusal(await world.run(*arguments))
    assert not world.stripe.sandbox.account.held["event"]


@pytest.mark.asyncio
async def test_without_a_key_it_says_what_is_needed(store_url: str) -> None:
    """By the name of the variable."""
    for arguments in (("resume", "sub_1"), ("portal", "cus_1")):
        found = await told(*arguments, ENTITLEMENTS_REDIS_URL=store_url)
        assert "ENTITLEMENTS_STRIPE_API_KEY" in refusal(found)
