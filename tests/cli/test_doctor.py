"""`entitlements doctor` as its users run it: a process, a store and a sandbox Stripe, by the clock of the machine."""

import json
import time
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from entitlements.decode import TYPES
from entitlements.sandbox.shapes import Terms, new
from tests.support.bodies import SECRET
from tests.support.command import refusal
from tests.support.histories import MONTH
from tests.support.service import Clock, serving
from tests.support.stripes import Stripe, stripe, told

TOKEN = f"ops:operate:{'0' * 64}"


class World:
    """A store that took in what Stripe has told, and the settings of a process beside it."""

    def __init__(self, stripe: Stripe, url: str) -> None:
        self.stripe = stripe
        self.settings = stripe.settings | {
            "ENTITLEMENTS_REDIS_URL": url,
            "ENTITLEMENTS_WEBHOOK_SECRETS": SECRET,
            "ENTITLEMENTS_TOKENS": TOKEN,
        }


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a service that ran, and a Stripe that it agrees with."""
    clock = Clock(time.time() - 60)
    began = int(clock.now)
    body = new(Terms("cus_1", "pro", "price_pro"), "sub_1", "si_1", began, began + MONTH)
    async with stripe(clock) as found:
        async with serving(store_url, clock=clock) as service:
            assert (await service.deliver(found.subscribes(body))).is_success
        found.sandbox.deliveries.register(
            "http://127.0.0.1:9/webhooks/stripe", sorted(TYPES), began
        )
        clock.now = time.time()
        yield World(found, store_url)


@pytest.mark.asyncio
async def test_all_is_well(world: World) -> None:
    """One line each, and exit code 0; nothing of it is a secret."""
    found = await told("doctor", **world.settings)

    assert found.returncode == 0, found.stdout
    lines = found.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"OK"}
    assert [line.split()[1] for line in lines][-2:] == ["stripe.undelivered", "drift"]
    for secret in (SECRET, *world.stripe.settings.values()):
        assert secret not in found.stdout


@pytest.mark.asyncio
async def test_what_is_wrong_is_exit_code_1(world: World) -> None:
    """With the remedy behind it; or as JSON."""
    (hook,) = world.stripe.sandbox.deliveries.endpoints.values()
    hook["status"] = "disabled"
    found = await told("doctor", **world.settings)
    lines = await told("doctor", "--json", **world.settings)

    assert found.returncode == lines.returncode == 1
    (bad,) = [line for line in found.stdout.splitlines() if not line.startswith("OK ")]
    assert bad.split()[:2] == ["FAIL", "stripe.webhook"]
    assert "entitlements replay --source stripe --undelivered" in bad
    (said,) = [one for one in map(json.loads, lines.stdout.splitlines()) if one["level"] != "OK"]
    assert (said["object"], said["check"]) == ("finding", "stripe.webhook")
    assert said["remedy"]


@pytest.mark.asyncio
async def test_stripe_can_be_left_out(world: World) -> None:
    """And the address of the endpoint named."""
    local = await told("doctor", "--local", **world.settings)
    other = await told("doctor", "--url", "https://x.example/hook", **world.settings)

    assert local.returncode == 0, local.stdout
    assert "stripe." not in local.stdout
    assert "https://x.example/hook" in other.stdout


@pytest.mark.asyncio
async def test_what_cannot_be_run_is_exit_code_2(world: World) -> None:
    """A setting that is wrong."""
    found = await told("doctor", **world.settings | {"ENTITLEMENTS_LIVEMODE": "perhaps"})
    assert "ENTITLEMENTS_LIVEMODE" in refusal(found)
