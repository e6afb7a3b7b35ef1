"""Lives of subscriptions as Stripe's sandbox lives them: the events of many customers, in any order of arrival."""

from collections.abc import Callable, Iterator
from random import Random

from entitlements.sandbox import subscription as life
from entitlements.sandbox.event import events
from entitlements.sandbox.ids import random_ids
from entitlements.sandbox.shapes import Body, Terms
from entitlements.sandbox.subscription import Change
from tests.support.histories import START

Step = Callable[[Body], Change]


def events_of(rng: Random, customer: str, steps: int) -> Iterator[Body]:
    """Yield the events of one subscription: created, then so many changes, some in the same second."""
    ids = random_ids(rng)
    at = START
    change = life.create(Terms(customer, rng.choice(["pro", "lite"]), "price_1"), at, ids)
    yield from events(change, at, ids)
    for _ in range(steps):
        at += rng.choice([0, 1, 3_600])
        change = rng.choice(_steps(rng, at, ids("in")))(change.after)
        yield from events(change, at, ids)


def _steps(rng: Random, at: int, invoice: str) -> list[Step]:
    until = rng.choice([None, at + 86_400])
    return [
        lambda s: life.pause_collection(s, rng.choice(["void", "keep_as_draft"]), until),
        life.unpause,
        life.past_due,
        lambda s: life.activate(s, at, invoice),
        lambda s: life.renew(s, invoice),
    ]
