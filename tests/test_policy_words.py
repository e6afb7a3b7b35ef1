"""A policy in words."""

import pytest
from hypothesis import given

from entitlements.policy import BUILT_IN, DAY, GRANT, REVOKE, Cell, Policy
from entitlements.policy_file import parse
from entitlements.policy_words import effective_rows, markdown_table, said
from tests.support.policies import policies

SAID: list[tuple[Cell, str]] = [
    (GRANT, "granted"),
    (REVOKE, "revoked"),
    (Cell("revoke", grace=DAY), "granted for 1 day, then revoked"),
    (Cell("revoke", grace=7 * DAY), "granted for 7 days, then revoked"),
    (Cell("revoke", grace=36 * 3600), "granted for 36 hours, then revoked"),
    (Cell("revoke", grace=3600), "granted for 1 hour, then revoked"),
    (Cell("revoke", grace=90 * 60), "granted for 90 minutes, then revoked"),
    (Cell("revoke", grace=90), "granted for 90 seconds, then revoked"),
    (
        Cell("revoke", "period_end"),
        "granted until the end of the period already paid for, then revoked",
    ),
    (
        Cell("revoke", "period_end", DAY),
        "granted until 1 day after the end of the period already paid for, then revoked",
    ),
    (Cell("review", while_pending="revoke"), "a person decides (revoke meanwhile)"),
    (
        Cell("review", "period_end", while_pending="grant"),
        "granted until the end of the period already paid for, then a person decides (grant meanwhile)",
    ),
]


@pytest.mark.parametrize(("cell", "words"), SAID, ids=[words for _, words in SAID])
def test_a_cell_in_words(cell: Cell, words: str) -> None:
    """In the order in which things happen."""
    assert said(cell) == words


def test_the_built_in_table_has_every_cell_and_why() -> None:
    """Eight statuses, three behaviours, and what is unknown; a reason for each."""
    lines = markdown_table().splitlines()

    assert len(lines) == 2 + 8 + 3 + 1
    assert (
        "| `past_due` | granted for 7 days, then revoked | time to mend a failed payment | `status.past_due` |"
        in lines
    )
    assert (
        "| `trialing`, `active`, `past_due`, collection paused with `void` | granted until the end of the period "
        "already paid for, then revoked | nothing will ever be charged for it; what was paid is served "
        "| `pause_collection.void` |" in lines
    )
    assert lines[-1] == (
        "| an unknown status or behaviour | as before if something is held, else revoked "
        "| flagged for review | `unknown` |"
    )


EFFECTIVE = """
metadata_key = "access"
ambiguous = "revoke"
stale_ttl = "90s"
log_retention = "40d"
status.trialing = "revoke"
paused.system = "grant"
pause_collection.active.void = "grant"
unknown.behavior = "revoke"
features.prod_a = ["a", { feature = "seats", quantity = 5 }]
features.prod_b = []
[[scope]]
price = "price_a"
status.unpaid = "grant"
[[scope]]
lookup_key = "yearly"
unknown.status = "grant"
"""

ROWS = [
    ("whole policy", "`trialing`", "revoked", "status.trialing"),
    ("whole policy", "`active`", "granted", "status.active"),
    ("whole policy", "`past_due`", "granted for 7 days, then revoked", "status.past_due"),
    ("whole policy", "`unpaid`", "revoked", "status.unpaid"),
    ("whole policy", "`canceled`", "revoked", "status.canceled"),
    ("whole policy", "`incomplete`", "revoked", "status.incomplete"),
    ("whole policy", "`incomplete_expired`", "revoked", "status.incomplete_expired"),
    ("whole policy", "`paused`", "revoked", "status.paused"),
    ("whole policy", "`paused` because of `system`", "granted", "status.paused"),
    (
        "whole policy",
        "`trialing`, `active`, `past_due`, collection paused with `keep_as_draft`",
        "granted",
        "pause_collection.keep_as_draft",
    ),
    (
        "whole policy",
        "`trialing`, `active`, `past_due`, collection paused with `mark_uncollectible`",
        "granted",
        "pause_collection.mark_uncollectible",
    ),
    (
        "whole policy",
        "`trialing`, `active`, `past_due`, collection paused with `void`",
        "granted until the end of the period already paid for, then revoked",
        "pause_collection.void",
    ),
    (
        "whole policy",
        "`active`, collection paused with `void`",
        "granted",
        "pause_collection.void",
    ),
    ("whole policy", "an unknown behavior", "revoked", "unknown.behavior"),
    (
        "whole policy",
        "an unknown status",
        "as before if something is held, else revoked",
        "unknown",
    ),
    (
        "whole policy",
        "paused, with metadata `access`",
        "what it says: grant or revoke",
        "metadata",
    ),
    ("whole policy", "an order that cannot be told", "the less entitling state", "ambiguous"),
    ("whole policy", "the store out of reach", "as last seen, for 90 seconds", "stale_ttl"),
    ("whole policy", "events and changes", "kept for 40 days", "log_retention"),
    ("price price_a", "`unpaid`", "granted", "status.unpaid"),
    ("lookup_key yearly", "an unknown status", "granted", "unknown.status"),
    ("prod_a", "gives", "1 a and 5 seats", "features"),
    ("prod_b", "gives", "nothing", "features"),
]


def test_the_effective_table_has_all_that_a_policy_says() -> None:
    """What a file states and what it leaves as it was: of the whole policy, then of each scope, then the features."""
    assert effective_rows(parse(EFFECTIVE)) == ROWS


def test_an_order_that_cannot_be_told_is_for_the_customer() -> None:
    """Unless a policy says otherwise, and without a key no metadata counts."""
    rows = effective_rows(BUILT_IN)

    assert (
        "whole policy",
        "an order that cannot be told",
        "the more entitling state",
        "ambiguous",
    ) in rows
    assert not [row for row in rows if row[3] == "metadata"]


@given(policies())
def test_every_cell_of_any_policy_has_its_row(policy: Policy) -> None:
    """Nothing that decides is left out of the table."""
    rules = [policy, *policy.scopes]
    tables = [t for r in rules for t in (r.status, r.paused, r.pause_collection, r.unknown)]
    tables += [t for r in rules for t in r.pause_collection_in.values()]
    stated = [said(cell) for table in tables for cell in table.values()]
    rows = effective_rows(policy)

    assert all(sum(row[2] == words for row in rows) >= stated.count(words) for words in stated)
    assert len(rows) >= len(stated) + len(policy.features)
