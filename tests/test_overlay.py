"""However many customers there are, each is found again as it was put."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from entitlements.model import CustomerRecord, Subject, SubscriptionRecord
from entitlements.overlay import Foretold, Overlay
from entitlements.redecide import Whole
from entitlements.store.marks import Marked
from tests.test_consequences import BEGUN, CUT_OFF, held

SUBJECTS = [Subject(f"cus_{n}", "acct_1" if n % 2 else None) for n in range(20)]


@pytest.fixture
def overlay() -> Iterator[Overlay]:
    """Give one that holds three customers in memory."""
    found = Overlay(3)
    yield found
    found.close()


def foretold(subject: Subject, version: int = 1) -> Foretold:
    """Return a customer who would lose access."""
    before, after = held(BEGUN), held(BEGUN, CUT_OFF)
    record = replace(after.record, version=version)
    return Foretold(
        Whole(subject, before.record, before.subscriptions),
        Whole(subject, record, after.subscriptions),
    )


def test_whoever_does_not_fit_into_memory_is_found_all_the_same(overlay: Overlay) -> None:
    """By name, and among all, once."""
    for subject in SUBJECTS:
        overlay.put(foretold(subject))

    assert [overlay.get(subject) for subject in SUBJECTS] == [foretold(s) for s in SUBJECTS]
    assert sorted(str(one.before.subject) for one in overlay) == sorted(map(str, SUBJECTS))


def test_the_last_word_counts(overlay: Overlay) -> None:
    """Whether the ones before it lie in memory or in the file."""
    for version in (1, 2, 3):
        for subject in SUBJECTS:
            overlay.put(foretold(subject, version))

    assert {one.after.record.version for one in overlay} == {3}
    assert len(list(overlay)) == len(SUBJECTS)


def test_nobody_is_foreseen_who_was_not_put(overlay: Overlay) -> None:
    """Nor is a customer of the same name, of another account."""
    whole = Whole(Subject("cus_1"), CustomerRecord(version=0), {"sub_1": SubscriptionRecord()})
    overlay.put(Foretold(whole, whole))

    assert overlay.get(Subject("cus_1", "acct_1")) is None
    assert overlay.get(Subject("cus_1")) == Foretold(whole, whole)


def test_what_would_be_kept_is_known_with_its_outcome(overlay: Overlay) -> None:
    """The last one, as in the store."""
    here, there = Marked(3, "evt_1"), Marked(4, "evt_1")
    assert overlay.kept(here) is None
    overlay.keep(here, "quarantined")
    overlay.keep(here, "ignored")
    assert (overlay.kept(here), overlay.kept(there)) == ("ignored", None)
