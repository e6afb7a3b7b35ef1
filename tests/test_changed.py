"""What an event changed: as values, and in words."""

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.changed import Changed, changed, said
from entitlements.model import PauseCollection, Snapshot
from tests.support.histories import MONTH, START, item, snapshot

PLAIN = snapshot()
VOID = replace(PLAIN, pause_collection=PauseCollection("void"))
DATED = replace(PLAIN, pause_collection=PauseCollection("void", 7))


def when(at: int) -> str:
    """Write an instant so that a test can tell it from a number."""
    return f"@{at}"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (PLAIN, PLAIN, "nothing that decides access"),
        (PLAIN, replace(PLAIN, status="past_due"), "status active -> past_due"),
        (PLAIN, VOID, "collection paused with void until unset"),
        (PLAIN, DATED, "collection paused with void until @7"),
        (VOID, PLAIN, "collection no longer paused"),
        (
            VOID,
            DATED,
            "collection paused with void until unset -> paused with void until @7",
        ),
        (VOID, replace(PLAIN, pause_collection=UNSET), "nothing that decides access"),
        (replace(PLAIN, pause_collection=UNSET), PLAIN, "nothing that decides access"),
        (PLAIN, replace(PLAIN, cancel_at=9), "cancel_at @9"),
        (replace(PLAIN, cancel_at=9), PLAIN, "cancel_at no longer @9"),
        (replace(PLAIN, trial_end=1), replace(PLAIN, trial_end=2), "trial_end @1 -> @2"),
        (PLAIN, replace(PLAIN, cancel_at_period_end=True), "cancel_at_period_end true"),
        (replace(PLAIN, has_more_items=True), PLAIN, "items.has_more no longer true"),
        (PLAIN, replace(PLAIN, decided="grant"), "metadata grant"),
        (
            replace(PLAIN, paused_because="system"),
            replace(PLAIN, paused_because="pause_requested"),
            "status_details.paused.subscription.type system -> pause_requested",
        ),
        (PLAIN, replace(PLAIN, items=(item(quantity=3),)), "items.si_1.quantity 1 -> 3"),
        (
            PLAIN,
            replace(PLAIN, status="unpaid", items=(item(end=START),)),
            f"status active -> unpaid; items.si_1.current_period_end @{START + MONTH} -> @{START}",
        ),
        (
            PLAIN,
            replace(PLAIN, items=(item("si_2", "team", end=None),)),
            "items.si_1 removed; items.si_2 added: product team, price price_team, quantity 1",
        ),
        (
            None,
            PLAIN,
            (
                "status active; items.si_1 added: product pro, price price_pro, quantity 1, "
                f"current_period_end @{START + MONTH}"
            ),
        ),
    ],
)
def test_what_was_changed_is_said(before: Snapshot | None, after: Snapshot, words: str) -> None:
    """In one sentence, by Stripe's own names."""
    assert said(changed(before, after), when) == words


def test_what_was_changed_is_told_as_values() -> None:
    """An item that comes or goes is told whole, one that changes by its fields."""
    other = replace(PLAIN, items=(item(quantity=2), item("si_2", "team", end=None)))
    assert changed(PLAIN, other) == (
        Changed("items.si_1.quantity", 1, 2),
        Changed(
            "items.si_2",
            None,
            {
                "product": "team",
                "price": "price_team",
                "quantity": 1,
                "lookup_key": None,
                "current_period_end": None,
            },
        ),
    )
    assert changed(VOID, PLAIN) == (Changed("pause_collection", PauseCollection("void"), None),)
