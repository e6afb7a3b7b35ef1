"""A person's word into a customer's records: written with all that follows from it, or only looked at.

It is written as a delivery is: in one piece, and made anew where somebody else wrote first. The same word by the same
person in the same second is one: a write whose reply was lost is not written again.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from entitlements import metrics
from entitlements.errors import StoreBusy
from entitlements.flips import Held, told
from entitlements.model import CustomerRecord, Subject
from entitlements.redecide import Difference, Whole, differences
from entitlements.resolve import SKEW, latest_known, next_change
from entitlements.store.audit import Deed
from entitlements.store.store import Spoken, Store
from entitlements.store.write import Mark, Write
from entitlements.words import Said, Word, Words

ATTEMPTS = 8


class Plan(NamedTuple):
    """What a word makes of what is held."""

    record: CustomerRecord
    words: Words
    marks: Sequence[Mark] = ()
    """Where it stands on lists."""
    outcome: str = ""
    """For the audit."""


class Saying(Struct, frozen=True):
    """What a word changed, or would change."""

    subject: Subject
    before: CustomerRecord
    after: CustomerRecord
    words: Words
    """After it."""
    at: int
    """The instant to compare answers at: the present of the write."""

    def differences(self) -> list[Difference]:
        """Return each answer that differs in access, now or at its next flip."""
        before, after = (Whole(self.subject, record, {}) for record in (self.before, self.after))
        return list(differences(before, after, self.at))


Planning = Callable[[Spoken], Plan | None]
"""From what is held to what is to be; null where the word is held already. Raises where it cannot be said."""


async def say(store: Store, subject: Subject, deed: Deed, action: str, plan: Planning) -> Saying:
    """Write a word. Raises StoreBusy, StoreError, and what the plan raises."""
    for _ in range(ATTEMPTS):
        held = await store.spoken(subject)
        if (planned := plan(held)) is None:
            return Saying(subject, held.record, held.record, held.words, deed.at)
        said = told(Held(held.record, held.due), planned.record, subject, None, deed.at)
        due = Mark("due", next_change(planned.record, said.at), str(subject))
        write = Write(
            expected=held.record.version,
            due=held.due,
            record=planned.record,
            colds={},
            marks=[due, *planned.marks],
            changes=said.changes,
            words=planned.words,
            deed=deed.record(action, str(subject), planned.outcome).fields(),
        )
        if await store.write(subject, write):
            return Saying(subject, held.record, planned.record, planned.words, said.at)
        metrics.commit_conflict()
    raise StoreBusy(
        "Others wrote to this customer first, several times over. Try again shortly: nothing is written."
    )


async def foresee(store: Store, subject: Subject, now: int, plan: Planning) -> Saying:
    """Return what a word would change. Writes nothing. Raises StoreError, and what the plan raises."""
    held = await store.spoken(subject)
    after = plan(held) or Plan(held.record, held.words)
    at = max(now, latest_known(after.record))
    return Saying(subject, held.record, after.record, after.words, at)


def instant(record: CustomerRecord, now: int) -> int:
    """Return from when a word holds that is said now: not before the last one, though that came by another clock."""
    return record.said_at if now < record.said_at <= now + SKEW else now


def repeats(said: Sequence[Word[Said]], word: Word[Said]) -> bool:
    """Tell whether a word is the last that is held about its object."""
    return word == next((held for held in reversed(said) if held.about == word.about), None)
