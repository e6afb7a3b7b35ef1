"""The life of a subscription. Pure: time, and the ids of what Stripe would make, are arguments.

A subscription is a plain dict, as shapes.py makes it. A transition takes one (and leaves it as it is) and returns a
`Change`: what became of it, and which events tell of that. What Stripe would refuse raises BadRequest.
Source: https://docs.stripe.com/billing/subscriptions/overview.
"""

from calendar import monthrange
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from entitlements.errors import BadRequest
from entitlements.model import KnownBehavior
from entitlements.sandbox.ids import Ids
from entitlements.sandbox.shapes import Body, Terms, new, with_period

Opening = Literal["active", "trialing", "incomplete"]

_BILLING = ("active", "past_due", "unpaid")
_COLLECTING = ("trialing", *_BILLING)
_LIVE = ("incomplete", *_COLLECTING, "paused")


class Change(NamedTuple):
    """What a transition did, and the types of the events that tell of it (none where nothing changed)."""

    before: Body | None
    """Null where there was no subscription."""
    after: Body
    types: tuple[str, ...]
    requested: bool = True
    """False where Stripe acts by itself: no API request stands behind the events."""

    @property
    def previous_attributes(self) -> Body:
        """Return what the change replaced, as an `updated` event has it."""
        return replaced(self.before or {}, self.after)


def replaced(before: Body, after: Body) -> Body:
    """Return the old values of the top-level fields that changed; objects and arrays come whole."""
    changed = (key for key in after if before.get(key) != after[key])
    return {key: before.get(key) for key in changed}


def period(subscription: Body) -> tuple[int, int]:
    """Return start and end of the current period, in Unix seconds."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def month_after(instant: int, anchor: int) -> int:
    """Return the next month's day of the billing cycle's anchor, or that month's last day (UTC).

    Source: https://docs.stripe.com/billing/subscriptions/billing-cycle.
    """
    at = datetime.fromtimestamp(instant, UTC)
    year, month = at.year + at.month // 12, at.month % 12 + 1
    day = min(datetime.fromtimestamp(anchor, UTC).day, monthrange(year, month)[1])
    return int(at.replace(year=year, month=month, day=day).timestamp())


def create(terms: Terms, now: int, ids: Ids, status: Opening = "active") -> Change:
    """Create one: paid at once, on trial, or waiting for its first payment."""
    end = terms.period_end or month_after(now, now)
    # a trial, and a first period of another length, move the cycle to where they end
    anchor = end if terms.period_end or status == "trialing" else now
    trial = {"trial_start": now, "trial_end": end} if status == "trialing" else {}
    body = new(terms, ids("sub"), ids("si"), now, end) | trial
    own = {"billing_cycle_anchor": anchor, "latest_invoice": ids("in"), "status": status}
    return Change(None, body | own, ("customer.subscription.created",))


def update(subscription: Body, fields: Body, *, requested: bool = True) -> Change:
    """Set top-level fields; not the items of what is over. Where that changes nothing, Stripe sends no event."""
    if "items" in fields:
        _require(subscription, "have its items changed", *_LIVE)
    after = subscription | fields
    types = () if after == subscription else ("customer.subscription.updated",)
    return Change(subscription, after, types, requested)


def activate(subscription: Body, now: int, invoice: str) -> Change:
    """Pay what is owed; or end the trial, with `invoice` for the first paid period."""
    _require(subscription, "become active", "incomplete", *_COLLECTING)
    if subscription["status"] != "trialing":
        return update(subscription, {"status": "active"}, requested=False)
    start = min(now, subscription["trial_end"])
    paid = {"status": "active", "trial_end": start, "latest_invoice": invoice}
    return update(subscription, paid | _cycle(subscription, start), requested=False)


def pause_collection(
    subscription: Body, behavior: KnownBehavior, resumes_at: int | None = None
) -> Change:
    """Stop collecting payments, until `resumes_at` (Unix seconds) or until unset. The status stays.

    Source: https://docs.stripe.com/billing/subscriptions/pause-payment.
    """
    _require(subscription, "have its collection paused", *_COLLECTING)
    paused = {"behavior": behavior, "resumes_at": resumes_at}
    return update(subscription, {"pause_collection": paused})


def unpause(subscription: Body) -> Change:
    """Collect payments again: `pause_collection` becomes null."""
    _require(subscription, "have its collection unpaused", *_COLLECTING)
    return update(subscription, {"pause_collection": None})


def renew(subscription: Body, invoice: str, end: int | None = None) -> Change:
    """Roll the period on, by a month unless `end` (Unix seconds) says otherwise."""
    _require(subscription, "renew", *_BILLING)
    if subscription["cancel_at_period_end"]:
        raise BadRequest(
            f"{subscription['id']} cancels at the end of its period and does not renew: delete it."
        )
    start = period(subscription)[1]
    following = end or month_after(start, subscription["billing_cycle_anchor"])
    items = with_period(subscription["items"], start, following)
    return update(subscription, {"items": items, "latest_invoice": invoice}, requested=False)


def past_due(subscription: Body) -> Change:
    """Fail a payment, which Stripe will retry."""
    _require(subscription, "become past due", *_COLLECTING)
    return update(subscription, {"status": "past_due"}, requested=False)


def unpaid(subscription: Body) -> Change:
    """Give up retrying a payment, and keep the subscription."""
    _require(subscription, "become unpaid", *_BILLING)
    return update(subscription, {"status": "unpaid"}, requested=False)


def pause(subscription: Body, now: int) -> Change:
    """Pause the subscription itself, service included. Its period is cut to now.

    Source: https://docs.stripe.com/api/subscriptions/pause.
    """
    _require(subscription, "be paused", *_BILLING)
    reason = {"type": "pause_requested"}
    details = {"type": "subscription", "transitioned_at": now, "subscription": reason}
    start, end = period(subscription)
    items = with_period(subscription["items"], start, min(now, end))
    fields = {"status": "paused", "status_details": {"paused": details}, "items": items}
    return _beside("paused", update(subscription, fields))


def resume(subscription: Body, now: int, invoice: str) -> Change:
    """Resume a paused subscription: active, with `invoice` for a new period from now on."""
    _require(subscription, "resume", "paused")
    fields = {"status": "active", "status_details": None, "latest_invoice": invoice}
    return _beside("resumed", update(subscription, fields | _cycle(subscription, now)))


def cancel_at_period_end(subscription: Body, now: int) -> Change:
    """Ask for the end: all stays as it is up to the end of the period already paid for."""
    _require(subscription, "be set to cancel", *_COLLECTING)
    end = period(subscription)[1]
    asked = {"cancel_at": end, "cancel_at_period_end": True, "canceled_at": now}
    return update(subscription, asked | _because(subscription, "cancellation_requested"))


def cancel(subscription: Body, now: int) -> Change:
    """End it at once, by request."""
    _require(subscription, "be canceled", *_LIVE)
    at_once = {"cancel_at": None, "cancel_at_period_end": False, "canceled_at": now}
    why = _because(subscription, "cancellation_requested")
    return _ended(subscription | at_once | why, now)._replace(before=subscription)


def delete(subscription: Body, now: int) -> Change:
    """End it as Stripe does by itself: where that was scheduled, or because payment failed."""
    _require(subscription, "end", *_LIVE)
    failed = {"canceled_at": now} | _because(subscription, "payment_failed")
    last = {} if subscription["cancel_at_period_end"] else failed
    ended = _ended(subscription | last, now)
    return ended._replace(before=subscription, requested=False)


def _require(subscription: Body, what: str, *statuses: str) -> None:
    name, status = subscription["id"], subscription["status"]
    if status not in statuses:
        raise BadRequest(f"{name} is {status}; to {what}, it must be {' or '.join(statuses)}.")


def _beside(kind: str, change: Change) -> Change:
    """Tell of a change twice, as Stripe does: by a type of its own, and by `updated`."""
    return change._replace(types=(f"customer.subscription.{kind}", *change.types))


def _cycle(subscription: Body, start: int) -> Body:
    """Start the billing cycle anew."""
    items = with_period(subscription["items"], start, month_after(start, start))
    return {"billing_cycle_anchor": start, "items": items}


def _because(subscription: Body, reason: str) -> Body:
    return {"cancellation_details": subscription["cancellation_details"] | {"reason": reason}}


def _ended(subscription: Body, now: int) -> Change:
    over = {"status": "canceled", "ended_at": now, "status_details": None}
    return Change(subscription, subscription | over, ("customer.subscription.deleted",))
