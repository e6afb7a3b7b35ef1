"""An examination of a service, a store and a sandbox Stripe: what is well, and each thing that is not."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from entitlements.cli.dev import KEY
from entitlements.decode import TYPES
from entitlements.doctor import Wish, examine
from entitlements.doctor.deliveries import SILENT, UNDER_WAY, UNUSED
from entitlements.doctor.finding import Finding
from entitlements.policy import BUILT_IN
from entitlements.sandbox.shapes import Body
from entitlements.settings import Settings
from entitlements.store import keys
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.reads import Reads
from entitlements.store.secrets import fingerprint
from tests.support.bodies import SECRET, event, pausing, subscription
from tests.support.clusters import free_ports
from tests.support.histories import START
from tests.support.servers import client
from tests.support.service import Service, serving, settings
from tests.support.stripes import SUBSCRIPTION, Stripe, stripe

OTHER = "whsec_another"
ADDRESS = "http://127.0.0.1:9/webhooks/stripe"


class World:
    """A service that took in what its Stripe has told of one subscription."""

    def __init__(self, stripe: Stripe, service: Service, url: str) -> None:
        self.stripe = stripe
        self.service = service
        self.url = url
        self.settings: Settings = service.state["settings"]
        self.slept: list[float] = []
        self.meanwhile: Callable[[], Awaitable[object]] = _nothing

    async def examined(self, check: str, **given: Any) -> list[Finding]:  # noqa: ANN401  any setting or wish
        """Return what one check finds, by other settings or wishes than usual."""
        return [one for one in await self.all(**given) if one.check == check]

    async def all(self, **given: Any) -> list[Finding]:  # noqa: ANN401  likewise
        """Return everything that is found."""
        wishes = {name: given.pop(name) for name in ("local", "address", "sample") if name in given}
        fields = {name: getattr(self.settings, name) for name in self.settings.__slots__} | given
        wish = Wish(clock=self.stripe.clock, sleep=self._sleep, **wishes)
        return [one async for one in examine(Settings(**fields), self.url, wish)]

    async def only(self, check: str, **given: Any) -> tuple[str, str]:  # noqa: ANN401  likewise
        """Return the level and the words of a check that has one line."""
        (found,) = await self.examined(check, **given)
        assert (found.remedy is None) == (found.level == "OK")
        return found.level, str(found)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.meanwhile()

    async def told(self, event: Body) -> None:
        """Deliver an event."""
        assert (await self.service.deliver(event)).is_success


async def _nothing() -> None:
    await asyncio.sleep(0)


@pytest_asyncio.fixture
async def world(store_url: str) -> AsyncGenerator[World]:
    """Give a service, with a Stripe that it agrees with."""
    async with (
        stripe() as found,
        serving(
            store_url, clock=found.clock, stripe_api_key=KEY, stripe_api_base=found.url
        ) as service,
    ):
        world = World(found, service, store_url)
        await world.told(found.subscribes(SUBSCRIPTION))
        found.sandbox.deliveries.register(ADDRESS, sorted(TYPES), START)
        yield world


@pytest.mark.asyncio
async def test_all_is_well(world: World) -> None:
    """A line for each check; the clock alone is that of another time in this test."""
    found = await world.all()
    assert [one.check for one in found if one.level != "OK"] == ["store.clock"]
    assert [one.check for one in found] == [
        "settings",
        *(f"store.{c}" for c in ("version", "persistence", "eviction", "replication")),
        *("store.memory", "store.clock", "policy", "quarantine", "doubts", "webhook.secrets"),
        *("stripe.key", "stripe.clock", "stripe.webhook", "stripe.portal"),
        *("stripe.undelivered", "drift"),
    ]
    assert KEY not in str(found)
    assert SECRET not in str(found)


@pytest.mark.asyncio
async def test_without_a_key_it_says_what_it_needs(world: World) -> None:
    """Unless only what is here is asked about."""
    found = await world.all(stripe_api_key=None)
    beyond = [one for one in found if one.check.startswith("stripe.") or one.check == "drift"]
    assert {one.level for one in beyond} == {"WARN"}
    assert len(beyond) == 5
    assert all("ENTITLEMENTS_STRIPE_API_KEY" in str(one) for one in beyond)
    assert not [one for one in await world.all(local=True) if one.check.startswith("stripe.")]


@pytest.mark.asyncio
async def test_a_stripe_out_of_reach_is_one_finding(world: World) -> None:
    """The last one: who asks while Stripe is down does not wait for each call of it to fail."""
    (port,) = free_ports(1)
    *others, last = await world.all(stripe_api_base=f"http://127.0.0.1:{port}")
    assert (last.check, last.level) == ("stripe.key", "FAIL")
    assert "not looked at, since Stripe cannot be reached" in last.detail
    assert [one.check for one in others] == [one.check for one in await world.all(local=True)]


@pytest.mark.asyncio
async def test_a_store_out_of_reach_is_a_finding(own_store: EmbeddedStore) -> None:
    """The first thing to mend; what needs it is not looked at."""
    own_store.stop()
    found = [one async for one in examine(settings(), own_store.url, Wish())]
    assert [(one.check, one.level) for one in found] == [
        ("settings", "OK"),
        ("store.reachable", "FAIL"),
    ]


@pytest.mark.asyncio
async def test_an_empty_store_is_left_empty(store_url: str) -> None:
    """Nothing is written by looking, but for counts of calls that vanish by themselves."""
    found = [one async for one in examine(settings(), store_url, Wish(local=True))]
    assert [one.check for one in found if one.level != "OK"] == ["policy", "webhook.secrets"]
    with client(store_url) as server:
        assert server.dbsize() == 0


@pytest.mark.asyncio
async def test_a_store_that_is_half_imported_is_told(world: World) -> None:
    """Nothing is served from it; one that is whole has no line."""
    assert await world.examined("store.import") == []
    with client(world.url) as server:
        server.hset(keys.IMPORT, mapping={"file": "x", "line": 1})
    level, words = await world.only("store.import")
    assert (level, "import" in words) == ("FAIL", True)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("given", "level", "words"),
    [
        ({"webhook_secrets": ()}, "FAIL", "ENTITLEMENTS_WEBHOOK_SECRETS"),
        ({"webhook_secrets": ("secret",)}, "WARN", "whsec_"),
        ({"tokens": ()}, "WARN", "entitlements token new"),
        ({"durability": "memory"}, "WARN", "set it to fsync"),
        ({"stripe_api_key": "pk_test_1", "local": True}, "WARN", "does not say its mode"),
    ],
)
async def test_settings_that_leave_something_open(
    world: World, given: dict[str, Any], level: str, words: str
) -> None:
    """Each by the name of its variable."""
    found = await world.only("settings", **given)
    assert found[0] == level
    assert words in found[1]


@pytest.mark.asyncio
async def test_a_service_for_queries_needs_no_secret_and_one_for_webhooks_no_token(
    world: World,
) -> None:
    """What a process does not serve is no fault of its settings."""
    for given in (
        {"webhook_secrets": (), "surfaces": frozenset({"queries"})},
        {"tokens": (), "surfaces": frozenset({"webhooks"})},
    ):
        assert (await world.only("settings", **given))[0] == "OK"
    assert await world.examined("webhook.secrets", webhook_secrets=()) == []


@pytest.mark.asyncio
async def test_a_policy_that_is_not_in_force_is_told(world: World, tmp_path: Path) -> None:
    """As is a file that cannot be used."""
    other, broken = tmp_path / "other.toml", tmp_path / "broken.toml"
    other.write_text('[status]\npast_due = "revoke"\n')
    broken.write_text("[stat]\n")
    assert (await world.only("policy"))[0] == "OK"
    differs = await world.only("policy", policy_file=other)
    assert (differs[0], "entitlements policy apply" in differs[1]) == ("WARN", True)
    assert (await world.only("policy", policy_file=broken))[0] == "FAIL"


@pytest.mark.asyncio
async def test_what_waits_in_the_quarantine_is_counted(world: World) -> None:
    """With what to do about it."""
    await world.told(event(subscription() | {"items": None}, id="evt_odd"))
    level, words = await world.only("quarantine")
    assert (level, "1 events wait" in words) == ("WARN", True)


@pytest.mark.asyncio
async def test_doubts_are_told_and_those_that_nobody_settles(world: World) -> None:
    """With a key they are being read; without one they wait; after many tries a person has to look."""
    for n, (kind, status) in enumerate((("paused", "paused"), ("resumed", "unpaid"))):
        said = subscription(id="sub_2", customer="cus_2") | {"status": status}
        odd = event(said, f"customer.subscription.{kind}", id=f"evt_{n}", created=START)
        await world.told(odd)
    assert await world.only("doubts") == ("OK", "1 subscriptions are being read from Stripe")
    assert (await world.only("doubts", stripe_api_key=None))[0] == "WARN"

    reads = Reads(world.service.state["store"])
    (doubt,) = await reads.claim(START + 100, 30, 1)
    await reads.put_off(doubt, None)
    level, words = await world.only("doubts")
    assert (level, "1 subscriptions could not be read" in words) == ("FAIL", True)


@pytest.mark.asyncio
async def test_secrets_are_judged_by_what_they_verified(world: World) -> None:
    """In use, of no use, or silent for too long; by fingerprint."""
    used, unused = fingerprint(SECRET), fingerprint(OTHER)
    assert await world.only("webhook.secrets") == ("OK", f"in use: {used}")
    level, words = await world.only("webhook.secrets", webhook_secrets=(SECRET, OTHER))
    assert (level, words.startswith(f"{unused} verified nothing")) == ("WARN", True)
    level, words = await world.only("webhook.secrets", webhook_secrets=(OTHER,))
    assert (level, f"not verified yet with {unused}" in words) == ("WARN", False)
    assert "no delivery was verified yet" in words

    await world.service.deliver(event(subscription()), OTHER)
    both = (SECRET, OTHER)
    world.stripe.clock.now += SILENT + 1
    level, words = await world.only("webhook.secrets", webhook_secrets=both)
    assert (level, "1.0 days ago" in words) == ("WARN", True)


@pytest.mark.asyncio
async def test_a_secret_that_was_rolled_can_go(store_url: str) -> None:
    """Three days after it verified something last, not before."""
    async with serving(store_url, webhook_secrets=(SECRET, OTHER)) as service, stripe() as found:
        world = World(found, service, store_url)
        await service.deliver(event(subscription()), SECRET)
        service.clock.now += UNUSED
        await service.deliver(event(subscription()), OTHER)
        found.clock.now = service.clock.now
        assert (await world.only("webhook.secrets"))[0] == "OK"
        found.clock.now += 1
        level, words = await world.only("webhook.secrets")
        assert (level, words.startswith(fingerprint(SECRET))) == ("WARN", True)


@pytest.mark.asyncio
async def test_the_mode_of_the_key_is_compared(world: World) -> None:
    """With what the settings say, and with the store's; a key that Stripe does not know is a finding."""
    level, words = await world.only("stripe.key")
    assert (level, words) == ("OK", "acct_sandbox, in test mode")
    level, words = await world.only("stripe.key", livemode=True)
    assert (level, "ENTITLEMENTS_LIVEMODE is for live mode" in words) == ("FAIL", True)
    level, words = await world.only("stripe.key", stripe_api_key="sk_live_1")
    assert (level, "Stripe says: Send a secret key" in words) == ("FAIL", True)


@pytest.mark.asyncio
async def test_a_clock_that_is_not_stripes_is_told(world: World) -> None:
    """Every signature would be refused."""
    assert (await world.only("stripe.clock"))[0] == "OK"
    world.stripe.sandbox.advance(START + 400)
    assert (await world.only("stripe.clock"))[0] == "FAIL"


@pytest.mark.asyncio
async def test_the_endpoint_is_looked_up(world: World) -> None:
    """As Stripe has it."""
    (hook,) = world.stripe.sandbox.deliveries.endpoints.values()
    assert (await world.only("stripe.webhook"))[0] == "OK"
    assert (await world.only("stripe.webhook", address=f"{ADDRESS}/other"))[0] == "FAIL"
    hook["status"] = "disabled"
    assert (await world.only("stripe.webhook"))[0] == "FAIL"


@pytest.mark.asyncio
async def test_before_the_first_start_the_policy_of_the_settings_is_gone_by(
    world: World, own_store: EmbeddedStore
) -> None:
    """Of an endpoint too; and nothing can be compared."""
    world.url = own_store.url
    assert (await world.only("stripe.webhook"))[0] == "OK"
    level, words = await world.only("drift")
    assert (level, "names no policy" in words) == ("FAIL", True)


@pytest.mark.asyncio
async def test_the_portal_is_looked_up(world: World) -> None:
    """Whether customers pause by themselves, and what policy in force makes of it."""
    world.stripe.configures("bpc_1", is_default=True, pause=True)
    assert (await world.only("stripe.portal"))[0] == "OK"
    generous = replace(BUILT_IN, status=BUILT_IN.status | {"paused": BUILT_IN.status["active"]})
    await world.service.state["store"].enforce(generous)
    assert (await world.only("stripe.portal"))[0] == "WARN"


@pytest.mark.asyncio
async def test_undelivered_events_count_where_they_are_not_held(world: World) -> None:
    """Those on their way do not, nor those that only another endpoint misses, nor what is older than a day."""
    held, lost = (
        world.stripe.subscribes(subscription(id=f"sub_{n}", customer=f"cus_{n}")) for n in (2, 3)
    )
    await world.told(held)
    world.stripe.fails(held, lost)
    level, words = await world.only("stripe.undelivered")
    assert (level, words.startswith("2 were not delivered to some endpoint")) == ("OK", True)
    world.stripe.clock.now += UNDER_WAY + 1
    level, words = await world.only("stripe.undelivered")
    assert (level, words.startswith("1 events of the last day")) == ("FAIL", True)
    assert lost["id"] in words
    assert "entitlements replay --source stripe --undelivered" in words
    await world.told(lost)
    assert (await world.only("stripe.undelivered"))[0] == "OK"
    world.stripe.clock.now += 86_400
    assert await world.only("stripe.undelivered") == (
        "OK",
        "all events of the last day were delivered",
    )


@pytest.mark.asyncio
async def test_many_undelivered_events_are_counted_page_by_page(world: World) -> None:
    """Up to a bound."""
    lost = [
        world.stripe.subscribes(subscription(id=f"sub_{n}", customer=f"cus_{n}"))
        for n in range(100, 250)
    ]
    world.stripe.fails(*lost)
    world.stripe.clock.now += UNDER_WAY + 1
    level, words = await world.only("stripe.undelivered")
    assert (level, words.startswith("150 events of the last day")) == ("FAIL", True)
    assert lost[0]["id"] in words


@pytest.mark.asyncio
async def test_drift_is_found_on_either_side(world: World) -> None:
    """What Stripe holds otherwise, what it holds and nobody here knows, and what it holds no more."""
    assert await world.only("drift") == (
        "OK",
        "1 subscriptions looked at, here and at Stripe, say the same",
    )
    assert world.slept == []
    world.stripe.clock.now += 60
    world.stripe.holds(SUBSCRIPTION | {"status": "unpaid"})
    level, words = await world.only("drift")
    assert (level, "cus_1 loses pro" in words) == ("FAIL", True)
    world.stripe.holds(SUBSCRIPTION, subscription(id="sub_2", customer="cus_2"))
    assert "cus_2 gains pro" in (await world.only("drift"))[1]
    del world.stripe.sandbox.account.held["subscription"]["sub_1"]
    del world.stripe.sandbox.account.held["subscription"]["sub_2"]
    level, words = await world.only("drift")
    assert (level, "sub_1 of cus_1 is not at Stripe" in words) == ("FAIL", True)
    assert len(world.slept) == 3


@pytest.mark.asyncio
async def test_what_is_on_its_way_is_no_drift(world: World) -> None:
    """A difference is looked at again, after its webhook had time to come."""
    world.stripe.clock.now += 60
    news = world.stripe.subscribes(SUBSCRIPTION | {"status": "unpaid"})

    async def comes() -> None:
        await world.told(news)

    world.meanwhile = comes
    assert (await world.only("drift"))[0] == "OK"
    assert len(world.slept) == 1


@pytest.mark.asyncio
async def test_what_grants_nothing_either_way_is_no_drift(world: World) -> None:
    """A subscription that ended before this service was there; a pause that changes no answer."""
    over = subscription(id="sub_2", customer="cus_2") | {"status": "canceled"}
    world.stripe.holds(over, SUBSCRIPTION | pausing("keep_as_draft"))
    assert (await world.only("drift"))[0] == "OK"


@pytest.mark.asyncio
async def test_drift_of_another_mode_is_a_finding(world: World) -> None:
    """Nothing of it could be taken in."""
    level, words = await world.only("drift", livemode=True)
    assert (level, "livemode" in words) == ("FAIL", True)


@pytest.mark.asyncio
async def test_drift_of_a_connected_account_is_looked_for_there(world: World) -> None:
    """By its own name."""
    body = subscription(id="sub_9", customer="cus_9")
    await world.told(event(body, id="evt_9", account="acct_1"))
    world.stripe.clock.now += 60
    assert "does not have access to account 'acct_1'" in (await world.only("drift"))[1]
    world.stripe.sandbox.connect("acct_1")
    assert "sub_9 of acct_1/cus_9 is not at Stripe" in (await world.only("drift"))[1]
    world.stripe.holds(body, account="acct_1")
    assert (await world.only("drift"))[0] == "OK"
    world.stripe.holds(body | {"status": "unpaid"}, account="acct_1")
    assert "acct_1/cus_9 loses pro" in (await world.only("drift"))[1]
