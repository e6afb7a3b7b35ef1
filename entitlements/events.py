"""The event log as people are told of it, at every door the same."""

from typing import Self

from msgspec import Raw, Struct

from entitlements import redact
from entitlements.model import Outcome
from entitlements.store.entry import Logged


class LogEntry(Struct, frozen=True, tag_field="object", tag="event_log_entry"):
    """What came, and what became of it. Times are Unix seconds."""

    id: str
    """The event's: `evt_…`, or `sha256:…` of what has none."""
    type: str
    outcome: Outcome
    """Of the delivery that came first: a duplicate of it is answered, and not logged."""
    customer: str | None
    """Null where the event is about no subscription, or could not be read."""
    account: str | None
    """The connected account whose customer it is."""
    subscription: str | None
    created: int | None
    """When Stripe made it; null where that could not be read."""
    received_at: int
    delay: int | None
    """Seconds from the one to the other."""
    why: str | None
    """Why no more became of it, where there is something to say."""
    cursor: str
    """Its place in the log, for `starting_after`."""

    @classmethod
    def of(cls, logged: Logged) -> Self:
        """Tell of one entry."""
        subject, created = logged.subject, logged.created
        received_at = logged.received_ms // 1000
        return cls(
            id=logged.event,
            type=logged.type,
            outcome=logged.outcome,
            customer=None if subject is None else subject.customer,
            account=None if subject is None else subject.account,
            subscription=logged.subscription,
            created=created,
            received_at=received_at,
            delay=None if created is None else received_at - created,
            why=logged.why,
            cursor=str(logged.place),
        )


class EventView(Struct, frozen=True, tag_field="object", tag="event_view"):
    """One event with its body as it was sent, but for secrets."""

    entry: LogEntry
    body: Raw

    @classmethod
    def of(cls, logged: Logged) -> Self:
        """Show one entry."""
        return cls(LogEntry.of(logged), Raw(redact.shown(logged.body).encode()))
