"""What the built-in policy promises of a life, by its own plain reckoning. None of the service's rules is asked.

Source: the table of the built-in policy in README.md.
"""

from collections.abc import Iterable, Iterator, Sequence

from entitlements.sandbox.shapes import Body
from tests.simulation.life import DAY, History, Moment

GRACE = 7 * DAY
SERVED = ("trialing", "active", "past_due")


def granted(history: History, at: int) -> bool:
    """Tell whether access is promised at an instant, by all that happened up to the end of that second."""
    past = [moment for moment in history if moment.at <= at]
    if not past:
        return False
    now = past[-1].body
    ends = now["cancel_at"]
    if now["status"] not in SERVED or (ends is not None and at >= ends):
        return False
    if now["status"] == "past_due" and at >= _since(past) + GRACE:
        return False
    pause = now["pause_collection"]
    if pause is None or pause["behavior"] != "void" or _over(pause, at):
        return True
    return at < _paid_when_it_began(past)


def instants(history: History) -> Iterator[int]:
    """Yield every instant at which the promise may change, and the seconds around it."""
    for at in sorted(set(_boundaries(history))):
        yield from (at - 1, at, at + 1)
    yield history[-1].at + 400 * DAY


def _boundaries(history: History) -> Iterator[int]:
    for moment in history:
        yield moment.at
        yield _end(moment.body)
        if moment.body["status"] == "past_due":
            yield moment.at + GRACE
        if (pause := moment.body["pause_collection"]) and pause["resumes_at"] is not None:
            yield pause["resumes_at"]


def _since(past: Sequence[Moment]) -> int:
    """Return when the present status began."""
    since = 0
    before = None
    for moment in past:
        status = moment.body["status"]
        if status != before:
            since = moment.at
        before = status
    return since


def _over(pause: Body, at: int) -> bool:
    return pause["resumes_at"] is not None and pause["resumes_at"] <= at


def _paid_when_it_began(past: Iterable[Moment]) -> int:
    """Return the end of the period that was in force when the present pause began.

    A pause that has reached its `resumes_at` is over: another date after that is another pause.
    """
    paid, before, last = 0, None, None
    for moment in past:
        pause = moment.body["pause_collection"]
        began = pause is not None and (
            before is None
            or (_over(before, moment.at) and pause["resumes_at"] != before["resumes_at"])
        )
        if began:
            paid = _end(last or moment.body)
        before, last = pause, moment.body
    return paid


def _end(body: Body) -> int:
    end: int = body["items"]["data"][0]["current_period_end"]
    return end
