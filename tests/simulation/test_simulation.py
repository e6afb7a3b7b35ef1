"""Right wherever every event came, in doubt where that is said, and wrong cores are found out."""

import asyncio
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from msgspec.structs import replace

from entitlements.answers import Answers
from entitlements.ingest import Ingest
from entitlements.model import Subject
from entitlements.policy import BUILT_IN
from entitlements.resolve import entitlement
from entitlements.sandbox.event import encoded
from tests.simulation.__main__ import simulate
from tests.simulation.check import Run, run, story
from tests.simulation.core import WRONG, Core, service
from tests.simulation.delivery import MODES, duplicated
from tests.simulation.life import PRODUCT, Choose, lived, renamed
from tests.simulation.truth import granted, instants
from tests.support.stores import opened

COMPLETE = [mode for mode in MODES if mode != "lossy"]


@pytest.mark.parametrize("mode", COMPLETE)
def test_where_every_event_came_no_answer_is_wrong(mode: str) -> None:
    """And none is left in doubt: about every instant around which the promise may change."""
    found = simulate(mode, 300, seed=7)

    assert found.example is None, story(found.example)
    assert found.undecided == 0
    assert found.asked > 3_000


def test_what_is_lost_is_lost_quietly_for_no_one() -> None:
    """With one event in five gone, most answers are right all the same, and no delivery fails."""
    found = simulate("lossy", 300, seed=7)

    assert found.wrong < found.asked / 10


@st.composite
def runs(draw: st.DrawFn, mode: str, core: Core = service) -> Run:
    """Draw a life and its delivery, by choices that shrink to the plainest."""

    def choose(options: int) -> int:
        return draw(st.integers(0, options - 1))

    return run(lived(choose, most=6), mode, choose, core)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(COMPLETE).flatmap(runs))
def test_hypothesis_finds_no_life_that_is_answered_wrongly(found: Run) -> None:
    """The same with lives that shrink: a failure prints the plainest of them as a story."""
    assert not found.wrong, story(found)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_core_is_found_out(name: str) -> None:
    """Each belief that is common and wrong gives a wrong answer, unflagged, to some life."""
    seeds = (Random(seed) for seed in range(2_000))  # noqa: S311  a test's own
    runs_of = (run(lived(r.randrange), "shuffled", r.randrange, WRONG[name]) for r in seeds)

    assert any(found.wrong for found in runs_of)


def test_a_wrong_answer_is_told_as_a_story() -> None:
    """Of the plainest life that shows it: two events, come the other way round."""
    try:
        found = find(
            runs("shuffled", WRONG["by arrival"]),
            lambda found: bool(found.wrong),
            settings=settings(max_examples=2_000, phases=[Phase.generate, Phase.shrink]),
        )
    except NoSuchExample:
        pytest.fail("no life shows that arrival is not order")
    told = story(found)

    assert len(found.history) == 2
    assert "2.    created  created" in told
    assert "the answer after delivery 2 is" in told


@pytest.mark.asyncio
async def test_the_whole_service_agrees(store_url: str) -> None:
    """Many lives at once, shuffled and repeated, through three takers of deliveries into a real store."""
    rng = Random(3)  # noqa: S311  a test's own
    lives = {f"cus_{n}": lived(rng.randrange) for n in range(150)}
    deliveries = [
        renamed(arrival.event, name)
        for name, history in lives.items()
        for arrival in duplicated(history, rng.randrange)
    ]
    rng.shuffle(deliveries)
    end = max(history[-1].at for history in lives.values()) + 1
    async with opened(store_url) as store:
        policy = await store.policy(replace(BUILT_IN, log_retention=10**9))
        takers = [Ingest(store, policy) for _ in range(3)]

        async def take(which: int) -> None:
            for event in deliveries[which :: len(takers)]:
                await takers[which].deliver(encoded(event), end)

        await asyncio.gather(*(take(n) for n in range(len(takers))))
        answers = Answers(store, policy)
        for name, history in lives.items():
            for at in list(instants(history))[:: max(1, len(history) // 3)]:
                record = await answers.record(Subject(name), at)
                assert entitlement(record, PRODUCT, at).granted == granted(history, at)


def test_the_plainest_life_is_plain() -> None:
    """All choices zero: an active subscription, and nothing else."""
    plain: Choose = lambda _: 0  # noqa: E731  a value
    (only,) = lived(plain)

    assert only.what == "created active"
