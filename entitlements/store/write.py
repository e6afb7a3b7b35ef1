"""What one run of the commit script is given."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from entitlements.absorb import Absorbed, Held, Lists
from entitlements.model import Change, CustomerRecord, Subject, SubscriptionRecord
from entitlements.redecide import Whole
from entitlements.store import cold, keys
from entitlements.store.entry import Entry, Value
from entitlements.words import Words

_encode = msgspec.json.Encoder().encode


class Mark(NamedTuple):
    """A place on one of the lists; a null score takes the member off."""

    list: str
    score: int | None
    member: str


class Write(Struct, frozen=True, kw_only=True):
    """A customer's records as they are to be, if the version is still the one that was read."""

    expected: int
    due: int | None
    """When the customer was due, by what was read."""
    record: CustomerRecord
    colds: Mapping[str, SubscriptionRecord]
    marks: Sequence[Mark]
    fields: Sequence[Value] = ()
    """The log entry; none where no event caused the write."""
    changes: Sequence[Change] = ()
    words: Words | None = None
    """What people said over policy; null where it stays as it is."""
    deed: Sequence[Value] = ()
    """The audit's fields and values; none where no person caused the write."""

    def keys(self, p: int, subject: Subject) -> list[str]:
        """Return the script's KEYS, all in one slot."""
        return [
            keys.customer(p, subject),
            *(keys.shared(p, name) for name in ("log", "changes", "due")),
            *(keys.subscription(p, subject, name) for name in self.colds),
            *([] if self.words is None else [keys.words(p, subject)]),
            *(keys.shared(p, mark.list) for mark in self.marks),
            *([keys.shared(p, "audit")] if self.deed else []),
        ]

    def values(self, p: int, subject: Subject) -> list[Value]:
        """Return the script's ARGV (commit.lua says how they are read)."""
        texts = [*map(cold.encode, self.colds.values())]
        texts += [] if self.words is None else [_encode(self.words)]
        marks = [
            part for m in self.marks for part in ("" if m.score is None else m.score, m.member)
        ]
        return [
            self.expected,
            "" if self.due is None else self.due,
            str(subject),
            keys.WRITTEN,
            notice(p, self.record.version, subject),
            _encode(self.record),
            len(texts),
            *texts,
            len(self.marks),
            *marks,
            len(self.fields),
            *self.fields,
            len(self.deed),
            *self.deed,
            *map(_encode, self.changes),
        ]


def notice(p: int, version: int, subject: Subject) -> str:
    """Return what is published of a write: `<partition> <version> <subject>`."""
    return f"{p} {version} {subject}"


def of_event(held: Held, absorbed: Absorbed, subject: Subject, entry: Entry) -> Write:
    """Return what one event makes of a customer's records."""
    return Write(
        expected=held.customer.version,
        due=held.due,
        record=absorbed.customer,
        colds={entry.subscription: absorbed.subscription},
        marks=_marks(subject, absorbed.lists.due, {entry.subscription: absorbed.lists}),
        fields=entry.fields(),
        changes=absorbed.changes,
    )


def of_policy(
    before: Whole, after: Whole, lists: Mapping[str, Lists], changes: Sequence[Change]
) -> Write:
    """Return what another policy makes of them; a cold record that stays as it is is not written."""
    return Write(
        expected=before.record.version,
        due=before.due,
        record=after.record,
        colds={n: new for n, new in after.subscriptions.items() if new != before.subscriptions[n]},
        marks=_marks(before.subject, after.due, lists),
        changes=changes,
    )


def _marks(subject: Subject, due: int | None, lists: Mapping[str, Lists]) -> list[Mark]:
    found = [Mark("due", due, str(subject))]
    for name, on in lists.items():
        member = f"{subject} {name}"
        found += [
            Mark("paused", on.paused_since, member),
            Mark("review", on.review_since, member),
            Mark("reads", on.read_due, member),
        ]
    return found
