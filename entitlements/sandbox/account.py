"""What a sandbox account holds, and what its API does to it. In memory, bounded; time is an argument.

Changes of a subscription are those of subscription.py. What Stripe would refuse raises BadRequest, what is not there
NotFound.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from entitlements.errors import BadRequest, NotFound
from entitlements.policy import DAY
from entitlements.sandbox import subscription as life
from entitlements.sandbox.event import Endpoint, Envelope, event
from entitlements.sandbox.forms import Form, values, whole
from entitlements.sandbox.ids import random_ids
from entitlements.sandbox.shapes import LATEST, Body, Terms
from entitlements.sandbox.subscription import Change

ROOM = 10_000
"""Objects of one kind. The oldest events are forgotten, other objects are refused beyond it."""

KEPT = 30 * DAY
"""Seconds for which events are listed."""

OVER = ("canceled", "incomplete_expired")

Told = Callable[[Body], None]


class Account:
    """One account in test mode. `told` is given every event, in the order in which they happen."""

    def __init__(self, told: Told, seed: int | None = None) -> None:
        self.ids = random_ids(Random(seed))  # noqa: S311  names alone
        self.held: dict[str, dict[str, Body]] = {
            kind: {} for kind in ("customer", "product", "price", "subscription", "event")
        }
        self.silent = 0
        """How many of the next changes no event will tell of: at Stripe, too, an event may fail to be made."""
        self._told = told

    def add(self, kind: str, prefix: str, now: int, **fields: Any) -> Body:  # noqa: ANN401  any of Stripe's
        """Make an object of a plain kind."""
        if len(self.held[kind]) >= ROOM:
            raise BadRequest(
                f"This sandbox has {ROOM} objects of the kind {kind} already. Start it anew."
            )
        made = {
            "id": fields.pop("id", None) or self.ids(prefix),
            "object": kind,
            "created": now,
            "livemode": False,
            "metadata": {},
            **fields,
        }
        self.held[kind][made["id"]] = made
        return made

    def find(self, kind: str, name: str) -> Body:
        """Return an object. Raises NotFound."""
        try:
            return self.held[kind][name]
        except KeyError:
            raise NotFound(f"No such {kind}: '{name}'") from None

    def create_price(self, form: Form, now: int) -> Body:
        """Make a monthly price of a product that there is, or of one that is made with it."""
        product = form.get("product")
        if "product_data" in form:
            product = self.add(
                "product", "prod", now, name=form["product_data"].get("name"), active=True
            )["id"]
        if not isinstance(product, str):
            raise BadRequest("Missing required param: product.")
        self.find("product", product)
        return self.add(
            "price",
            "price",
            now,
            product=product,
            active=True,
            currency=form.get("currency", "usd"),
            unit_amount=whole(form, "unit_amount") or 0,
            lookup_key=form.get("lookup_key"),
            recurring={"interval": "month", "interval_count": 1, "usage_type": "licensed"},
            type="recurring",
        )

    def subscribe(self, form: Form, now: int) -> Body:
        """Make a subscription of one price, paid at once or on trial."""
        items = values(form, "items")
        if not items or not isinstance(items[0], dict) or "price" not in items[0]:
            raise BadRequest("Missing required param: items[0][price].")
        price = self.find("price", items[0]["price"])
        trial = whole(form, "trial_end") or _days(form, now)
        anchor = whole(form, "billing_cycle_anchor")
        terms = Terms(
            customer=self.find("customer", form.get("customer", ""))["id"],
            product=price["product"],
            price=price["id"],
            quantity=whole(items[0], "quantity") or 1,
            lookup_key=price["lookup_key"],
            metadata=dict(form.get("metadata", {})),
            period_end=trial or anchor,
        )
        return self.apply(life.create(terms, now, self.ids, "trialing" if trial else "active"), now)

    def update(self, name: str, form: Form, now: int) -> Body:
        """Change a subscription, by one request: an empty `pause_collection` clears it."""
        body = self.find("subscription", name)
        fields = dict(_fields(body, form, now))
        return self.apply(life.update(body, fields), now)

    def act(self, name: str, what: str, now: int) -> Body:
        """Pause, resume or cancel a subscription; or let a payment of it fail, be given up, or be made."""
        body = self.find("subscription", name)
        invoice = self.ids("in")
        changes = {
            "pause": lambda: life.pause(body, now),
            "resume": lambda: life.resume(body, now, invoice),
            "cancel": lambda: life.cancel(body, now),
            "past_due": lambda: life.past_due(body),
            "unpaid": lambda: life.unpaid(body),
            "activate": lambda: life.activate(body, now, invoice),
        }
        return self.apply(changes[what](), now)

    def apply(self, change: Change, now: int) -> Body:
        """Hold what a change made of a subscription, and tell of it by its events."""
        self.held["subscription"][change.after["id"]] = change.after
        if change.types and self.silent:
            self.silent -= 1
            return change.after
        request = self.ids("req") if change.requested else None
        for kind in change.types:
            made = event(change, kind, Envelope(self.ids("evt"), now, request, Endpoint(LATEST)))
            events = self.held["event"]
            events[made["id"]] = made
            while len(events) > ROOM:
                del events[next(iter(events))]
            self._told(made)
        return change.after

    def pass_time(self, until: int) -> None:
        """Do what Stripe does by itself up to an instant, in order: trials end, periods renew, ends come.

        Nothing is sent when `resumes_at` passes: Stripe sends nothing.
        """
        while due := min(self._due(until), default=None):
            at, name = due
            self.apply(_by_itself(self.held["subscription"][name], at, self.ids("in")), at)
        for name, body in list(self.held["event"].items()):
            if body["created"] < until - KEPT:
                del self.held["event"][name]

    def _due(self, until: int) -> Iterator[tuple[int, str]]:
        for name, body in self.held["subscription"].items():
            if body["status"] in {"trialing", "active", "past_due", "unpaid"}:
                ends = [life.period(body)[1], body["cancel_at"]]
                at = min(end for end in ends if end is not None)
                if at <= until:
                    yield at, name


def _by_itself(body: Body, at: int, invoice: str) -> Change:
    end = body["cancel_at"]
    if end is not None and at >= end:
        return life.delete(body, at)
    if body["status"] == "trialing":
        return life.activate(body, at, invoice)
    return life.renew(body, invoice)


def _days(form: Form, now: int) -> int | None:
    days = whole(form, "trial_period_days")
    return now + days * DAY if days else None


def _fields(body: Body, form: Form, now: int) -> Iterator[tuple[str, Any]]:
    """Yield the fields that an update sets. Raises BadRequest for one that this sandbox does not know."""
    for name, value in form.items():
        if name == "pause_collection":
            yield name, _pause(value)
        elif name == "metadata":
            merged = body["metadata"] | (value if isinstance(value, dict) else {})
            yield name, {key: said for key, said in merged.items() if said != ""} if value else {}
        elif name == "cancel_at_period_end":
            asked = value == "true"
            yield from {
                name: asked,
                "cancel_at": life.period(body)[1] if asked else None,
                "canceled_at": now if asked else None,
            }.items()
        elif name == "cancel_at":
            yield name, whole(form, name)
        elif name == "items":
            yield name, _items(body["items"], values(form, name))
        else:
            raise BadRequest(f"Received unknown parameter: {name}")


def _pause(value: Any) -> Body | None:  # noqa: ANN401  as it came
    if value == "":
        return None
    behavior = value.get("behavior") if isinstance(value, dict) else None
    if behavior not in {"void", "keep_as_draft", "mark_uncollectible"}:
        raise BadRequest(
            "Invalid pause_collection[behavior]: void, keep_as_draft or mark_uncollectible."
        )
    return {"behavior": behavior, "resumes_at": whole(value, "resumes_at")}


def _items(items: Body, asked: list[Any]) -> Body:
    """Return items with other quantities."""
    wanted = {one.get("id"): whole(one, "quantity") for one in asked if isinstance(one, dict)}
    for name in wanted:
        if name not in {item["id"] for item in items["data"]}:
            raise BadRequest(
                f"This sandbox changes quantities of items that are there; no such item: '{name}'"
            )
    return items | {
        "data": [
            item | {"quantity": wanted.get(item["id"]) or item["quantity"]}
            for item in items["data"]
        ]
    }
