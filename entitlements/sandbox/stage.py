"""The subscription that a command speaks of: the one it remembers, or a plausible one made up. Pure."""

from collections.abc import Callable
from functools import cached_property

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from entitlements.policy import DAY
from entitlements.sandbox.ids import Ids
from entitlements.sandbox.memory import Held
from entitlements.sandbox.shapes import Body, Terms
from entitlements.sandbox.subscription import Change, Opening, create

HOUR = 3_600


class Wishes(Struct, frozen=True):
    """What the subscription should be like; null means any."""

    id: str | None = None
    customer: str | None = None
    account: str | None = None
    product: str | None = None
    price: str | None = None
    lookup_key: str | None = None
    quantity: int | None = None
    livemode: bool | None = None
    period_end: int | None = None


TERMS = ("product", "price", "lookup_key", "quantity", "livemode")
"""The wishes that only a new subscription can be given."""


class Stage:
    """Sets the scene for one change at `now` (Unix seconds), with what is remembered (null: nothing that fits)."""

    def __init__(self, wishes: Wishes, held: Held | None, now: int, ids: Ids) -> None:
        self.wishes = wishes
        self.held = held
        self.now = now
        self.notes: list[str] = []
        """What the person at the terminal should know of the choice."""
        self.ids = ids

    @cached_property
    def invoice(self) -> str:
        """The id of the invoice that the change makes."""
        return self.ids("in")

    @property
    def account(self) -> str | None:
        """The connected account that the events come from."""
        return self.held.account if self.held else self.wishes.account

    def create(self, status: Opening = "active", age: int = 0, end: int | None = None) -> Change:
        """Create a new subscription `age` seconds ago, its first period up to `end` (Unix seconds)."""
        wishes = asdict(self.wishes)
        chosen = {key: wishes[key] for key in TERMS if wishes[key] is not None}
        named = {key: wishes[key] or self.ids(prefix) for key, prefix in _NAMED}
        self.held = None
        terms = named | chosen | {"period_end": end or self.wishes.period_end}
        return create(msgspec.convert(terms, Terms), self.now - age, self._id, status)

    def subscription(
        self,
        status: Opening = "active",
        age: int = 10 * DAY,
        end: int | None = None,
        then: Callable[[Body], Change] | None = None,
    ) -> Body:
        """Return the remembered subscription, or make one up that is as the arguments say."""
        if self.held:
            self.notes += self._ignored()
            return self.held.body
        body = self.create(status, age, end).after
        self.notes.append(f"No subscription that fits was sent before: made up {body['id']}.")
        return then(body).after if then else body

    def _id(self, prefix: str) -> str:
        wished = self.wishes.id if prefix == "sub" else None
        return wished or self.ids(prefix)

    def _ignored(self) -> list[str]:
        given = [key for key in TERMS if getattr(self.wishes, key) is not None]
        names = ", ".join(f"--{key.replace('_', '-')}" for key in given)
        return [f"{names}: not used, since this subscription exists."] if given else []


_NAMED = (("customer", "cus"), ("product", "prod"), ("price", "price"))
