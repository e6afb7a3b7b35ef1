"""Subscriptions with more items than one answer shows: the rest is paged, so that the body is whole.

Source: https://docs.stripe.com/api/subscription_items/list.
"""

import time
from typing import Any

import msgspec
from msgspec import Struct

from entitlements.stripe_api.calls import Calls, in_time, path
from entitlements.stripe_api.lists import Place, Read, decoded, page_of


class _Items(Struct):
    has_more: bool = False


class _Subscription(Struct):
    items: _Items


def is_cut_off(body: bytes) -> bool:
    """Tell whether a subscription has more items than its body."""
    return decoded(body, _Subscription).items.has_more


async def whole(calls: Calls, name: str, account: str | None) -> Read:
    """Read a subscription with all of its items. Raises StripeUnavailable where that took too long to be one read."""
    began = time.monotonic()
    found = await calls.get(path("subscriptions", name), {}, account)
    body = found.body
    if is_cut_off(body):
        body = await _completed(calls, body, account)
        in_time(time.monotonic() - began)
    return Read(found.stamp, body, name)


async def _completed(calls: Calls, body: bytes, account: str | None) -> bytes:
    subscription: dict[str, Any] = msgspec.json.decode(body)
    items = subscription["items"]
    while items["has_more"]:
        place = Place(starting_after=items["data"][-1]["id"])
        asked = {"subscription": subscription["id"], **place.params()}
        page = page_of(await calls.get(path("subscription_items"), asked, account))
        items["data"] += [msgspec.json.decode(read.body) for read in page.data]
        items["has_more"] = page.has_more and bool(page.data)
    return msgspec.json.encode(subscription)
