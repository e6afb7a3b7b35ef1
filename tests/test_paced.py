"""Calls of Stripe within the rate that all processes share, made again where Stripe asks to wait."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from entitlements.cli.dev import KEY
from entitlements.errors import StripeRefused, StripeUnavailable
from entitlements.heal import RATE as OF_DOUBTS
from entitlements.model import Subject
from entitlements.paced import RATE, WAITS, Paced
from entitlements.sandbox.hosting import running
from entitlements.sandbox.world import Sandbox
from entitlements.store.reads import Reads
from entitlements.stripe_api import StripeApi
from entitlements.stripe_api.shapes import Pause
from tests.stripe_api.test_api import PLAIN
from tests.support.histories import START
from tests.support.service import Clock
from tests.support.stores import opened


class World:
    """A sandbox, calls that are paced, and a clock that their waits put forward."""

    def __init__(self, sandbox: Sandbox, url: str, reads: Reads) -> None:
        self.sandbox = sandbox
        self.reads = reads
        self.clock = Clock(START + 0.25)
        self.waits: list[float] = []
        self.api = StripeApi(KEY, url, Paced(reads, self.clock, self._wait))

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.now += seconds


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a sandbox, and a store that counts."""
    sandbox = Sandbox(Clock(START), seed=1)
    async with running(sandbox) as url, opened(store_url) as store:
        yield World(sandbox, url, Reads(store))


@pytest.mark.asyncio
async def test_a_second_has_so_many_calls(world: World) -> None:
    """Of all processes together; the next one waits for the next second."""
    for _ in range(RATE + 1):
        await world.api.account()
    assert world.waits == [0.75]
    assert await world.reads.permit(START + 1, RATE)


@pytest.mark.asyncio
async def test_doubts_have_a_share_of_their_own(world: World) -> None:
    """A long walk does not keep them from being read."""
    for _ in range(RATE + 1):
        await world.api.account()
    assert await world.reads.permit(START, OF_DOUBTS)


@pytest.mark.asyncio
async def test_a_limit_of_stripes_is_waited_out(world: World) -> None:
    """Longer each time; each try takes a permit."""
    world.sandbox.refuse = 3
    assert (await world.api.account()).id == "acct_sandbox"
    assert world.waits == [*WAITS[:3]]


@pytest.mark.asyncio
async def test_patience_has_an_end(world: World) -> None:
    """Then its words are passed on."""
    world.sandbox.refuse = 100
    with pytest.raises(StripeUnavailable, match="Too many requests"):
        await world.api.account()
    assert world.waits == [*WAITS]
    assert world.sandbox.refuse == 100 - len(WAITS) - 1


@pytest.mark.asyncio
async def test_a_refusal_is_not_repeated(world: World) -> None:
    """It would not help."""
    with pytest.raises(StripeRefused):
        await world.api.subscription(Subject("cus_1"), "sub_none")
    assert world.waits == []


@pytest.mark.asyncio
async def test_a_write_whose_answer_was_lost_is_done_once(world: World) -> None:
    """The key of the first try is the key of the second."""
    world.sandbox.account.held["subscription"]["sub_1"] = PLAIN
    lost = _Losing(world.api)
    await Paced(world.reads, world.clock, world._wait)(lost)  # noqa: SLF001  its clock
    assert lost.tries == 2
    assert len(world.sandbox.account.held["event"]) == 1


class _Losing:
    """A write whose first answer is lost on its way."""

    def __init__(self, api: StripeApi) -> None:
        self._api = api
        self.tries = 0

    async def __call__(self) -> Any:  # noqa: ANN401  what was read
        """Pause, and perhaps hear of it."""
        self.tries += 1
        found = await self._api.set_pause("sub_1", Pause("void"), key="one")
        if self.tries == 1:
            raise StripeUnavailable("The answer was lost.")
        return found
