"""Answers as they are sent: bytes, and for how long they are good. Both ways to one (queries, shortcut) end here."""

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from entitlements.model import CustomerRecord, Entitlement
from entitlements.resolve import age, entitlement, entitlements, soonest

MAX_AGE = 5
"""Seconds for which a caller may keep an answer that has no earlier end."""

JSON = "application/json"

encode = msgspec.json.Encoder().encode


class EntitlementList(Struct, frozen=True, tag_field="object", tag="list"):
    """A customer's entitlements, in the shape of Stripe's lists."""

    data: list[Entitlement]
    has_more: bool
    url: str
    customer: str
    as_of: int
    version: int
    stale: bool | UnsetType = UNSET
    age: int | UnsetType = UNSET


class Encoded(Struct, frozen=True):
    """An answer at an instant, and when it becomes another one: null for never. Instants are Unix seconds."""

    body: bytes
    etag: str
    """Changes with the record, and at each flip."""
    at: int
    until: int | None

    def max_age(self) -> int:
        """Return for how many seconds a caller may keep it: the second `at` has begun already."""
        left = MAX_AGE if self.until is None else self.until - self.at - 1
        return max(0, min(MAX_AGE, left))


def one(record: CustomerRecord, feature: str, at: int) -> Encoded:
    """Return the answer for one feature."""
    found = entitlement(record, feature, at)
    return encoded(encode(found), record, at, found.until)


def features_of(record: CustomerRecord, at: int, *, denied: bool) -> Encoded:
    """Return the list's entitlements as a JSON array: the granted ones, or every one."""
    every = entitlements(record, at)
    found = [e for e in every if denied or e.granted]
    return encoded(encode(found), record, at, soonest(every))


def listed(
    record: CustomerRecord, data: Encoded, customer: str, url: str, at: int
) -> EntitlementList:
    """Return the list around `features_of`, which may be older than `at` and is still good."""
    return EntitlementList(
        data=cast("list[Entitlement]", Raw(data.body)),
        has_more=False,
        url=url,
        customer=customer,
        as_of=at,
        version=record.version,
        stale=UNSET if record.age is None else True,
        age=age(record),
    )


def checked(answers: Sequence[bytes]) -> bytes:
    """Return the answers to a batch around its entitlements and problems, in the order of its questions."""
    return b'{"object":"list","data":[%b]}' % b",".join(answers)


def encoded(body: bytes, record: CustomerRecord, at: int, until: int | None) -> Encoded:
    """Return an answer that follows from a record, with its ETag."""
    return Encoded(body, f'"{record.version}-{record.policy}-{until or 0}"', at, until)
