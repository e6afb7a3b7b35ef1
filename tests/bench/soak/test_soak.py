"""The parts of a soak: its traffic is what it says, and its judges are awake."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from entitlements.ingest import Ingest
from entitlements.policy import BUILT_IN
from entitlements.sandbox.event import encoded
from entitlements.sandbox.peer import Peer
from entitlements.sandbox.subscription import period
from tests.bench.figures import latency
from tests.bench.preload import fill
from tests.bench.soak.duties import Duty, do
from tests.bench.soak.ending import Ending
from tests.bench.soak.findings import Findings
from tests.bench.soak.judge import Probe, mistakes, probes
from tests.bench.soak.memory import ROOM, Growth, Watch
from tests.bench.soak.report import Report, text
from tests.bench.soak.traffic import END, Traffic, traffic
from tests.support.listening import listening
from tests.support.stores import opened


def test_traffic_tells_of_every_event_within_the_time() -> None:
    """In another order than that of what happened, some twice, and the same for a seed."""
    found = traffic(500, 60, seed=3)
    told = Counter(due.event["id"] for due in found.deliveries)
    happened = sum(len(m.events) for history in found.lives.values() for m in history)
    assert len(told) == happened
    assert 500 <= told.total() < 600
    assert 0.1 < told.total() / happened - 1 < 0.5
    times = [due.at for due in found.deliveries]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 60
    true = [
        f"{event['id']}_sub_of_{name}"
        for name, history in found.lives.items()
        for moment in history
        for event in moment.events
    ]
    assert set(told) == set(true)
    assert out_of_order(found) > 5
    assert traffic(500, 60, seed=3) == found


def out_of_order(found: Traffic) -> int:
    """Count the lives of which something is delivered after what happened later."""
    created: dict[str, list[int]] = {name: [] for name in found.lives}
    for due in found.deliveries:
        created[due.event["data"]["object"]["customer"]].append(due.event["created"])
    return sum(times != sorted(times) for times in created.values())


def test_lives_go_on_to_the_same_end() -> None:
    """Whoever is still subscribed is paid beyond it: nothing is left that Stripe would do by itself."""
    for history in traffic(300, 60, seed=5).lives.values():
        last = history[-1].body
        assert history[-1].at <= END
        assert last["status"] not in {"trialing", "active"} or period(last)[1] > END


def test_questions_have_both_answers() -> None:
    """Around the instants at which promises change, so that an answer that never changes is found out."""
    found = probes(traffic(100, 60, seed=1).lives, seed=1)
    assert {probe.granted for probe in found} == {True, False}


def answering(*answers: dict[str, Any]) -> Starlette:
    """Return an application that answers every batch with these."""

    async def checks(_: Request) -> JSONResponse:
        return JSONResponse({"data": answers})

    return Starlette(routes=[Route("/v1/checks", checks, methods=["POST"])])


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([{"granted": True}], []),
        ([{"granted": False}], ["cus_1 at 7 is granted"]),
        ([{"granted": True, "flags": ["ambiguous"]}], ["cus_1 at 7 is granted"]),
        ([{"detail": "No."}], ["cus_1 at 7 is granted"]),
        ([], ["answered 200"]),
    ],
)
def test_an_answer_that_is_not_the_true_one_is_found(
    answers: list[dict[str, Any]], said: list[str]
) -> None:
    """Nor one that is in doubt, nor one that is a problem, nor none."""

    async def asked() -> list[str]:
        async with listening(answering(*answers)) as url:
            probe = Probe("cus_1", "pro", 7, granted=True)
            peer = Peer(url, "whsec", "token")
            return await asyncio.to_thread(lambda: list(mistakes(peer, [probe])))

    found = asyncio.run(asked())
    assert len(found) == len(said)
    assert all(part in what for part, what in zip(said, found, strict=True))


def test_a_process_that_grows_is_found() -> None:
    """By what it takes more at the end of the second half than at its beginning; the store may."""
    watch = Watch({"service": 1, "store": 2})
    for n in range(11):
        for name in ("service", "store"):
            watch.samples[name].append((n * 10.0, n * ROOM))
    assert watch.growth()["service"] == Growth(
        first=0, last=10 * ROOM, most=10 * ROOM, grew=5 * ROOM
    )
    (said,) = watch.wrong()
    assert said.startswith("service grew by")


def test_a_process_that_takes_much_at_first_is_flat() -> None:
    """Caches fill, and then they are full."""
    watch = Watch({"service": 1})
    watch.samples["service"] += [
        (0.0, 0.0),
        (10.0, 50.0 * ROOM),
        (20.0, 50.0 * ROOM),
        (30.0, 50.0 * ROOM),
    ]
    assert watch.wrong() == []


def test_a_report_says_what_is_wrong() -> None:
    """And what was done, in a few lines."""
    findings = Findings()
    findings.count("changes", 3)
    findings.answered(2_000_000)
    findings.is_wrong("cus_1 at 7 is granted, and the answer is {}")
    said = text(
        Report(
            minutes=0.5,
            seed=1,
            counted=findings.counted,
            query=latency(findings.took),
            memory={"worker": Growth(first=2**20, last=2**21, most=2**21, grew=0)},
            wrong=findings.wrong,
        )
    )
    assert "0.5 minutes, seed 1: 1 wrong" in said
    assert "3 changes" in said
    assert "a query took 2.0 ms" in said
    assert "! cus_1 at 7 is granted" in said


def test_an_ending_is_true_to_the_second(store_url: str) -> None:
    """Granted up to the second before it ends, denied from then on; and its last event tells of what Stripe holds."""
    ending = Ending(1, 5)
    assert [probe.granted for probe in ending.probes] == [True, False]
    assert [probe.at - ending.at for probe in ending.probes] == [-1, 0]
    assert ending.body["status"] == "canceled"
    assert ending.deleted["data"]["object"] == ending.body
    assert not ending.is_told()

    async def outcomes() -> list[str]:
        async with opened(store_url) as store:
            ingest = Ingest(store, await store.policy(BUILT_IN))
            told = [ending.created, ending.deleted]
            return [(await ingest.deliver(encoded(e), ending.at)).outcome for e in told]

    assert asyncio.run(outcomes()) == ["applied", "unchanged"]


@pytest.mark.parametrize(
    ("duty", "said"),
    [
        (Duty(("paused", "--json"), frozenset({0})), ""),
        (Duty(("paused", "--json"), frozenset({1})), "paused --json ended with 0"),
        (Duty(("paused", "--json"), frozenset({0}), lambda _: True), "paused --json ended with 0"),
        (Duty(("paused", "--what"), frozenset({0})), "paused --what ended with 2"),
    ],
)
def test_a_duty_that_comes_to_something_else_is_wrong(
    store_url: str, duty: Duty, said: str
) -> None:
    """By its exit code, or by what it says."""
    findings = Findings()
    fill(store_url)
    do(duty, {"ENTITLEMENTS_REDIS_URL": store_url}, findings)
    assert findings.counted == {"entitlements paused": 1}
    assert len(findings.wrong) == bool(said)
    assert said in "".join(findings.wrong)
