"""The law of the three doors: whoever asks, and how, the same question has the same answer."""

import asyncio
import json
from typing import NamedTuple

import msgspec
from httpx2 import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entitlements.decide import decide
from entitlements.fold import fold
from entitlements.model import CustomerRecord, Override, Review, Subject, SubscriptionRecord
from entitlements.policy import BUILT_IN
from entitlements.policy_file import parse
from entitlements.resolve import features
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from entitlements.store.cold import encode as written
from tests.support.doors import (
    USE,
    customer,
    feature,
    of_authzen,
    of_ofrep,
    of_v1,
    post,
    question,
    target,
)
from tests.support.histories import MONTH, START, Life
from tests.support.policies import wide_lives
from tests.support.servers import client
from tests.support.service import READ, Service, bearer, serving

POLICIES = (
    BUILT_IN,
    parse('pause_collection.void = { access = "review", while_pending = "revoke" }'),
)
SUBJECT = Subject("cus_1")

POSTED = (
    *("/access/v1/evaluation", "/access/v1/evaluations", "/access/v1/search/subject"),
    *("/access/v1/search/resource", "/access/v1/search/action"),
    *("/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/pro"),
)


class Held(NamedTuple):
    """What a store holds of one customer: the hot record, and the facts of each subscription."""

    record: CustomerRecord
    subscriptions: dict[str, SubscriptionRecord]


instants = st.integers(START - 10, START + 6 * MONTH)
overrides = st.dictionaries(
    st.sampled_from(["pro", "extra"]),
    st.builds(Override, st.sampled_from(["grant", "deny"]), st.just("test"), st.none() | instants),
)


@st.composite
def helds(draw: st.DrawFn) -> Held:
    """Draw a customer of up to two subscriptions, decided by a policy, with a person's words over it."""
    policy = draw(st.sampled_from(POLICIES))
    lives: list[Life] = draw(st.lists(wide_lives(3), min_size=1, max_size=2))
    folded = {f"sub_{n}": fold(life.facts, policy) for n, life in enumerate(lives)}
    decisions = {n: decide(state, policy) for n, (_, state) in folded.items() if state}
    reviews = {
        name: Review(draw(st.sampled_from(["grant", "revoke"])), decision.since, "test")
        for name, decision in decisions.items()
        if draw(st.booleans())
    }
    record = CustomerRecord(3, policy.digest, decisions, draw(overrides), reviews)
    colds = {n: SubscriptionRecord(facts, state) for n, (facts, state) in folded.items()}
    return Held(record, colds)


def hold(url: str, held: Held) -> None:
    """Put a customer into an empty store, as deliveries would have left it."""
    p, encode = keys.partition(str(SUBJECT), keys.PARTITIONS), msgspec.json.encode
    (policy,) = (policy for policy in POLICIES if policy.digest == held.record.policy)
    with client(url) as plain:
        plain.flushall()
        plain.hset(keys.META, "policy", policy.digest)
        plain.set(keys.policy(policy.digest), encode(policy))
        plain.set(keys.customer(p, SUBJECT), encode(held.record))
        for name, cold in held.subscriptions.items():
            plain.set(keys.subscription(p, SUBJECT, name), written(cold))


async def same_at_every_door(service: Service, record: CustomerRecord, at: int | None) -> None:
    """Ask for every feature, and for two that are none, at every door; fail where one says something else."""
    known = features(record)
    query = "" if at is None else f"?at={at}"
    context: Body = {} if at is None else {"context": {"at": at}}
    granted = []
    for name in [*known, "none", "pro"]:
        said = of_v1((await service.ask(f"/v1/customers/cus_1/entitlements/{name}{query}")).json())
        (checked,) = (await service.check({"customer": "cus_1", "feature": name, "at": at})).json()[
            "data"
        ]
        assert of_v1(checked) == said
        asked = question("cus_1", name, **context)
        decision = (await post(service, "/access/v1/evaluation", asked)).json()
        assert of_authzen(decision) == said
        (other,) = (await post(service, "/access/v1/evaluations", {"evaluations": [asked]})).json()[
            "evaluations"
        ]
        assert other == decision
        if at is None:
            flag = (await post(service, f"/ofrep/v1/evaluate/flags/{name}", target())).json()
            assert of_ofrep(flag) == said
        actions = await found(
            service, "action", subject=customer(), resource=feature(name), **context
        )
        assert actions == ([USE] if said["granted"] else [])
        who = await found(
            service,
            "subject",
            subject={"type": "customer"},
            action=USE,
            resource=feature(name),
            **context,
        )
        assert who == ([customer()] if said["granted"] else [])
        granted += [name] if said["granted"] and name in known else []
    what = await found(
        service, "resource", subject=customer(), action=USE, resource={"type": "feature"}, **context
    )
    assert [one["id"] for one in what] == sorted(set(granted))
    if at is None:
        flags = (await post(service, "/ofrep/v1/evaluate/flags", target())).json()["flags"]
        listed = (await service.ask("/v1/customers/cus_1/entitlements?include=denied")).json()
        assert [flag["key"] for flag in flags] == [one["feature"] for one in listed["data"]]
        assert [of_ofrep(flag) for flag in flags] == [of_v1(one) for one in listed["data"]]


async def found(service: Service, what: str, **asked: object) -> list[Body]:
    """Return the results of a search."""
    said: Body = (await post(service, f"/access/v1/search/{what}", asked)).json()
    assert said["page"]["next_token"] == ""
    results: list[Body] = said["results"]
    return results


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(helds(), instants, instants)
def test_every_door_leads_to_the_same_answer(store_url: str, held: Held, now: int, at: int) -> None:
    """Of any customer, about any feature: at present, and at any instant where a door can be asked for one."""
    hold(store_url, held)

    async def ask() -> None:
        async with serving(store_url) as service:
            service.clock.now = now + 0.5
            await same_at_every_door(service, held.record, None)
            await same_at_every_door(service, held.record, at)

    asyncio.run(ask())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
subjects = values | st.fixed_dictionaries(
    {"type": values | st.just("customer"), "id": values | st.just("cus_1")}
)
bodies = values | st.fixed_dictionaries(
    {
        "subject": subjects,
        "action": values | st.just(USE),
        "resource": values | st.just(feature()),
    },
    optional={
        "context": values | st.fixed_dictionaries({"targetingKey": values | st.just("cus_1")}),
        "evaluations": values | st.lists(st.fixed_dictionaries({"subject": subjects}), max_size=2),
        "options": values,
        "page": values | st.fixed_dictionaries({}, optional={"token": values, "limit": values}),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(bodies)
def test_whatever_is_sent_is_answered_or_refused(store_url: str, body: object) -> None:
    """No JSON is a fault of ours, and nothing that is refused looks like an answer."""

    async def ask() -> None:
        async with serving(store_url) as service:
            for path in POSTED:
                said = await service.http.post(
                    path,
                    content=json.dumps(body),
                    headers=bearer(READ) | {"Content-Type": "application/json"},
                )
                assert said.status_code in {200, 400}, path
                if said.status_code == 400:
                    assert not {"decision", "value", "results"} & keys_of(said)

    asyncio.run(ask())


def keys_of(response: Response) -> set[str]:
    """Return the keys of an answer, of which a sentence has none."""
    is_json = response.headers["content-type"] == "application/json"
    return set(response.json()) if is_json else set()
