"""Reads what there is to explain an answer by, and has it explained: for the command line and for HTTP the same."""

from msgspec import Struct

from entitlements.answers import Answers, Life
from entitlements.errors import BeyondRetention
from entitlements.explain import explain
from entitlements.explained import Asked, Done, Explanation, Held, Quarantined
from entitlements.instants import rfc3339
from entitlements.model import Subject
from entitlements.store import audit, quarantine
from entitlements.store.store import NOBODY, Store

LOOK = 1_000
"""Events in the quarantine, and deeds of the customer's partition, that are looked at: the newest."""


class Question(Struct, frozen=True, kw_only=True):
    """What is asked. Instants are Unix seconds: null is the present, and all that is known."""

    subject: Subject
    feature: str | None = None
    at: int | None = None
    known_at: int | None = None


async def tell(store: Store, answers: Answers, question: Question, now: int) -> Explanation:
    """Return why a customer is answered what they are: at every door the same, and also where nothing is known.

    Raises StoreUnavailable.
    """
    subject, known_at, refused = question.subject, question.known_at, None
    try:
        life = await answers.life(subject, now, question.at, known_at)
    except BeyondRetention as error:
        refused = str(error)
        at = now if question.at is None else question.at
        life = Life(at, NOBODY, NOBODY, answers.policy, {})
    held = Held(
        record=life.record,
        life=life.whole,
        policy=life.policy,
        in_force=(await store.policy_in_force()).digest,
        subscriptions=life.subscriptions,
        quarantined=await _quarantined(store, subject, known_at),
        done=await _done(store, subject),
        refused=refused,
    )
    asked = Asked(subject=subject, at=life.at, known_at=known_at, feature=question.feature)
    return explain(asked, held, rfc3339)


async def _quarantined(
    store: Store, subject: Subject, known_at: int | None
) -> tuple[Quarantined, ...]:
    found = await quarantine.naming(store, subject, LOOK)
    told = (Quarantined(w.event, w.type, w.received_ms // 1000, w.why) for w in found)
    return tuple(one for one in told if known_at is None or one.received_at <= known_at)


async def _done(store: Store, subject: Subject) -> tuple[Done, ...]:
    records = await audit.about(store, str(subject), LOOK)
    return tuple(Done(r.at, r.by, r.action, r.reason, r.outcome) for r in records)
