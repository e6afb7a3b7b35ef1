"""Rounds: every case once in each, so that whatever the machine does besides falls on all of them alike."""

from collections.abc import Callable, Sequence

from tests.bench.cases import Case
from tests.bench.generator import measure
from tests.bench.job import Result
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
            so_far[case.name] = _cleanest(scene, case, so_far, again)
            found[case.name].append(so_far[case.name])
    return found


def _cleanest(scene: Scene, case: Case, so_far: dict[str, Result], again: int) -> Result:
    best = _once(scene, case, so_far)
    for _ in range(again):
        if best.others <= DIRTY:
            break
        best = min(best, _once(scene, case, so_far), key=lambda result: result.others)
    return best


def _once(scene: Scene, case: Case, so_far: dict[str, Result]) -> Result:
    job = case.job(scene, so_far)
    places = scene.places.load if case.generator == "load" else scene.places.server
    result = measure(job, places)
    if result.wrong or not result.answers:
        said = "\n".join(result.wrong) or "nothing was answered"
        raise Void(f"{case.name} is void, and with it the run: {said}")
    return result
