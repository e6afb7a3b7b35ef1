"""What is measured: each case of the service and each floor, what it is compared with, and what it should come to."""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from tests.bench.errand import Errand
from tests.bench.job import Job, Result
from tests.bench.scene import Scene

Rates = Mapping[str, Result]
"""What has been measured in the same round."""


class Target(Struct, frozen=True):
    """At least so many times the rate of another case of the same round."""

    than: str
    times: float


class Case(Struct, frozen=True, kw_only=True):
    """A load and what it should come to. `answers` is how many questions or events a request carries."""

    name: str
    title: str
    job: Callable[[Scene, Rates], Job | Errand]
    answers: int = 1
    targets: tuple[Target, ...] = ()
    half_of: str | None = None
    """The case at half of whose rate requests come, whatever becomes of earlier ones."""
    p99: float | None = None
    """Seconds, at most."""
    at_least: float | None = None
    """Answers a second."""
    place: Literal["load", "server"] = "load"
    """Whose processor the generator or the command runs on: the server's where it has nothing to do."""

    @property
    def needs(self) -> set[str]:
        """Return the cases that have to be measured in the same round."""
        return {target.than for target in self.targets} | (
            {self.half_of} if self.half_of else set()
        )


def closure(chosen: set[str]) -> list[Case]:
    """Return cases by name in the order of their measurement, with what they need; all of them where none is named."""
    wanted = set(chosen) or {case.name for case in CASES}
    for case in reversed(CASES):  # what a case needs comes before it
        if case.name in wanted:
            wanted |= case.needs
    return [case for case in CASES if case.name in wanted]


_WEBHOOK = (Target("verify-set", 0.6), Target("by-hand", 5.0))

CASES: tuple[Case, ...] = (
    Case(
        name="responder",
        title="the generator's own limit: a bare protocol",
        job=lambda scene, _: scene.hello("responder"),
    ),
    Case(
        name="hello",
        title="floor: an empty Starlette handler",
        job=lambda scene, _: scene.hello("hello"),
    ),
    Case(
        name="read",
        title="floor: the same, one naive redis-py read",
        job=lambda scene, _: scene.hello("read"),
    ),
    Case(
        name="one-hot",
        title="one entitlement, hot",
        job=lambda scene, _: scene.hot(),
        targets=(Target("hello", 1.0),),
    ),
    Case(
        name="one-cold",
        title="one entitlement, cold",
        job=lambda scene, _: scene.cold(),
        targets=(Target("hello", 0.7),),
    ),
    Case(
        name="list-10",
        title="a list of 10",
        job=lambda scene, _: scene.list_of_ten(),
        targets=(Target("hello", 0.7),),
    ),
    Case(
        name="batch-100",
        title="a batch of 100 checks",
        job=lambda scene, _: scene.batch(),
        answers=100,
        targets=(Target("one-hot", 40.0),),
    ),
    Case(
        name="query-p99",
        title="one entitlement, hot, at half of that rate",
        job=lambda scene, rates: scene.hot(rates["one-hot"].rate / 2),
        half_of="one-hot",
        p99=0.005,
    ),
    Case(
        name="hello-p99",
        title="floor: an empty handler at that rate",
        job=lambda scene, rates: scene.hello("hello", rates["one-hot"].rate / 2),
        half_of="one-hot",
    ),
    Case(
        name="verify-set",
        title="floor: verify_header, then SET",
        job=lambda scene, _: scene.received("verify-set"),
    ),
    Case(
        name="by-hand",
        title="floor: construct_event, then SET",
        job=lambda scene, _: scene.received("by-hand"),
    ),
    Case(
        name="script",
        title="floor: the commit script alone, pipelined",
        job=lambda scene, _: scene.script(),
        place="server",
    ),
    Case(
        name="webhook-new",
        title="webhooks, creations",
        job=lambda scene, _: scene.creations(),
        targets=_WEBHOOK,
    ),
    Case(
        name="webhook-renewal",
        title="webhooks, renewals",
        job=lambda scene, _: scene.renewals(),
        targets=_WEBHOOK,
    ),
    Case(
        name="webhook-p99",
        title="webhooks, renewals, at half of that rate",
        job=lambda scene, rates: scene.renewals(rates["webhook-renewal"].rate / 2),
        half_of="webhook-renewal",
        p99=0.025,
    ),
    Case(
        name="verify-set-p99",
        title="floor: verify_header, then SET, at that rate",
        job=lambda scene, rates: scene.received("verify-set", rates["webhook-renewal"].rate / 2),
        half_of="webhook-renewal",
    ),
    Case(
        name="replay-log",
        title="replay of the log, foreseen",
        job=lambda scene, _: scene.replay_of_log(),
        at_least=15_000,
        place="server",
    ),
    Case(
        name="replay-log-applied",
        title="replay of the log, applied",
        job=lambda scene, _: scene.replay_of_log(apply=True),
        place="server",
    ),
    Case(
        name="replay-file",
        title="replay of a file, foreseen",
        job=lambda scene, _: scene.replay_of_file(),
        at_least=8_000,
        place="server",
    ),
    Case(
        name="replay-file-new",
        title="replay of a file, all of it new, applied",
        job=lambda scene, _: scene.replay_of_new(),
        place="server",
    ),
)
