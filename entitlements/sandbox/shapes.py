"""Stripe's subscription object: every field, with values that agree with each other. Pure.

Made in the shape of API version `2026-10-28.endive`; `in_version` gives it the shape of an older one.
Source: https://docs.stripe.com/api/subscriptions/object, and for what moved or came later
https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end and
https://docs.stripe.com/changelog/endive/2026-09-30/pause-subscription.
"""

from copy import deepcopy
from typing import Any

from msgspec import Struct

Body = dict[str, Any]
"""An object as Stripe's JSON has it."""

LATEST = "2026-10-28.endive"
BASIL, ENDIVE = "2025-03-31", "2026-09-30"
"""The versions that moved the periods to the items, and that brought `status_details`. Dates sort as text."""

_PERIOD = ("current_period_start", "current_period_end")
_AFTER_BASIL = frozenset(
    {"billing_mode", "billing_schedules", "customer_account", "managed_payments", "status_details"}
)
_NULL = dict.fromkeys(  # what a plain subscription leaves empty
    (
        *("application", "application_fee_percent", "billing_cycle_anchor_config"),
        *("billing_thresholds", "cancel_at", "canceled_at", "customer_account", "days_until_due"),
        *("default_payment_method", "default_source", "description", "ended_at"),
        *("latest_invoice", "next_pending_invoice_item_invoice", "on_behalf_of"),
        *("pause_collection", "pending_invoice_item_interval", "pending_setup_intent"),
        *("pending_update", "schedule", "status_details", "test_clock", "transfer_data"),
        *("trial_end", "trial_start"),
    )
)
_PLAIN: Body = {
    **_NULL,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
    "billing_schedules": [],
    "cancel_at_period_end": False,
    "cancellation_details": dict.fromkeys(("comment", "feedback", "feedback_option", "reason")),
    "collection_method": "charge_automatically",
    "default_tax_rates": [],
    "discounts": [],
    "invoice_settings": dict.fromkeys(("account_tax_ids", "custom_fields", "description", "footer"))
    | {"issuer": {"type": "self"}},
    "managed_payments": {"enabled": False},
    "object": "subscription",
    "payment_settings": {
        "payment_method_options": None,
        "payment_method_types": None,
        "save_default_payment_method": "off",
    },
    "trial_settings": {
        "end_behavior": {"billing_cycle_anchor": None, "missing_payment_method": "create_invoice"}
    },
}


class Terms(Struct, frozen=True):
    """What a subscription is created with: a quantity of one monthly price of one product."""

    customer: str
    product: str
    price: str
    lookup_key: str | None = None
    quantity: int = 1
    unit_amount: int = 2000
    currency: str = "usd"
    livemode: bool = False
    metadata: dict[str, str] = {}
    period_end: int | None = None
    """End of the first period (of the trial, if there is one) in Unix seconds. Null: a month on."""


def new(terms: Terms, subscription: str, item: str, start: int, end: int) -> Body:
    """Return an active subscription under two ids, created at `start` and paid until `end`."""
    only_item = _item(terms, subscription, item, start, end)
    own = {"id": subscription, "billing_cycle_anchor": start, "created": start, "start_date": start}
    shown = {"items": _items(subscription, only_item), "plan": _plan(terms, start)}
    bought = {"customer": terms.customer, "currency": terms.currency, "quantity": terms.quantity}
    kept = {"livemode": terms.livemode, "metadata": terms.metadata, "status": "active"}
    return _sorted(deepcopy(_PLAIN | own | shown | bought | kept))


def with_period(items: Body, start: int, end: int) -> Body:
    """Return a subscription's `items` with another current period, in Unix seconds."""
    period = dict(zip(_PERIOD, (start, end), strict=True))
    return items | {"data": [item | period for item in items["data"]]}


def in_version(subscription: Body, api_version: str) -> Body:
    """Return a subscription as an endpoint of an API version (such as `2024-06-20`) is sent it."""
    if api_version >= ENDIVE:
        return subscription
    if api_version >= BASIL:
        return {key: value for key, value in subscription.items() if key != "status_details"}
    return _before_basil(subscription)


def _before_basil(subscription: Body) -> Body:
    """One period for all items, on the subscription; one `discount`; no billing mode."""
    items = subscription["items"]
    period = {key: items["data"][0][key] for key in _PERIOD}
    bare = [{k: v for k, v in item.items() if k not in _PERIOD} for item in items["data"]]
    kept = {key: value for key, value in subscription.items() if key not in _AFTER_BASIL}
    return _sorted(kept | period | {"discount": None, "items": items | {"data": bare}})


def _items(subscription: str, *data: Body) -> Body:
    url = f"/v1/subscription_items?subscription={subscription}"
    counted = {"has_more": False, "total_count": len(data), "url": url}
    return {"object": "list", "data": list(data), **counted}


def _item(terms: Terms, subscription: str, item: str, start: int, end: int) -> Body:
    return {
        "id": item,
        "object": "subscription_item",
        "billed_until": None,
        "billing_thresholds": None,
        "created": start,
        "current_period_end": end,
        "current_period_start": start,
        "current_trial": None,
        "discounts": [],
        "metadata": {},
        "plan": _plan(terms, start),
        "price": _price(terms, start),
        "quantity": terms.quantity,
        "subscription": subscription,
        "tax_rates": [],
    }


def _price(terms: Terms, created: int) -> Body:
    empty = ("custom_unit_amount", "nickname", "tiers_mode", "transform_quantity")
    return _sorted(
        {
            **dict.fromkeys(empty),
            **_sold(terms, created),
            "object": "price",
            "lookup_key": terms.lookup_key,
            "recurring": _MONTHLY | {"meter": None, "trial_period_days": None},
            "tax_behavior": "unspecified",
            "type": "recurring",
            "unit_amount": terms.unit_amount,
            "unit_amount_decimal": str(terms.unit_amount),
        }
    )


def _plan(terms: Terms, created: int) -> Body:
    """Return the price in the form it had before prices: Stripe still sends both."""
    empty = ("meter", "nickname", "tiers_mode", "transform_usage", "trial_period_days")
    amount = {"amount": terms.unit_amount, "amount_decimal": str(terms.unit_amount)}
    plan = {**dict.fromkeys(empty), **_sold(terms, created), **_MONTHLY, **amount}
    return _sorted(plan | {"object": "plan"})


_MONTHLY = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}


def _sold(terms: Terms, created: int) -> Body:
    return {
        "id": terms.price,
        "active": True,
        "billing_scheme": "per_unit",
        "created": created,
        "currency": terms.currency,
        "livemode": terms.livemode,
        "metadata": {},
        "product": terms.product,
    }


def _sorted(body: Body) -> Body:
    """Return an object with its fields in Stripe's order: id, object, then by name."""
    first = {key: body[key] for key in ("id", "object")}
    return first | dict(sorted(body.items()))
