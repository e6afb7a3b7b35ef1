"""The nouns. Frozen values that every other room shares; no I/O, no clock, no rule.

A subscription *is* its facts; a `State` is the fold of them; a `Decision` is what policy makes of a state;
an `Entitlement` is the answer to one question at one instant. Times are Unix seconds unless a name says otherwise.
"""

from typing import Literal, Self

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import astuple

READ = "entitlements.subscription.read"
"""The type of a fact that Stripe did not send: what a read of the subscription said, made to heal a doubt."""

Behavior = str
"""`keep_as_draft`, `mark_uncollectible` or `void`: an open enum at Stripe, so any string can come."""

KnownBehavior = Literal["keep_as_draft", "mark_uncollectible", "void"]
"""Those that can be asked for."""

Outcome = Literal[
    "applied", "unchanged", "duplicate", "stale", "ignored", "quarantined", "ambiguous"
]


class PauseCollection(Struct, frozen=True, omit_defaults=True):
    """Stripe's `pause_collection`. `resumes_at` null means until somebody unsets it."""

    behavior: Behavior
    resumes_at: int | None = None


class Item(Struct, frozen=True, array_like=True):
    """One subscription item, whichever API version it came in."""

    id: str
    product: str
    price: str
    quantity: int = 1
    lookup_key: str | None = None
    period_end: int | None = None


class Snapshot(Struct, frozen=True, omit_defaults=True):
    """What one event says of a subscription: all that decisions depend on, and nothing else.

    Two snapshots that are equal are the same state: the identity that canonical order compares.
    `pause_collection` is unset where the payload has no such key, which is not the same as null.
    """

    status: str
    items: tuple[Item, ...] = ()
    pause_collection: PauseCollection | UnsetType | None = UNSET
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    trial_end: int | None = None
    decided: str | None = None
    """The value of the policy's `metadata_key`; other metadata is free-form, and no part of a state."""
    paused_because: str | None = None
    """`status_details.paused.subscription.type`, where the API version has it."""
    has_more_items: bool = False


class Before(Struct, frozen=True, omit_defaults=True):
    """The fields of a snapshot, in their order, that an update changed, with the values they had before it."""

    status: str | UnsetType = UNSET
    items: tuple[Item, ...] | UnsetType = UNSET
    pause_collection: PauseCollection | UnsetType | None = UNSET
    cancel_at: int | UnsetType | None = UNSET
    cancel_at_period_end: bool | UnsetType = UNSET
    trial_end: int | UnsetType | None = UNSET
    decided: str | UnsetType | None = UNSET
    paused_because: str | UnsetType | None = UNSET
    has_more_items: bool | UnsetType = UNSET

    @classmethod
    def between(cls, old: Snapshot, new: Snapshot) -> Self:
        """Return what an update says that led from one state to another."""
        pairs = zip(astuple(old), astuple(new), strict=True)
        return cls(*(UNSET if was == now else was for was, now in pairs))


class Fact(Struct, frozen=True, omit_defaults=True):
    """One authentic event about one subscription, and its delivery."""

    event: str
    type: str
    created: int
    snapshot: Snapshot
    before: Before | None = None
    """Null where the event does not say what it changed (only `updated` events do)."""
    request: str | None = None
    received_ms: int = 0
    delivery: str = ""
    """Names the delivery that brought it, so that a retried write is known from a repeated event."""
    outcome: Outcome = "applied"

    def snapshot_before(self) -> Snapshot | None:
        """Return the state that this event changed, or null where it does not say."""
        if self.before is None:
            return None
        pairs = zip(astuple(self.before), astuple(self.snapshot), strict=True)
        return Snapshot(*(now if was is UNSET else was for was, now in pairs))


class Pause(Struct, frozen=True, omit_defaults=True):
    """A pause of collection as the fold knows it."""

    behavior: Behavior
    since: int
    paid_until: dict[str, int]
    """Item id to the end of the period that was in force when the pause began."""
    resumes_at: int | None = None
    assumed: bool = False
    """True where no event tells when it began: it is taken to have begun when first seen."""


class State(Struct, frozen=True, omit_defaults=True):
    """A subscription at one moment: the fold of its facts."""

    at: int
    """`created` of the last fact."""
    snapshot: Snapshot
    """The last one that was understood (or the first of all, if none was)."""
    status_since: int
    paid_until: dict[str, int] = {}
    """Of a status that ends the use: item id to the end of what was paid when that status began."""
    pause: Pause | None = None
    not_understood: str | None = None
    """The value that is not known, as `status=…` or `behavior=…`; null when all is."""
    held_before: bool = True
    """False while nothing understood has ever been held."""
    ambiguous: bool = False


class Segment(Struct, frozen=True, array_like=True):
    """One stretch of a timeline: from `start` (included) to the next one's start (excluded)."""

    start: int
    granted: bool
    reason: str
    rule: str
    quantity: int = 1

    def says(self) -> tuple[bool, str, str, int]:
        """Return what holds in this stretch, without when."""
        return self.granted, self.reason, self.rule, self.quantity

    def speaks(self) -> bool:
        """Tell whether it says anything: whatever does, says by which rule (SILENCE has none)."""
        return self.rule != ""


Timeline = tuple[Segment, ...]

PENDING = "review_pending"
"""The reason of a segment that waits for a person."""

CUT_OFF = "has_more_items"
"""The flag of a subscription with more items than its events carry."""

SILENCE = (False, "", "", 0)
"""What a segment says while its subscription does not speak of the feature at all."""


class Decision(Struct, frozen=True, omit_defaults=True):
    """What policy makes of one subscription's state: a timeline for each of its features."""

    as_of: int
    features: dict[str, Timeline]
    since: int = 0
    """When what is decided began: a person's review holds for as long as this stays the same."""
    flags: tuple[str, ...] = ()


class Override(Struct, frozen=True, omit_defaults=True):
    """A person's word over policy, for one customer and feature."""

    access: Literal["grant", "deny"]
    reason: str
    expires_at: int | None = None
    created: int = 0
    """When it was set: it holds from then on. 0 where that was not noted."""


class Review(Struct, frozen=True, omit_defaults=True):
    """A person's decision on what policy leaves to a person, for one subscription and for as long as it lasts."""

    access: Literal["grant", "revoke"] | None
    """Null where it was taken back."""
    since: int
    """The `since` of the decision that was reviewed: another pause is another question."""
    reason: str
    created: int = 0
    """When it was decided: it holds from then on. 0 where that was not noted."""


class PastPolicy(Struct, frozen=True, array_like=True):
    """A policy that a customer was decided by, up to an instant (not included)."""

    until: int
    digest: str


class CustomerRecord(Struct, frozen=True, omit_defaults=True):
    """The hot record: all that an answer about one customer needs."""

    version: int
    """First, always encoded: the commit script compares it (store/commit.lua)."""
    policy: str = ""
    decisions: dict[str, Decision] = {}
    overrides: dict[str, Override] = {}
    reviews: dict[str, Review] = {}
    """By subscription."""
    past_policies: tuple[PastPolicy, ...] = ()
    """The earlier ones, the oldest first."""
    said_at: int = 0
    """When a person last set, decided or took back something: before it, the Words tell what held."""
    overruled: dict[str, Timeline] | None = None
    """Never stored: what overrides say over time, where decisions are whole lives and have reviews in them already."""
    age: float | None = None
    """Never stored: seconds since it was last known to hold, where the store cannot be reached."""


class SubscriptionRecord(Struct, frozen=True, omit_defaults=True):
    """The cold record: the facts kept of one subscription, in canonical order, and their fold."""

    facts: tuple[Fact, ...] = ()
    state: State | None = None
    base: State | None = None
    """What the facts were folded to that are older than what is retained, and are kept no more."""
    settled: int = 0
    """The instant by which all of those had happened and come: what was known before it is not known any more."""


class Change(Struct, frozen=True, omit_defaults=True):
    """One answer that became another one, as the change feed tells it."""

    customer: str
    feature: str
    granted: bool
    reason: str
    quantity: int
    version: int
    at: int
    account: str | None = None
    event: str | None = None
    """The event that caused it; null where the clock did, a person or another policy."""
    replayed: bool = False
    """Whether a replay brought the event: what it says may be long past."""


class Then(Struct, frozen=True):
    """What an answer becomes at its `until`."""

    granted: bool
    reason: str


class Entitlement(Struct, frozen=True, tag_field="object", tag="entitlement"):
    """The answer to one question, as callers see it."""

    feature: str
    granted: bool
    reason: str
    rule: str | None
    subscription: str | None
    quantity: int
    until: int | None
    then: Then | None
    policy: str
    flags: tuple[str, ...] | UnsetType = UNSET
    """What is assumed or in doubt about it; left out where nothing is."""
    stale: bool | UnsetType = UNSET
    """True where the store cannot be reached, and this is what was seen last; else left out."""
    age: int | UnsetType = UNSET
    """Of a stale answer: seconds since it was last known to hold."""


class Subject(Struct, frozen=True):
    """Whose records: a customer, of the platform itself or of a connected account."""

    customer: str
    account: str | None = None

    def __str__(self) -> str:
        """Return the name used in keys and lists: `cus_…`, or `acct_…/cus_…`; nobody's where a customer has a slash."""
        # A customer named "acct_1/cus_1" must not lead to that account's.
        apart = self.account or "/" in self.customer
        return f"{self.account or ''}/{self.customer}" if apart else self.customer


class SubscriptionEvent(Struct, frozen=True):
    """An event that says what a subscription is like: its fact, and whose subscription it is."""

    fact: Fact
    subject: Subject
    subscription: str
    livemode: bool
