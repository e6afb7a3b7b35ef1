"""Records for product services: the right version, the right instant, the policy in force."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from msgspec.structs import replace

from entitlements.answers import Answers
from entitlements.errors import VersionNotReached
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN, REVOKE
from entitlements.resolve import entitlement
from entitlements.store.store import Store
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.histories import MONTH, START
from tests.support.stores import opened

NOW = START + 10
CUSTOMER = Subject("cus_1")
PLAIN = subscription()
PAUSED = subscription(**pausing("void"))
PAST_DUE = subscription(status="past_due")
STRICT = replace(BUILT_IN, status={**BUILT_IN.status, "past_due": REVOKE})


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """Give an open store that holds a policy and one customer, who paused after five seconds."""
    async with opened(store_url) as found:
        await found.policy(BUILT_IN)
        ingest = Ingest(found, BUILT_IN)
        await ingest.deliver(encoded(event(PLAIN)), NOW)
        await ingest.deliver(encoded(update(PLAIN, PAUSED, created=START + 5)), NOW)
        yield found


@pytest.mark.asyncio
async def test_the_record_that_is_held_answers_for_now_and_later(store: Store) -> None:
    """It is returned as it is, without a look at any history."""
    held = await store.customer(CUSTOMER)
    for at in (START + 5, NOW, START + MONTH):
        assert await Answers(store, BUILT_IN).record(CUSTOMER, at) == held


@pytest.mark.asyncio
async def test_before_the_latest_event_the_history_answers(store: Store) -> None:
    """What held then, by all that is known now."""
    answers = Answers(store, BUILT_IN)
    told = {START - 1: "unknown_feature", START: "active", START + 4: "active", NOW: "paused_void"}
    for at, reason in told.items():
        assert entitlement(await answers.record(CUSTOMER, at), "pro", at).reason == reason


@pytest.mark.asyncio
async def test_of_nobody_there_is_an_empty_record(store: Store) -> None:
    """It names the policy all the same."""
    found = await Answers(store, BUILT_IN).record(Subject("cus_2"), NOW)
    assert (found.version, found.decisions, found.policy) == (0, {}, BUILT_IN.digest)


@pytest.mark.asyncio
async def test_many_questions_are_answered_in_their_order(store: Store) -> None:
    """Subjects and instants may repeat and mix."""
    answers, nobody = Answers(store, BUILT_IN), Subject("cus_2")
    questions = [(CUSTOMER, NOW), (nobody, NOW), (CUSTOMER, START), (CUSTOMER, NOW), (nobody, 0)]
    found = await answers.records(questions, NOW)
    assert found == [(await answers.record(subject, at), at) for subject, at in questions]
    assert await answers.records([], NOW) == []


@pytest.mark.asyncio
async def test_a_version_that_is_held_is_not_waited_for(store: Store) -> None:
    """Nor is an older one."""
    for version in (0, 1, 2):
        assert (await Answers(store, BUILT_IN).record(CUSTOMER, NOW, version)).version == 2


@pytest.mark.asyncio
async def test_a_version_is_waited_for_and_not_for_ever(store: Store) -> None:
    """It is answered as soon as it is there; without it there is no older answer in its place."""
    answers = Answers(store, BUILT_IN)
    with pytest.raises(VersionNotReached, match="is 2, not yet 3"):
        await answers.record(CUSTOMER, NOW, 3)
    waiting = asyncio.create_task(answers.record(CUSTOMER, NOW, 3))
    body = encoded(update(PAUSED, PAST_DUE, id="evt_3", created=START + 6))
    await Ingest(store, BUILT_IN).deliver(body, NOW)
    assert (await waiting).version == 3


@pytest.mark.asyncio
async def test_the_past_is_judged_by_the_policy_in_force(store: Store) -> None:
    """A process that has not heard of it learns of it from the record."""
    answers = Answers(store, BUILT_IN)
    ingest = Ingest(store, BUILT_IN)
    await ingest.deliver(encoded(update(PAUSED, PAST_DUE, id="evt_3", created=START + 6)), NOW)
    await ingest.deliver(encoded(update(PAST_DUE, PLAIN, id="evt_4", created=START + 8)), NOW)
    assert entitlement(await answers.record(CUSTOMER, START + 7), "pro", START + 7).granted

    await store.enforce(STRICT)
    renamed = PLAIN | {"cancel_at": START + MONTH}
    body = encoded(update(PLAIN, renamed, id="evt_5", created=START + 9))
    await Ingest(store, STRICT).deliver(body, NOW)
    found = entitlement(await answers.record(CUSTOMER, START + 7), "pro", START + 7)
    assert (found.granted, found.policy) == (False, STRICT.digest)
    assert answers.policy == STRICT
