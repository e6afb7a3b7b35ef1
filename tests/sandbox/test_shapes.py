"""The subscription object against the fields that Stripe's own library knows, in every API version's shape."""

import re
from typing import Any

import pytest
import stripe

from entitlements.sandbox.shapes import LATEST, Body, Terms, in_version, new

START, END = 1_800_000_000, 1_802_678_400
TERMS = Terms("cus_1", "prod_1", "price_1", lookup_key="pro_monthly", quantity=3)
SUBSCRIPTION = new(TERMS, "sub_1", "si_1", START, END)

# what Stripe leaves out of a plain object, and what it sends beside its reference
OMITTED = {
    "Subscription": {"presentment_details"},
    "BillingMode": {"updated_at"},
    "Issuer": {"account"},
    "SubscriptionItem": {"deleted"},
    "Price": {"currency_options", "deleted", "tiers"},
    "Plan": {"deleted", "tiers"},
}
UNDOCUMENTED = {"Subscription": {"plan", "quantity"}}


def test_it_has_every_field_that_stripes_library_knows() -> None:
    """A subscription, its items, price and plan have Stripe's fields: none is missing, none is invented."""
    item = SUBSCRIPTION["items"]["data"][0]
    _agrees(SUBSCRIPTION, stripe.Subscription)
    _agrees(item, stripe.SubscriptionItem)
    _agrees(item["price"], stripe.Price)
    _agrees(item["plan"], stripe.Plan)


def test_its_values_agree_with_each_other() -> None:
    """Ids, quantity, price and times are the same wherever Stripe repeats them."""
    item = SUBSCRIPTION["items"]["data"][0]
    assert SUBSCRIPTION["items"]["url"] == "/v1/subscription_items?subscription=sub_1"
    assert (item["subscription"], item["quantity"]) == ("sub_1", SUBSCRIPTION["quantity"])
    assert item["price"]["id"] == item["plan"]["id"] == SUBSCRIPTION["plan"]["id"] == "price_1"
    assert item["price"]["product"] == item["plan"]["product"] == "prod_1"
    assert SUBSCRIPTION["created"] == SUBSCRIPTION["start_date"] == item["current_period_start"]
    assert item["current_period_end"] == END


def test_two_subscriptions_share_nothing() -> None:
    """Changing one object in place leaves the next one as it should be."""
    new(TERMS, "sub_2", "si_2", START, END)["invoice_settings"]["issuer"]["type"] = "account"
    assert new(TERMS, "sub_3", "si_3", START, END)["invoice_settings"]["issuer"]["type"] == "self"


def test_before_basil_the_period_is_on_the_subscription() -> None:
    """Versions before 2025-03-31 have one period, one discount, and nothing that came later."""
    old = in_version(SUBSCRIPTION, "2024-06-20")
    item = old["items"]["data"][0]
    assert (old["current_period_start"], old["current_period_end"]) == (START, END)
    assert not {"current_period_start", "current_period_end"} & item.keys()
    assert not {"billing_mode", "status_details", "customer_account"} & old.keys()
    assert old["discount"] is None
    assert SUBSCRIPTION["items"]["data"][0]["current_period_end"] == END


@pytest.mark.parametrize("version", ["2025-03-31.basil", "2025-12-15.clover"])
def test_status_details_came_with_endive(version: str) -> None:
    """Versions between basil and endive differ from the latest in that one field."""
    assert SUBSCRIPTION.keys() - in_version(SUBSCRIPTION, version).keys() == {"status_details"}


def test_the_latest_version_is_the_librarys_own() -> None:
    """The shape is that of the API version which the installed library pins."""
    assert stripe.api_version == LATEST
    assert in_version(SUBSCRIPTION, LATEST) == SUBSCRIPTION


def _agrees(body: Body, known: type[Any]) -> None:
    """Compare an object's fields with a class of the library, and its objects with the classes inside that one."""
    name = known.__name__
    fields = {field for field in known.__annotations__ if re.fullmatch("[a-z_]+", field)}
    expected = fields - OMITTED.get(name, set()) | UNDOCUMENTED.get(name, set())
    assert body.keys() - {"items"} == expected - {"items"}, name
    for key, value in body.items():
        inner = getattr(known, key.title().replace("_", ""), None)
        if isinstance(value, dict) and inner:
            _agrees(value, inner)
