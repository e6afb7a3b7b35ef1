"""Rounds: every case once in each, so that whatever the machine does besides falls on all of them alike."""

from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.cases import Case
from tests.bench.errand import Errand, timed
from tests.bench.generator import measure
from tests.bench.job import Job, Result
from tests.bench.scene import Scene

DIRTY = 0.1
"""The share of a processor that others may use before a measurement is made again."""

Results = dict[str, list[Result]]
"""By case, one for each round."""


class Void(Exception):
    """An answer was not what it should be: nothing that was measured counts."""


def run(
    scene: Scene, cases: Sequence[Case], rounds: int, again: int, say: Callable[[str], object]
) -> Results:
    """Measure each case once in each round; one that others disturbed again, up to so many times. Raises Void."""
    found: Results = {case.name: [] for case in cases}
    for n in range(rounds):
        so_far: dict[str, Result] = {}
        for case in cases:
            say(f"round {n + 1} of {rounds}: {case.title}")
            places = scene.places.load if case.place == "load" else scene.places.server
            try:
                so_far[case.name] = cleanest(partial(case.job, scene, so_far), places, again)
            except Void as void:
                raise Void(f"{case.name}: {void}") from void
            found[case.name].append(so_far[case.name])
    return found


def cleanest(job: Callable[[], Job | Errand], places: frozenset[int], again: int) -> Result:
    """Measure a load; one that others disturbed again, up to so many times, to keep the best. Raises Void."""
    best = _measured(job(), places)
    for _ in range(again):
        if best.others <= DIRTY:
            break
        best = min(best, _measured(job(), places), key=lambda result: result.others)
    return best


def _measured(job: Job | Errand, places: frozenset[int]) -> Result:
    result = measure(job, places) if isinstance(job, Job) else timed(job, places)
    if result.wrong or not result.answers:
        raise Void("\n".join(result.wrong) or "nothing was answered")
    return result
