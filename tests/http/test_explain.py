"""Explanations over HTTP: for who may operate, always an explanation, and the answers of every other door."""

from random import Random

import pytest

from entitlements.answers import Answers
from entitlements.errors import BeyondRetention
from entitlements.explained import Explanation
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.policy_file import parse
from entitlements.resolve import entitlement
from entitlements.sandbox.shapes import Body
from entitlements.store import audit, quarantine
from entitlements.store.audit import Deed
from entitlements.store.store import Store
from entitlements.tell import Question, tell
from tests.http.test_operations import refused
from tests.support.bodies import encoded, event, subscription, update
from tests.support.customers import opened
from tests.support.histories import START
from tests.support.lives import events_of
from tests.support.service import OPERATE, READ, Service, bearer, serving

PLAIN = subscription()


async def told(store: Store, at: int | None = None, known_at: int | None = None) -> Explanation:
    """Return an explanation of cus_1 from a store."""
    question = Question(subject=Subject("cus_1"), at=at, known_at=known_at)
    return await tell(store, Answers(store, await store.policy_in_force()), question, START + 10)


async def explained(service: Service, customer: str = "cus_1", **asked: str | int) -> Body:
    """Return an explanation over HTTP."""
    path = f"/ops/v1/customers/{customer}/explain"
    found = await service.http.get(path, params=asked, headers=bearer(OPERATE))
    assert (found.status_code, found.headers["cache-control"]) == (200, "no-store"), found.text
    answer: Body = found.json()
    return answer


@pytest.mark.asyncio
async def test_its_answers_are_those_of_every_other_door(store_url: str) -> None:
    """A law: over lives that arrive in any order, for any two instants, and also where those doors refuse."""
    rng = Random(7)  # noqa: S311  a test's own
    async with opened(store_url) as store:
        ingest, now = Ingest(store, BUILT_IN), START
        for n in range(4):
            bodies = [b for _ in range(2) for b in events_of(rng, f"cus_{n}", 5)]
            for body in rng.sample(bodies, len(bodies)):
                now = max(now + rng.choice([1, 1_800]), body["created"])
                await ingest.deliver(encoded(body), now)
        answers, compared = Answers(store, BUILT_IN), 0
        for _ in range(60):
            subject = Subject(f"cus_{rng.randrange(4)}")
            at, known_at = rng.randrange(START, now), rng.choice([None, rng.randrange(START, now)])
            question = Question(subject=subject, at=at, known_at=known_at)
            found = await tell(store, answers, question, now)
            record = await answers.record(subject, at, known_at=known_at)
            for one in found.answers:
                assert one.entitlement == entitlement(record, one.feature, at)
                compared += 1
        assert compared > 60


@pytest.mark.asyncio
async def test_a_customer_is_explained(store_url: str) -> None:
    """All features, or the one that is asked about; at present, or at an instant."""
    async with serving(store_url) as service:
        await service.deliver(event(PLAIN))
        await service.deliver(update(PLAIN, PLAIN | {"status": "unpaid"}))
        now, before = await explained(service), await explained(service, at=START)
        other = await explained(service, feature="seats")

    assert (now["object"], now["customer"], now["at"]) == ("explanation", "cus_1", START + 10)
    assert [a["entitlement"]["granted"] for a in (*now["answers"], *before["answers"])] == [
        False,
        True,
    ]
    assert [e["event"] for e in now["subscriptions"][0]["events"]] == ["evt_1", "evt_2"]
    assert now["subscriptions"][0]["events"][1]["changed"] == [
        {"field": "status", "before": "active", "after": "unpaid"}
    ]
    assert [a["feature"] for a in other["answers"]] == ["seats"]
    assert other["answers"][0]["entitlement"]["reason"] == "unknown_feature"


@pytest.mark.asyncio
async def test_an_unknown_customer_has_an_explanation(store_url: str) -> None:
    """Never a 404; with a feature there is an answer, as at every door."""
    async with serving(store_url) as service:
        found = await explained(service, "cus_9", feature="pro", known_at=START)
    assert found["notes"] == ["Nothing was ever heard of this customer."]
    assert found["answers"][0]["entitlement"]["reason"] == "unknown_customer"


@pytest.mark.asyncio
async def test_a_connected_accounts_customer_is_another_one(store_url: str) -> None:
    """The account is named as in Stripe's own API."""
    async with serving(store_url) as service:
        await service.deliver(event(PLAIN, account="acct_1"))
        headers = bearer(OPERATE) | {"Stripe-Account": "acct_1"}
        path = "/ops/v1/customers/cus_1/explain"
        of_account = (await service.http.get(path, headers=headers)).json()
        of_platform = await explained(service)
    assert (of_account["account"], len(of_account["subscriptions"])) == ("acct_1", 1)
    assert (of_platform["account"], of_platform["subscriptions"]) == (None, [])


@pytest.mark.asyncio
async def test_what_is_beyond_retention_is_told_and_not_guessed(store_url: str) -> None:
    """Where the other doors refuse, this one says why; of what is kept it tells all."""
    day = 86_400
    async with opened(store_url) as store:
        ingest = Ingest(store, BUILT_IN)
        await ingest.deliver(encoded(event(PLAIN)), START)
        later = update(PLAIN, PLAIN | {"status": "unpaid"}, created=START + 50 * day)
        await ingest.deliver(encoded(later), START + 50 * day)

        with pytest.raises(BeyondRetention) as raised:
            await Answers(store, BUILT_IN).record(Subject("cus_1"), START - 5)
        found = await told(store, at=START - 5)
        assert (found.refused, found.answers, found.subscriptions) == (str(raised.value), (), ())
        (one,) = (await told(store, at=START + 51 * day)).subscriptions
        assert (one.kept_from, [e.event for e in one.events]) == (START, ["evt_2"])


@pytest.mark.asyncio
async def test_what_waits_and_what_was_done_is_told(store_url: str) -> None:
    """Events in the quarantine that name the customer, and deeds about them."""
    async with opened(store_url) as store:
        ingest = Ingest(store, BUILT_IN, livemode=False)
        for body in (
            event(PLAIN | {"items": None}, id="evt_odd"),
            event(PLAIN | {"customer": "cus_11", "items": None}, id="evt_other"),
            event(PLAIN, id="evt_live", livemode=True),
        ):
            await ingest.deliver(encoded(body), START)
        deeds = Deed("ann", "asked by phone", START), Deed("bob", "not so", START + 5)
        for deed in deeds:
            await audit.write(store, deed.record("override.set", "cus_1", "deny"))
        await audit.write(store, deeds[0].record("override.set", "cus_2"))

        found = await told(store)
        assert {q.event for q in found.quarantined} == {"evt_odd", "evt_live"}
        assert [(d.by, d.reason, d.outcome) for d in found.done] == [
            ("bob", "not so", "deny"),
            ("ann", "asked by phone", "deny"),
        ]
        assert (await told(store, known_at=START - 1)).quarantined == ()
        connected = Subject("cus_1", "acct_1")
        assert await quarantine.naming(store, connected, 10) == []
        assert await quarantine.naming(store, Subject("cus_1"), 0) == []


@pytest.mark.asyncio
async def test_another_policy_in_force_is_told(store_url: str) -> None:
    """Until the customer is decided by it."""
    async with opened(store_url) as store:
        await Ingest(store, BUILT_IN).deliver(encoded(event(PLAIN)), START)
        await store.enforce(policy := parse('[status]\nactive = "revoke"\n'))
        found = await told(store)
        assert (found.policy, found.in_force) == (BUILT_IN.digest, policy.digest)
        assert policy.digest in found.notes[0]
        assert found.answers[0].entitlement.granted


@pytest.mark.asyncio
async def test_only_who_may_operate_is_told(store_url: str) -> None:
    """It is more than an answer."""
    async with serving(store_url) as service:
        for token, status, name in ((None, 401, "unauthenticated"), (READ, 403, "forbidden")):
            path = "/ops/v1/customers/cus_1/explain"
            refused(await service.ask(path, token), status, name)


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", [{"feature": ""}, {"at": "now"}, {"min_version": 1}])
async def test_what_cannot_be_asked_is_refused(store_url: str, asked: dict[str, str | int]) -> None:
    """With a sentence on what it takes."""
    async with serving(store_url) as service:
        path = "/ops/v1/customers/cus_1/explain"
        found = await service.http.get(path, params=asked, headers=bearer(OPERATE))
        refused(found, 400, "bad-request")
