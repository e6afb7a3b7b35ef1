"""What a read from Stripe says, in the form of an event, so that it goes in by the same door, and is kept like one.

Its `created` is the read's stamp, Stripe's own clock when the read had not begun before, and canonical order puts it
before whatever happened from then on (order.py): a read never overwrites what is newer.
"""

import msgspec
from msgspec import Raw, Struct

from entitlements.model import READ
from entitlements.stripe_api import Read


class _Mode(Struct):
    livemode: bool | None = None


def event_of(read: Read, account: str | None) -> bytes:
    """Return a read of a subscription, of a connected account or the key's own, as the body of an event."""
    event = {
        "id": f"read_{read.id}_{read.stamp}",
        "object": "event",
        "type": READ,
        "created": read.stamp,
        "livemode": msgspec.json.decode(read.body, type=_Mode).livemode,
        "data": {"object": Raw(read.body)},
    }
    return msgspec.json.encode({**event, "account": account} if account else event)
