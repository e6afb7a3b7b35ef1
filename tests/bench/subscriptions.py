"""Deliveries by the ten thousand: real bodies of Stripe's, each of another subscription, signed as Stripe signs.

Numbers stand for subscriptions. A body is made once with marks in the places of numbers, and cut there.
"""

import hmac
from collections.abc import Iterator

from msgspec import Struct

from entitlements.sandbox.event import Envelope, encoded, event
from entitlements.sandbox.shapes import Body, Terms
from entitlements.sandbox.subscription import Change, create, renew
from tests.bench.wire import post

SECRET = "whsec_of_the_benchmark"  # noqa: S105  a benchmark's own
PATH = "/webhooks/stripe"
PERIOD = 30 * 86_400

_OF_CUSTOMER, _OF_SUBSCRIPTION = "@customer@", "@subscription@"
_METADATA = {f"imported_{n}": "d41d8cd98f00b204e9800998ecf8427e" for n in range(12)}
"""What companies keep beside a subscription: with it a body has the 6 KB of many real ones."""


class Kind(Struct, frozen=True, kw_only=True):
    """What customers have in common; `family` is in their ids, and keeps them apart from others."""

    family: str = ""
    features: int = 1
    """Of each subscription: items, each of a product of its own."""
    each: int = 1
    """Subscriptions of each customer."""
    cancel_at: int | None = None
    """When their subscriptions end, in Unix seconds."""


class Shape:
    """The same event of any number of subscriptions."""

    def __init__(self, body: Body, each: int) -> None:
        self._parts = [
            part.split(_OF_CUSTOMER.encode())
            for part in encoded(body).split(_OF_SUBSCRIPTION.encode())
        ]
        self.each = each

    def body(self, number: int) -> bytes:
        """Return the event of one subscription."""
        customer = b"%012d" % (number // self.each)
        return (b"%012d" % number).join([customer.join(part) for part in self._parts])

    def delivery(self, number: int, now: int) -> bytes:
        """Return it as a signed request, sent at `now` (Unix seconds)."""
        body = self.body(number)
        proof = hmac.digest(SECRET.encode(), b"%d.%s" % (now, body), "sha256").hex()
        return post(PATH, body, {"Stripe-Signature": f"t={now},v1={proof}"})

    def deliveries(self, numbers: range, now: int) -> list[bytes]:
        """Return the requests of many subscriptions."""
        return [self.delivery(number, now) for number in numbers]


def created(now: int, kind: Kind) -> Shape:
    """Return the creation of subscriptions of a kind at `now`."""
    change = _opened(now, kind, None)
    return Shape(_event(change, "created", f"{kind.family}c", now), kind.each)


def renewed(now: int, time: int, kind: Kind) -> Shape:
    """Return their renewal at `now`: the first `time` is 0, and so on."""
    held = _opened(now - PERIOD, kind, now).after
    change = renew(held, f"in_{kind.family}{time}{_OF_SUBSCRIPTION}", now + PERIOD)
    return Shape(_event(change, "updated", f"{kind.family}r{time}", now), kind.each)


def customer(number: int, kind: Kind) -> str:
    """Return the id of a customer."""
    return f"cus_{kind.family}{number:012d}"


def feature(n: int = 0) -> str:
    """Return the name of the n-th feature: of the product that grants it."""
    return f"prod_{n:02d}"


def _opened(now: int, kind: Kind, ends: int | None) -> Change:
    name = f"cus_{kind.family}{_OF_CUSTOMER}"
    terms = Terms(name, feature(), "price_00", metadata=_METADATA, period_end=ends)
    change = create(terms, now, lambda prefix: f"{prefix}_{kind.family}{_OF_SUBSCRIPTION}")
    items = change.after["items"]
    data = list(_items(items["data"][0], kind.features))
    own = {"items": items | {"data": data}, "cancel_at": kind.cancel_at}
    return change._replace(after=change.after | own)


def _items(first: Body, features: int) -> Iterator[Body]:
    for n in range(features):
        sold = {"product": feature(n), "id": f"price_{n:02d}"}
        yield first | {
            "id": f"{first['id']}{n:02d}",
            "price": first["price"] | sold,
            "plan": first["plan"] | sold,
        }


def _event(change: Change, kind: str, name: str, now: int) -> Body:
    envelope = Envelope(f"evt_{name}{_OF_SUBSCRIPTION}", now, f"req_{name}{_OF_SUBSCRIPTION}")
    return event(change, f"customer.subscription.{kind}", envelope)
