"""The story of the demo: its promises, written by hand, against the rules themselves."""

from itertools import count, pairwise

from msgspec.structs import replace

from entitlements.decide import decide
from entitlements.decode import decode
from entitlements.fold import fold
from entitlements.model import CustomerRecord, Entitlement, Fact, SubscriptionEvent
from entitlements.policy import BUILT_IN
from entitlements.resolve import entitlement
from entitlements.sandbox.event import encoded, events
from entitlements.sandbox.scenario import PAID_UNTIL, STORY, Answer, Cue, Step
from entitlements.sandbox.shapes import Terms

NOW = 1_800_000_000


def test_the_rules_keep_what_the_story_promises() -> None:
    """Every answer of the story is the one that the pure core gives to the same events."""
    numbers = count(1)
    terms = Terms("cus_1", "prod_1", "price_1", period_end=NOW + PAID_UNTIL)
    cue = Cue({}, terms, NOW, NOW, lambda prefix: f"{prefix}_{next(numbers)}")
    facts: list[Fact] = []
    for step in STORY:
        cue = _played(step, replace(cue, at=NOW + step.at), facts)
        said = {asked.question: _answer(facts, NOW + asked.at) for asked in step.asked}
        assert said == {asked.question: asked.expected for asked in step.asked}, step.title


def test_the_story_is_told_in_the_order_in_which_it_happened() -> None:
    """Stripe's `created` goes up from step to step."""
    happened = [step.at for step in STORY if step.happens]
    assert all(one < other for one, other in pairwise(happened))


def _played(step: Step, cue: Cue, facts: list[Fact]) -> Cue:
    if step.happens is None:
        return cue
    change = step.happens(cue)
    for event in events(change, cue.at, cue.ids):
        found = decode(encoded(event))
        assert isinstance(found, SubscriptionEvent)
        facts.append(found.fact)
    return replace(cue, subscription=change.after)


def _answer(facts: list[Fact], at: int) -> Answer:
    """Return what holds at an instant by the facts created up to it, in the story's own terms."""
    _, state = fold([fact for fact in facts if fact.created <= at], BUILT_IN)
    assert state is not None
    record = CustomerRecord(version=1, decisions={"sub_1": decide(state, BUILT_IN)})
    return _in_days(entitlement(record, "prod_1", at))


def _in_days(found: Entitlement) -> Answer:
    until = None if found.until is None else found.until - NOW
    then = Answer(found.then.granted, found.then.reason) if found.then else None
    return Answer(found.granted, found.reason, until, then)
