"""A policy written out reads back as the same policy."""

import pytest
from hypothesis import example, given

from entitlements.policy import BUILT_IN, Policy
from entitlements.policy_dump import dump
from entitlements.policy_file import parse
from tests.support.policies import policies

WRITTEN = """\
stale_ttl = 60
log_retention = 3024000
ambiguous = "revoke"
metadata_key = "access"

[status]
trialing = { access = "grant" }
active = { access = "grant" }
past_due = { access = "revoke", grace = 604800 }
unpaid = { access = "review", while_pending = "grant" }
canceled = { access = "revoke", from = "period_end" }
incomplete = { access = "revoke" }
incomplete_expired = { access = "revoke" }
paused = { access = "revoke" }

[paused]
system = { access = "grant" }

[pause_collection]
keep_as_draft = { access = "grant" }
mark_uncollectible = { access = "grant" }
void = { access = "revoke", from = "period_end" }

[unknown]
status = { access = "revoke" }

[pause_collection.trialing]
void = { access = "grant" }

[features]
"prod.\\"a\\u007f" = [{ feature = "a", quantity = 1 }, { feature = "seats", quantity = 5 }]
"" = []

[[scope]]
lookup_key = "yearly"

[[scope]]
product = "é"

[scope.status]
unpaid = { access = "grant" }

[scope.pause_collection.active]
void = { access = "grant" }
"""


def test_a_policy_is_written_as_a_person_would() -> None:
    """A table for each kind of cell, a line for each cell, and nothing that says nothing."""
    assert dump(parse(WRITTEN)) == WRITTEN


@pytest.mark.parametrize(
    "name", ["metadata_key", "[paused]", "[unknown]", "[features]", "[[scope]]"]
)
def test_what_is_not_stated_is_not_written(name: str) -> None:
    """The built-in policy has neither features nor scopes of its own."""
    assert name not in dump(BUILT_IN)


@given(policies())
@example(BUILT_IN)
def test_a_policy_reads_back_as_it_was(policy: Policy) -> None:
    """Value and digest are the same, whatever its names are made of."""
    again = parse(dump(policy))

    assert again == policy
    assert again.digest == policy.digest
