"""What is walked, and what a walk comes to."""

from typing import NamedTuple

from msgspec import Struct, field

from entitlements.drift import CAUSES, Cause, Drift
from entitlements.redecide import Difference


class Scope(NamedTuple):
    """Which subscriptions: of a connected account or the key's own, of everybody or one customer."""

    account: str | None = None
    customer: str | None = None

    def __str__(self) -> str:
        """Return it in words, for the record."""
        names = [name for name in (self.account, self.customer) if name]
        return "/".join(names) or "every subscription"


class Sums(Struct, tag_field="object", tag="reconciliation"):
    """What a walk has come to. Bounded: counts, not names."""

    looked: int = 0
    in_step: int = 0
    newer_here: int = 0
    """Happened after the read had begun: not compared, and nothing is wrong with it."""
    drift: dict[Cause, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    unreadable: int = 0
    healed: int = 0
    complete: bool = False
    """Whether all of Stripe's subscriptions were seen in one walk. Else nothing is known of what was not."""
    cursor: str | None = None
    """Behind which subscription to go on, where there are more."""

    @property
    def left(self) -> int:
        """Return how many are not in step, as far as was seen."""
        return sum(self.drift.values()) + self.unreadable - self.healed


class Found(NamedTuple):
    """What was found in some of the walk: what differs, and the answers that another policy alone changes."""

    drift: list[Drift]
    differences: list[Difference]
