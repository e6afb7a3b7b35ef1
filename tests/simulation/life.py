"""The life of one subscription, as Stripe would live it: what truly happened, and the events that tell of it.

Every choice is one of some number of options, the plainest first. So a seeded generator makes thousands of lives, and
hypothesis makes a failing one as plain as it can be.
"""

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import NamedTuple

from entitlements.errors import BadRequest
from entitlements.model import KnownBehavior
from entitlements.sandbox import subscription as stripe
from entitlements.sandbox.event import Endpoint, events
from entitlements.sandbox.ids import random_ids
from entitlements.sandbox.shapes import BASIL, LATEST, Body, Terms
from entitlements.sandbox.subscription import Change
from tests.support.bodies import encoded
from tests.support.histories import START

DAY = 86_400
PRODUCT = "pro"
BEFORE_BASIL = "2024-06-20"

OPENINGS: tuple[stripe.Opening, ...] = ("active", "trialing", "incomplete")
BEHAVIORS: tuple[KnownBehavior, ...] = ("void", "keep_as_draft", "mark_uncollectible")

Choose = Callable[[int], int]
"""Returns one of the numbers below n; 0 is the plainest."""


class Moment(NamedTuple):
    """One change: when, what became of the subscription, and the events that tell of it."""

    at: int
    what: str
    body: Body
    events: tuple[Body, ...]


History = tuple[Moment, ...]


def lived(choose: Choose, most: int = 12) -> History:
    """Return a life with up to so many changes by people, and those that Stripe makes by itself in between."""
    return tuple(_Life(choose, most).moments())


def renamed(event: Body, customer: str, subscription: str | None = None) -> Body:
    """Return an event as it would tell of another customer's subscription."""
    name = subscription or f"sub_of_{customer}"
    data = event["data"]
    body = data["object"] | {"customer": customer, "id": name}
    return event | {"data": data | {"object": body}, "id": f"{event['id']}_{name}"}


def bodies_of(people: Iterable[tuple[str, str]], choose: Choose, most: int = 4) -> list[bytes]:
    """Return the events of several lives as they are sent: of a customer each, and a subscription's name."""
    return [
        encoded(renamed(event, customer, name))
        for customer, name in people
        for moment in lived(choose, most)
        for event in moment.events
    ]


class _Life:
    def __init__(self, choose: Choose, most: int) -> None:
        self._choose = choose
        self._most = most
        self._ids = random_ids(Random(choose(2**16)))  # noqa: S311  names alone
        version = (LATEST, f"{BASIL}.basil", BEFORE_BASIL)[choose(3)]
        self._endpoint = Endpoint(api_version=version)

    def moments(self) -> Iterator[Moment]:
        """Yield what happens, one change after the other."""
        at, opening = START, (OPENINGS[self._choose(3)])
        change = stripe.create(Terms("cus_1", PRODUCT, "price_1"), at, self._ids, opening)
        yield self._told(at, f"created {opening}", change)
        body = change.after
        for _ in range(self._choose(self._most + 1)):
            before, at = at, at + (0, 1, 3_600, DAY, 12 * DAY, 40 * DAY)[self._choose(6)]
            for moment in self._by_itself(body, before, at):
                yield moment
                body = moment.body
            what, happens = self._options(at)[self._choose(len(self._options(at)))]
            try:
                change = happens(body)
            except BadRequest:  # Stripe would refuse it
                continue
            if change.types:
                yield self._told(at, what, change)
                body = change.after

    def _by_itself(self, body: Body, since: int, until: int) -> Iterator[Moment]:
        """Yield what Stripe does between two instants: trials end, periods renew, or end the subscription."""
        while True:
            end = stripe.period(body)[1]
            if end > until or body["status"] not in {"trialing", "active", "past_due", "unpaid"}:
                return
            if body["cancel_at_period_end"]:
                what, change = "deleted at the period's end", stripe.delete(body, end)
            elif body["status"] == "trialing":
                what, change = "trial ends", stripe.activate(body, end, self._ids("in"))
            else:
                what, change = "renewed", stripe.renew(body, self._ids("in"))
            yield self._told(max(end, since), what, change)
            body = change.after

    def _options(self, at: int) -> list[tuple[str, Callable[[Body], Change]]]:
        until = (None, at + 1, at + DAY, at + 50 * DAY)[self._choose(4)]
        behavior = BEHAVIORS[self._choose(3)]
        count = self._choose(4) + 1
        return [
            (
                f"paused, {behavior}, resumes_at {_ago(until)}",
                lambda s: stripe.pause_collection(s, behavior, until),
            ),
            ("unpaused", stripe.unpause),
            ("past due", stripe.past_due),
            ("paid", lambda s: stripe.activate(s, at, self._ids("in"))),
            ("unpaid", stripe.unpaid),
            (
                "its metadata changed",
                lambda s: stripe.update(s, {"metadata": {"note": str(count)}}),
            ),
            (f"quantity {count}", lambda s: stripe.update(s, {"items": _of(s["items"], count)})),
            ("set to cancel at the period's end", lambda s: stripe.cancel_at_period_end(s, at)),
            ("paused itself", lambda s: stripe.pause(s, at)),
            ("resumed", lambda s: stripe.resume(s, at, self._ids("in"))),
            ("canceled", lambda s: stripe.cancel(s, at)),
        ]

    def _told(self, at: int, what: str, change: Change) -> Moment:
        """Return a change with its events: perhaps a twin, perhaps only the changed keys of nested objects."""
        told = events(change, at, self._ids, self._endpoint)
        if self._choose(8) == 7:
            told.append(told[-1] | {"id": self._ids("evt")})
        if self._choose(2):
            told = [_partly(event) for event in told]
        return Moment(at, what, change.after, tuple(told))


def _of(items: Body, quantity: int) -> Body:
    return items | {"data": [item | {"quantity": quantity} for item in items["data"]]}


def _partly(event: Body) -> Body:
    """Return an event that names only the changed keys of a nested object, as Stripe may; arrays come whole."""
    previous = event["data"].get("previous_attributes")
    if previous is None:
        return event
    now = event["data"]["object"]
    told = {key: _changed(old, now[key]) for key, old in previous.items()}
    return event | {"data": event["data"] | {"previous_attributes": told}}


def _changed(old: object, now: object) -> object:
    if not isinstance(old, dict) or not isinstance(now, dict):
        return old
    return {key: value for key, value in old.items() if now.get(key) != value}


def _ago(at: int | None) -> str:
    return "never" if at is None else f"START+{at - START}"
