"""What ids and instants can be at every door; and Stripe's shapes, as far as we read them, of every API version.

The shapes are decode.py's alone.

Source: https://docs.stripe.com/api/events/object and https://docs.stripe.com/api/subscriptions/object.
"""

import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from entitlements.errors import BadRequest

_SIGNS = r"^[^\x00-\x20\x7f\ud800-\udfff]+\Z"  # what can stand in keys, logs and answers; \Z: `$` lets "\n" through
_LONGEST = 255
Id = Annotated[str, Meta(min_length=1, max_length=_LONGEST, pattern=_SIGNS)]
Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]  # up to the year 9999


_signs = re.compile(_SIGNS)


def is_id(value: str) -> bool:
    """Tell whether text is an `Id`: what msgspec would, several times as fast."""
    return len(value) <= _LONGEST and _signs.match(value) is not None


def id_of(value: str, name: str) -> str:
    """Return a value that is an id. Raises BadRequest, which calls it by a name, where it cannot be one."""
    if not is_id(value):
        raise BadRequest(
            f"{name} is no id. Ids have 1 to 255 characters, and no spaces among them."
        )
    return value


def id_if(value: str | None, name: str) -> str | None:
    """Return likewise what may be left out: null where it is."""
    return None if value is None else id_of(value, name)


class Request(Struct):
    """What caused the event; its id is null where Stripe did by itself."""

    id: str | None = None


class Envelope(Struct, kw_only=True):
    """What is around whatever an event carries."""

    id: Id
    type: Id
    created: Seconds
    livemode: bool
    account: Id | None = None
    request: Request | str | None = None


class Event(Envelope, kw_only=True):
    """Any event, with what it carries unread."""

    data: Raw
    object: str = "event"


class Reference(Struct):
    """An object that may come expanded: only its id counts."""

    id: Id


class Price(Struct):
    """A price, or the plan that very old items carry in its place."""

    id: Id
    product: Id | Reference | None = None
    lookup_key: str | None = None


class Item(Struct):
    """One subscription item."""

    id: Id
    price: Price | None = None
    plan: Price | None = None
    quantity: int | None = None
    current_period_end: Seconds | None = None


class Items(Struct):
    """A list object: its first page."""

    data: list[Item]
    has_more: bool = False


class Pause(Struct):
    """`pause_collection`."""

    behavior: Id
    resumes_at: Seconds | None = None


class Reason(Struct):
    """Why a subscription is paused."""

    type: str | None = None


class Paused(Struct):
    """Details of the status `paused`."""

    subscription: Reason | None = None


class StatusDetails(Struct):
    """Since `2026-09-30.endive`."""

    paused: Paused | None = None


class Subscription(Struct):
    """The fields of a subscription that we read."""

    id: Id
    customer: Id | Reference
    status: Id
    items: Items
    object: str = "subscription"
    pause_collection: Pause | UnsetType | None = UNSET
    cancel_at: Seconds | None = None
    cancel_at_period_end: bool = False
    trial_end: Seconds | None = None
    current_period_end: Seconds | None = None
    status_details: StatusDetails | None = None
    metadata: dict[str, str | None] | None = None


class Owned(Struct):
    """As little of a subscription as says which and whose it is."""

    id: Id
    customer: Id | Reference


class Named(Struct):
    """The same of what an event carries."""

    object: Owned


class Data(Struct):
    """What an event carries."""

    object: Subscription
    previous_attributes: dict[str, Any] | UnsetType | None = UNSET


class OldPrice(Struct):
    """What a price was like, as far as it is read; whatever it says may be missing, or be anything."""

    id: Any = UNSET
    product: Any = UNSET
    lookup_key: Any = UNSET


class OldItem(Struct):
    """Likewise an item."""

    id: Any = UNSET
    price: OldPrice | UnsetType | None = UNSET
    plan: OldPrice | UnsetType | None = UNSET
    quantity: Any = UNSET
    current_period_end: Any = UNSET


class OldItems(Struct):
    """Likewise a list of items."""

    data: list[OldItem] | UnsetType = UNSET
    has_more: Any = UNSET


class Old(Struct):
    """All that is read of `previous_attributes`, where what they say of items has the form of items.

    They may hold a hundred fields. These are a subscription's, but for those that never change.
    """

    status: Any = UNSET
    items: OldItems | UnsetType = UNSET
    pause_collection: Any = UNSET
    cancel_at: Any = UNSET
    cancel_at_period_end: Any = UNSET
    trial_end: Any = UNSET
    current_period_end: Any = UNSET
    status_details: Any = UNSET
    metadata: Any = UNSET


class Change(Struct):
    """What an event about a subscription carries, nearly always."""

    object: Subscription
    previous_attributes: Old | UnsetType | None = UNSET


class Usual(Envelope, kw_only=True):
    """An event about a subscription, read at once."""

    data: Change
    object: Literal["event"] = "event"
