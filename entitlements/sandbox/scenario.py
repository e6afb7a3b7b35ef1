"""The story of one subscription, as data: what happens, what is asked, and what policy promises as the answer.

The expectations are written down here by hand, from the table of the built-in policy. Nothing computes them, so that
they can be wrong only where the promise itself is. All times are seconds from the moment the story is told.
"""

from collections.abc import Callable

from msgspec import Struct

from entitlements.model import KnownBehavior
from entitlements.policy import DAY
from entitlements.sandbox import subscription as life
from entitlements.sandbox.ids import Ids
from entitlements.sandbox.shapes import Body, Terms
from entitlements.sandbox.subscription import Change

PAID_UNTIL = -2 * DAY
RESUMES_AT = 10 * DAY
RENEWED_UNTIL = 28 * DAY


class Cue(Struct, frozen=True):
    """What a happening can use. Its times are Unix seconds."""

    subscription: Body
    """As it is so far; empty before it is created."""
    terms: Terms
    at: int
    """When it happens."""
    now: int
    """When the story is told."""
    ids: Ids


class Answer(Struct, frozen=True):
    """What policy promises. `until` and `then` are null where no change is known."""

    granted: bool
    reason: str
    until: int | None = None
    then: "Answer | None" = None


class Asked(Struct, frozen=True):
    """A question about an instant, and the answer to expect."""

    question: str
    at: int
    expected: Answer


class Step(Struct, frozen=True):
    """What happens at a time (or nothing), and what is asked after it."""

    title: str
    at: int
    happens: Callable[[Cue], Change] | None
    asked: tuple[Asked, ...]


def _yes(reason: str, until: int | None = None, then: Answer | None = None) -> Answer:
    return Answer(granted=True, reason=reason, until=until, then=then)


def _no(reason: str, until: int | None = None, then: Answer | None = None) -> Answer:
    return Answer(granted=False, reason=reason, until=until, then=then)


def _subscribes(cue: Cue) -> Change:
    return life.create(cue.terms, cue.at, cue.ids)


def _pauses(behavior: KnownBehavior, resumes_at: int | None = None) -> Callable[[Cue], Change]:
    def pause(cue: Cue) -> Change:
        until = None if resumes_at is None else cue.now + resumes_at
        return life.pause_collection(cue.subscription, behavior, until)

    return pause


def _unpauses(cue: Cue) -> Change:
    return life.unpause(cue.subscription)


def _renews(cue: Cue) -> Change:
    return life.renew(cue.subscription, cue.ids("in"), cue.now + RENEWED_UNTIL)


def _cancels(cue: Cue) -> Change:
    return life.cancel(cue.subscription, cue.at)


_GIVEN = _yes("paused_mark_uncollectible", until=-9 * DAY, then=_yes("active"))
_SERVED = _yes("paused_void", until=PAID_UNTIL, then=_no("paused_void"))
_DENIED = _no("paused_void", until=RESUMES_AT, then=_yes("active"))

STORY = (
    Step(
        "A customer subscribes",
        at=-20 * DAY,
        happens=_subscribes,
        asked=(Asked("May they use the product?", -20 * DAY, _yes("active")),),
    ),
    Step(
        "Collection is paused: keep_as_draft",
        at=-16 * DAY,
        happens=_pauses("keep_as_draft"),
        asked=(
            Asked("And now?", -16 * DAY, _yes("paused_keep_as_draft")),
            Asked("After the paid period?", PAID_UNTIL, _yes("paused_keep_as_draft")),
        ),
    ),
    Step(
        "It is unpaused",
        at=-14 * DAY,
        happens=_unpauses,
        asked=(Asked("And now?", -14 * DAY, _yes("active")),),
    ),
    Step(
        "Collection is paused: mark_uncollectible, for three days",
        at=-12 * DAY,
        happens=_pauses("mark_uncollectible", resumes_at=-9 * DAY),
        asked=(
            Asked("And now?", -12 * DAY, _GIVEN),
            Asked("In the last second before it resumes?", -9 * DAY - 1, _GIVEN),
            Asked("When it resumes, without an event?", -9 * DAY, _yes("active")),
        ),
    ),
    Step(
        "It is unpaused",
        at=-8 * DAY,
        happens=_unpauses,
        asked=(Asked("And now?", -8 * DAY, _yes("active")),),
    ),
    Step(
        "Collection is paused: void, for fifteen days",
        at=-5 * DAY,
        happens=_pauses("void", resumes_at=RESUMES_AT),
        asked=(
            Asked("And now?", -5 * DAY, _SERVED),
            Asked("In the last second that is paid for?", PAID_UNTIL - 1, _SERVED),
            Asked("When the paid period ends?", PAID_UNTIL, _DENIED),
        ),
    ),
    Step(
        "The period rolls on; its invoice is void",
        at=PAID_UNTIL,
        happens=_renews,
        asked=(
            Asked("Does the new period give access?", 0, _DENIED),
            Asked("In the last second before it resumes?", RESUMES_AT - 1, _DENIED),
            Asked("When it resumes, without an event?", RESUMES_AT, _yes("active")),
        ),
    ),
    Step(
        "The subscription is canceled",
        at=0,
        happens=_cancels,
        asked=(
            Asked("And now?", 0, _no("canceled")),
            Asked("When the pause would have ended?", RESUMES_AT, _no("canceled")),
        ),
    ),
    Step(
        "Looking back",
        at=0,
        happens=None,
        asked=(Asked("What held three days ago?", -3 * DAY, _SERVED),),
    ),
)
