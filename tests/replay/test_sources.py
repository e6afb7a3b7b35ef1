"""The same events each time a source is read, whatever happens meanwhile."""

import io
import json
from collections.abc import AsyncGenerator
from contextlib import ExitStack, closing

import pytest
import pytest_asyncio

from entitlements.cli.dev import KEY
from entitlements.errors import StripeKeyMissing
from entitlements.ingest import Ingest
from entitlements.policy import BUILT_IN
from entitlements.replay.sources import BATCH, FromFile, FromLog, FromStripe, Source, of_service
from entitlements.sandbox.hosting import running
from entitlements.sandbox.shapes import Terms, new
from entitlements.sandbox.subscription import Change
from entitlements.sandbox.world import Sandbox
from entitlements.store.replays import Asked
from entitlements.stripe_api import StripeApi
from tests.support import service
from tests.support.bodies import encoded, event, subscription
from tests.support.customers import opened
from tests.support.histories import MONTH, START
from tests.support.logged import fill
from tests.support.service import Clock

PLAIN = new(Terms("cus_1", "pro", "price_pro"), "sub_1", "si_1", START, START + MONTH)


async def events(source: Source, upto: str, after: str = "") -> list[str]:
    """Return the ids of all events of a source."""
    return [offer.event async for load in source.loads(after, upto) for offer in load.offers]


class Stripe:
    """A sandbox in which things happen."""

    def __init__(self, sandbox: Sandbox, api: StripeApi, clock: Clock, opened: ExitStack) -> None:
        self._sandbox = sandbox
        self._opened = opened
        self.api = api
        self.clock = clock

    def happens(self, count: int, kind: str = "customer.subscription.updated") -> list[str]:
        """Let so much happen in this second; return what is listed, the oldest first."""
        for _ in range(count):
            self._sandbox.account.apply(Change(PLAIN, PLAIN, (kind,)), int(self.clock.now))
        return list(self._sandbox.account.held["event"])

    def connects(self, name: str) -> None:
        """Let something happen to a connected account."""
        change = Change(PLAIN, PLAIN, ("customer.subscription.updated",))
        self._sandbox.connect(name).account.apply(change, int(self.clock.now))

    def source(self, **asked: str | int | bool) -> FromStripe:
        """Return a source, which is closed with the test."""
        wanted = Asked(source="stripe", **asked)  # type: ignore[arg-type]  # its fields
        return self._opened.enter_context(closing(FromStripe(self.api, wanted, self.clock)))


@pytest_asyncio.fixture
async def stripe() -> AsyncGenerator[Stripe]:
    """Give a sandbox whose time begins at START."""
    clock = Clock(START)
    sandbox = Sandbox(clock, seed=1)
    async with running(sandbox) as url:
        with ExitStack() as opened:
            yield Stripe(sandbox, StripeApi(KEY, url), clock, opened)


@pytest.mark.asyncio
async def test_stripe_is_read_from_the_oldest_on_and_once(stripe: Stripe) -> None:
    """Up to the second that goes on; what is listed later, or drops out, changes nothing."""
    names = stripe.happens(BATCH + 3)
    stripe.clock.now += 1
    stripe.happens(1)
    source = stripe.source()
    upto = await source.end()

    assert await events(source, upto) == names
    stripe.happens(2)
    assert await events(source, upto) == names
    assert await events(stripe.source(), upto, names[-2]) == names[-1:]


@pytest.mark.asyncio
async def test_stripe_is_asked_for_what_speaks_of_access(stripe: Stripe) -> None:
    """Or for the one type that is named; for one event by its id; and up to a time."""
    stripe.happens(1, "customer.subscription.trial_will_end")
    *_, meant = stripe.happens(1)
    stripe.clock.now += 10

    async def found(**asked: str | int | bool) -> list[str]:
        source = stripe.source(**asked)
        return await events(source, await source.end())

    assert await found() == [meant]
    assert await found(type="customer.*") == stripe.happens(0)
    assert await found(event=meant) == [meant]
    assert await found(until=START) == []
    assert await found(customer="cus_2") == []


@pytest.mark.asyncio
async def test_an_event_of_a_connected_account_names_it(stripe: Stripe) -> None:
    """As a platform is sent it: Stripe's own list leaves that out."""
    stripe.connects("acct_1")
    stripe.clock.now += 1
    source = stripe.source(account="acct_1")
    (load,) = [load async for load in source.loads("", await source.end())]
    assert [json.loads(offer.read())["account"] for offer in load.offers] == ["acct_1"]


@pytest.mark.asyncio
async def test_stripe_needs_a_key(store_url: str) -> None:
    """Which it says."""
    async with opened(store_url) as store:
        clock = Clock(START)
        with pytest.raises(StripeKeyMissing):
            of_service(service.settings(), store, Asked(source="stripe"), clock)
        given = service.settings(stripe_api_key=KEY)
        with closing(of_service(given, store, Asked(source="stripe"), clock)) as source:
            assert isinstance(source, FromStripe)
        assert isinstance(of_service(given, store, Asked(source="log"), clock), FromLog)


@pytest.mark.asyncio
async def test_the_log_is_read_up_to_where_it_ended(store_url: str) -> None:
    """In the order of receipt; nothing is read again behind a cursor, and the share grows to one."""
    written = [entry.event for _, entry in fill(store_url, 5_000)]
    async with opened(store_url) as store:
        source = FromLog(store, Asked(source="log"))
        upto = await source.end()
        await Ingest(store, BUILT_IN).deliver(encoded(event(subscription())), START)
        loads = [load async for load in source.loads("", upto)]

        assert [offer.event for load in loads for offer in load.offers] == written
        assert [load.share for load in loads] == sorted(load.share or 0 for load in loads)
        assert loads[-1].share == 1.0
        rest = await events(source, upto, loads[0].cursor)
        assert rest == written[len(loads[0].offers) :]


@pytest.mark.asyncio
async def test_standard_input_is_read_once_and_given_twice() -> None:
    """A pipe cannot be read again."""
    lines = [json.dumps({"object": "event", "id": f"evt_{n}"}) for n in range(BATCH + 1)]
    raw = "\n".join([*lines, "no"]).encode()
    source = FromFile(io.BytesIO(raw), Asked(source="file", path="-"))
    upto = await source.end()

    with closing(source):
        first = [load async for load in source.loads("", upto)]
        again = [load async for load in source.loads("", upto)]

    assert [len(load.offers) for load in first] == [BATCH, 1]
    for one, two in zip(first, again, strict=True):
        assert [o.event for o in one.offers] == [o.event for o in two.offers]
        assert (one.cursor, list(one.unreadable)) == (two.cursor, list(two.unreadable))
