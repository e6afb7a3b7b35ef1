"""What there is to explain an answer by, and what is told of it: values alone. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from entitlements.changed import Changed
from entitlements.model import (
    CustomerRecord,
    Entitlement,
    Outcome,
    Override,
    Pause,
    PauseCollection,
    Review,
    Subject,
    SubscriptionRecord,
)
from entitlements.policy import Policy


class AnswerStretch(Struct, frozen=True, kw_only=True, rename={"start": "from"}):
    """How long a feature's answer stays the same: `from` belongs to it, `until` to the next; null is for good."""

    start: int
    until: int | None
    granted: bool
    reason: str
    rule: str | None
    subscription: str | None
    quantity: int


class ExplainedAnswer(
    Struct, frozen=True, kw_only=True, tag_field="object", tag="explained_answer"
):
    """The answer about one feature, and all the others that it was or will be, as far as is known."""

    feature: str
    says: str
    entitlement: Entitlement
    override: Override | None
    timeline: tuple[AnswerStretch, ...]


class ExplainedEvent(Struct, frozen=True, kw_only=True, tag_field="object", tag="explained_event"):
    """One event in canonical order, and its delivery. Times are Unix seconds."""

    event: str
    type: str
    created: int
    received_at: int
    delay: int
    """Seconds from the one to the other."""
    outcome: Outcome
    place: int
    """In canonical order, from 1."""
    arrived: int
    """In the order of arrival."""
    overtaken_by: str | None
    """An event that comes later in canonical order and came earlier."""
    gap: bool
    """Whether it changed another state than the one before it left: an event between them may never have come."""
    changed: tuple[Changed, ...]
    says: str


class ExplainedFlag(Struct, frozen=True):
    """What is assumed or in doubt."""

    flag: str
    says: str


class ExplainedDoubt(Struct, frozen=True):
    """Events of one second that could not be put in order, and what settles it."""

    at: int
    events: tuple[str, ...]
    says: str


class ExplainedSubscription(
    Struct, frozen=True, kw_only=True, tag_field="object", tag="explained_subscription"
):
    """What a subscription was like at the instant, and how it came to be so."""

    id: str
    status: str
    pause_collection: PauseCollection | None
    pause: Pause | None
    """A pause of collection as it is counted: since when, and what was paid when it began."""
    since: int
    """When what is decided began: the pause that holds, or else the status."""
    events: tuple[ExplainedEvent, ...]
    kept_from: int | None
    """Older facts are kept no more than as the state that they led to; null where all are kept."""
    review: Review | None
    flags: tuple[ExplainedFlag, ...]
    doubt: ExplainedDoubt | None


class Quarantined(Struct, frozen=True):
    """An event that names the customer, and could not be taken in."""

    event: str
    type: str
    received_at: int
    why: str


class Done(Struct, frozen=True):
    """What a person did about the customer, when and why."""

    at: int
    by: str
    action: str
    reason: str
    outcome: str


class Asked(Struct, frozen=True, kw_only=True):
    """What is to be explained: of whom, at which instant, by what was known at another; one feature or all."""

    subject: Subject
    at: int
    known_at: int | None = None
    feature: str | None = None


class Held(Struct, frozen=True, kw_only=True):
    """What there is to explain it by."""

    record: CustomerRecord
    """What the question is answered by."""
    life: CustomerRecord
    """The same over the whole life of each subscription."""
    policy: Policy
    """What they are decided by."""
    in_force: str
    """The digest of the policy that is in force."""
    subscriptions: Mapping[str, SubscriptionRecord]
    quarantined: tuple[Quarantined, ...] = ()
    done: tuple[Done, ...] = ()
    refused: str | None = None
    """Why there is no answer."""


class Explanation(Struct, frozen=True, kw_only=True, tag_field="object", tag="explanation"):
    """Why a customer is answered what they are. Times are Unix seconds, but for what `says` says."""

    customer: str
    account: str | None
    at: int
    known_at: int | None
    version: int
    policy: str
    """What the customer is decided by."""
    in_force: str
    refused: str | None
    """Why there is no answer: it is longer ago than what is kept."""
    answers: tuple[ExplainedAnswer, ...]
    subscriptions: tuple[ExplainedSubscription, ...]
    quarantined: tuple[Quarantined, ...]
    done: tuple[Done, ...]
    """What people did about the customer, the newest first."""
    notes: tuple[str, ...]
