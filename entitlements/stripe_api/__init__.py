"""Everything that calls Stripe, in one room.

- `calls`: one call, its errors, and the instant that it is an answer about
- `lists`: pages, and events from the oldest on
- `items`: subscriptions with more items than one answer shows
- `shapes`: what else is read than events and subscriptions, which stay bytes
- `api`: the calls that we make
"""

from entitlements.stripe_api.api import StripeApi, required
from entitlements.stripe_api.lists import EventFilter, Page, Place, Read

__all__ = ["EventFilter", "Page", "Place", "Read", "StripeApi", "required"]
