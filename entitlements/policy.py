"""What a status and a pause of collection mean for access: the table, and how a cell of it is found.

The cells of `BUILT_IN` are the built-in policy; a company states its own in a file (policy_file.py). decide.py asks for
cells, the README prints them.

Which cell counts: the most specific scope that has one, a price before a lookup key before a product before the whole
policy; and within one scope the cell for a reason or a status before the one for all of them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import msgspec
from msgspec import Struct, structs

from entitlements.model import Item

DAY = 86_400

STATUSES = (
    "trialing",
    "active",
    "past_due",
    "unpaid",
    "canceled",
    "incomplete",
    "incomplete_expired",
    "paused",
)
BEHAVIORS = ("keep_as_draft", "mark_uncollectible", "void")
PAUSABLE = ("trialing", "active", "past_due")
"""Statuses within which a pause of collection has a meaning of its own; the others decide by themselves."""

UNKNOWN = ("status", "behavior")
"""What can have a value that is not known here."""

PAUSED_REASONS = (
    "pause_requested",
    "trial_end_without_payment_method",
    "first_payment_failure",
    "final_payment_failure",
    "system",
)
"""`status_details.paused.subscription.type`: https://docs.stripe.com/api/subscriptions/object."""

Access = Literal["grant", "revoke"]


def stated(value: Struct) -> dict[str, object]:
    """Return a value as plain data in a fixed order, without what is as it would be if nothing were said.

    Equal values have equal data: `omit_defaults` leaves out only what *is* the default, not what equals it.
    """
    fields = ((f, getattr(value, f.name)) for f in structs.fields(value))
    return {f.encode_name: _plain(found) for f, found in fields if found != _default(f)}


def _plain(value: object) -> object:
    if isinstance(value, Struct):
        return stated(value)
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(found) for found in value] if isinstance(value, tuple) else value


def _default(field: structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


class Cell(
    Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, rename={"start": "from"}
):
    """What one status or one behaviour means.

    `grant` holds at once. `revoke` and `review` take effect `grace` seconds after their start: `now` is the moment the
    status or the pause began, `period_end` the end of the period already paid for at that moment; until then access is
    granted. From then on a `review` is what `while_pending` says, until a person decides.
    """

    access: Literal["grant", "revoke", "review"]
    start: Literal["now", "period_end"] = "now"
    grace: int = 0
    while_pending: Access | None = None


class Rules(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Cells, by what they are about. A key that is missing is answered by a wider scope."""

    status: dict[str, Cell] = {}
    paused: dict[str, Cell] = {}
    """Of the status `paused`, by the reason that Stripe gives."""
    pause_collection: dict[str, Cell] = {}
    """By behaviour, in every status of PAUSABLE."""
    pause_collection_in: dict[str, dict[str, Cell]] = {}
    """By status, then by behaviour."""
    unknown: dict[str, Cell] = {}
    """Of a `status` or `behavior` that is not known here. Without a cell: as before, if something is held."""


SCOPED_BY = ("product", "price", "lookup_key")
"""What a scope can be of."""


class Scope(Rules, frozen=True, omit_defaults=True, kw_only=True):
    """Rules for the items of one product, price or lookup key; exactly one of the three is set."""

    product: str | None = None
    price: str | None = None
    lookup_key: str | None = None

    @property
    def named(self) -> tuple[str, str]:
        """Return which of the three is set, and to what."""
        fields = ((name, getattr(self, name)) for name in SCOPED_BY)
        return next((name, value) for name, value in fields if value is not None)


class Grant(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A feature that an item gives, and how many units of it for each unit of the item."""

    feature: str
    quantity: int = 1


class Policy(Rules, frozen=True, kw_only=True, dict=True):  # dict: room for the cached digest
    """A whole policy: every cell of STATUSES and BEHAVIORS has an answer in its own rules."""

    scopes: tuple[Scope, ...] = ()
    features: dict[str, tuple[Grant, ...]] = {}
    """By price id, lookup key or product id. What is not named gives the feature that its product's id names."""
    metadata_key: str | None = None
    """A metadata key of the subscription whose value, `grant` or `revoke`, decides while it is paused."""
    ambiguous: Access = "grant"
    """Which of several possible states holds until the doubt is healed: the more or the less entitling."""
    stale_ttl: int = 3600
    """Seconds for which a process answers from what it last saw while the store is out of reach."""
    log_retention: int = 35 * DAY
    """Seconds for which events and changes are kept: longer than Stripe's own 30 days."""

    @cached_property
    def digest(self) -> str:
        """Return the name of this version: sixteen hexadecimal digits over its content."""
        canonical = msgspec.json.encode(stated(self))
        return hashlib.sha256(canonical).hexdigest()[:16]

    def status_cell(self, item: Item, status: str, because: str | None = None) -> Cell:
        """Return the cell of a known status; `because` is why it is `paused`, where Stripe says so."""
        reason = because if status == "paused" else None
        tables = (
            pair for r in self._scoped(item) for pair in ((r.paused, reason), (r.status, status))
        )
        return next(cells[key] for cells, key in tables if key in cells)

    def pause_cell(self, item: Item, status: str, behavior: str) -> Cell:
        """Return the cell of a known behaviour within a status."""
        scoped = self._scoped(item)
        tables = (
            t for r in scoped for t in (r.pause_collection_in.get(status, {}), r.pause_collection)
        )
        return next(cells[behavior] for cells in tables if behavior in cells)

    def unknown_cell(self, item: Item, kind: str) -> Cell | None:
        """Return the cell of an unknown `status` or `behavior`; null where what held before goes on."""
        return next((r.unknown[kind] for r in self._scoped(item) if kind in r.unknown), None)

    def grants(self, item: Item) -> tuple[Grant, ...]:
        """Return the features that an item gives."""
        named = (
            name for name in (item.price, item.lookup_key, item.product) if name in self.features
        )
        found = next(named, None)
        return (Grant(item.product),) if found is None else self.features[found]

    def _scoped(self, item: Item) -> Sequence[Rules]:
        """Return the rules that an item falls under, the most specific first."""
        if not self.scopes:
            return (self,)
        mine = ((field, getattr(item, field)) for field in ("price", "lookup_key", "product"))
        named = [(field, value) for field, value in mine if value is not None]
        return (*(s for field, v in named for s in self.scopes if getattr(s, field) == v), self)


GRANT, REVOKE = Cell("grant"), Cell("revoke")

BUILT_IN = Policy(
    status={
        "trialing": GRANT,
        "active": GRANT,
        "past_due": Cell("revoke", grace=7 * DAY),
        "unpaid": REVOKE,
        "canceled": REVOKE,
        "incomplete": REVOKE,
        "incomplete_expired": REVOKE,
        "paused": REVOKE,
    },
    pause_collection={
        "keep_as_draft": GRANT,
        "mark_uncollectible": GRANT,
        "void": Cell("revoke", start="period_end"),
    },
)
