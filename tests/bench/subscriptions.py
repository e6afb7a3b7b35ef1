"""Deliveries by the ten thousand: real bodies of Stripe's, each of another subscription, signed as Stripe signs.

Numbers stand for customers. A body is made once with a mark in place of the number, and cut there.
"""

import hmac
from collections.abc import Iterator

from entitlements.sandbox.event import Envelope, encoded, event
from entitlements.sandbox.shapes import Body, Terms
from entitlements.sandbox.subscription import Change, create, renew
from tests.bench.wire import post

SECRET = "whsec_of_the_benchmark"  # noqa: S105  a benchmark's own
PATH = "/webhooks/stripe"
PERIOD = 30 * 86_400

_MARK = "@number@"
_METADATA = {f"imported_{n}": "d41d8cd98f00b204e9800998ecf8427e" for n in range(12)}
"""What companies keep beside a subscription: with it a body has the 6 KB of many real ones."""


class Shape:
    """The same event of any number of customers."""

    def __init__(self, body: Body) -> None:
        self._parts = encoded(body).split(_MARK.encode())

    def body(self, number: int) -> bytes:
        """Return the event of one customer."""
        return (b"%012d" % number).join(self._parts)

    def delivery(self, number: int, now: int) -> bytes:
        """Return it as a signed request, sent at `now` (Unix seconds)."""
        body = self.body(number)
        proof = hmac.digest(SECRET.encode(), b"%d.%s" % (now, body), "sha256").hex()
        return post(PATH, body, {"Stripe-Signature": f"t={now},v1={proof}"})

    def deliveries(self, numbers: range, now: int) -> list[bytes]:
        """Return the requests of many customers."""
        return [self.delivery(number, now) for number in numbers]


def created(now: int, *, family: str = "", features: int = 1, ends: int | None = None) -> Shape:
    """Return the creation, at `now`, of a subscription with so many items, each of a product of its own.

    `family` keeps its customers apart from others. `ends` is when its period does: a month on unless it says otherwise.
    """
    change = _opened(now, family, features, ends)
    return Shape(_event(change, "created", f"{family}c", now))


def renewed(now: int, time: int, *, family: str = "") -> Shape:
    """Return the renewal, at `now`, of what `created` made with one item: the first `time` is 0, and so on."""
    held = _opened(now - PERIOD, family, 1, now).after
    change = renew(held, f"in_{family}{time}{_MARK}", now + PERIOD)
    return Shape(_event(change, "updated", f"{family}r{time}", now))


def customer(number: int, family: str = "") -> str:
    """Return the id of a customer."""
    return f"cus_{family}{number:012d}"


def feature(n: int = 0) -> str:
    """Return the name of the n-th feature: of the product that grants it."""
    return f"prod_{n:02d}"


def _opened(now: int, family: str, features: int, ends: int | None) -> Change:
    terms = Terms(
        f"cus_{family}{_MARK}", feature(), "price_00", metadata=_METADATA, period_end=ends
    )
    change = create(terms, now, lambda prefix: f"{prefix}_{family}{_MARK}")
    items = change.after["items"]
    data = list(_items(items["data"][0], features))
    return change._replace(after=change.after | {"items": items | {"data": data}})


def _items(first: Body, features: int) -> Iterator[Body]:
    for n in range(features):
        sold = {"product": feature(n), "id": f"price_{n:02d}"}
        yield first | {
            "id": f"{first['id']}{n:02d}",
            "price": first["price"] | sold,
            "plan": first["plan"] | sold,
        }


def _event(change: Change, kind: str, name: str, now: int) -> Body:
    envelope = Envelope(f"evt_{name}{_MARK}", now, f"req_{name}{_MARK}")
    return event(change, f"customer.subscription.{kind}", envelope)
