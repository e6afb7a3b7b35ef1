"""Stripe's webhook bodies, one short call each: the sandbox's objects under ids that a test can name."""

from typing import Any

from entitlements.sandbox.event import encoded, signed
from entitlements.sandbox.shapes import LATEST, Body, Terms, new
from entitlements.sandbox.subscription import replaced
from tests.support.histories import KIND, MONTH, START

SECRET = "whsec_of_the_tests"  # noqa: S105  a test's own

BEFORE_BASIL, BASIL = "2024-06-20", "2025-08-27.basil"
"""API versions with the period on the subscription, and on its items but without `status_details`."""


def subscription(**fields: Any) -> Body:  # noqa: ANN401  any field of Stripe's
    """Return `sub_1` of `cus_1`: one item of the product `pro`, active, paid until a month after START."""
    terms = Terms(customer="cus_1", product="pro", price="price_pro")
    return new(terms, "sub_1", "si_1", START, START + MONTH) | fields


def event(about: Body, kind: str = f"{KIND}created", **fields: Any) -> Body:  # noqa: ANN401  likewise
    """Return an event about an object, `evt_1` of START unless `fields` say otherwise."""
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": LATEST,
        "created": START,
        "data": {"object": about},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    } | fields


def update(old: Body, new: Body, **fields: Any) -> Body:  # noqa: ANN401  likewise
    """Return the event of a change, `evt_2` of a second after START unless `fields` say otherwise."""
    data = {"object": new, "previous_attributes": replaced(old, new)}
    return event(
        new, f"{KIND}updated", **{"id": "evt_2", "created": START + 1, "data": data} | fields
    )


def pausing(behavior: str = "void", resumes_at: int | None = None) -> Body:
    """Return the field that pauses collection."""
    return {"pause_collection": {"behavior": behavior, "resumes_at": resumes_at}}


__all__ = ["SECRET", "encoded", "event", "pausing", "signed", "subscription", "update"]
