"""The codes that answers carry: all that can be said is listed, and all that is listed can be said."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Literal

from hypothesis import given
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.decide import decide
from entitlements.model import (
    CustomerRecord,
    Entitlement,
    Override,
    PauseCollection,
    Review,
    Snapshot,
    State,
)
from entitlements.policy import BEHAVIORS, BUILT_IN, STATUSES, Policy
from entitlements.policy_file import parse
from entitlements.reasons import FLAGS, REASONS, RULES, markdown_table
from entitlements.resolve import entitlement, features
from tests.support.histories import START, Life, created, snapshot, updated
from tests.support.policies import policies, state_of, states

OVERRIDES = (None, Override("grant", "a promise"), Override("deny", "fraud"))
WORDS: tuple[Literal["grant", "revoke"] | None, ...] = (None, "grant", "revoke")
STATED = parse("""
    metadata_key = "access"
    pause_collection.void = { access = "review", while_pending = "grant" }
    unknown.status = "revoke"
    unknown.behavior = "revoke"
""")
SNAPSHOTS = [
    *map(snapshot, STATUSES),
    *(snapshot(pause_collection=PauseCollection(behavior)) for behavior in BEHAVIORS),
    *(snapshot("paused", decided=word) for word in ("grant", "revoke", "perhaps")),
    snapshot("hibernating"),
    snapshot(pause_collection=PauseCollection("postpone")),
    snapshot(has_more_items=True),
]


def after(now: Snapshot) -> State:
    """Return the state after a subscription was created, unlike any other, and became something else at once."""
    was = snapshot("incomplete")
    return state_of(Life((created(START, was), updated(START, was, now)), now))


DOUBTFUL = replace(after(snapshot()), ambiguous=True)
ASSUMED = state_of(Life((updated(START, SNAPSHOTS[8], SNAPSHOTS[8]),), SNAPSHOTS[8]))


def records(state: State, policy: Policy) -> Iterator[CustomerRecord]:
    """Yield a customer of one subscription, with whatever a person may have said of it."""
    decision = decide(state, policy)
    for override, word in product(OVERRIDES, WORDS):
        yield CustomerRecord(
            1,
            policy.digest,
            {"sub_a": decision},
            {name: override for name in decision.features if override},
            {"sub_a": Review(word, decision.since, "seen")} if word else {},
        )


def answers(asked: Iterable[CustomerRecord]) -> Iterator[Entitlement]:
    """Yield the answers of some customers, for each feature and one more, at each instant of a change."""
    for record in asked:
        said = [s.start for d in record.decisions.values() for t in d.features.values() for s in t]
        for feature, at in product([*features(record), "another"], {START, *said}):
            yield entitlement(record, feature, at)


def test_all_that_is_listed_can_be_said() -> None:
    """No code is left over from rules that are gone."""
    lived = [*map(after, SNAPSHOTS), DOUBTFUL, ASSUMED]
    asked = (r for state in lived for policy in (BUILT_IN, STATED) for r in records(state, policy))
    found = list(answers([CustomerRecord(version=0), *asked]))

    assert {answer.reason for answer in found} == set(REASONS)
    assert {answer.rule for answer in found} - {None} == set(RULES)
    assert {flag for answer in found for flag in answer.flags or ()} == set(FLAGS)


@given(states, policies())
def test_all_that_can_be_said_is_listed(state: State, policy: Policy) -> None:
    """Whatever happened, under any policy, whatever a person said."""
    for found in answers(records(state, policy)):
        assert found.reason in REASONS
        assert found.rule is None or found.rule in RULES
        assert found.flags is UNSET or set(found.flags) <= set(FLAGS)


def test_the_tables_of_the_readme_have_every_code() -> None:
    """With its meaning, one line each; a table for each kind of code."""
    lines = markdown_table().splitlines()

    for code, meaning in (*REASONS.items(), *RULES.items(), *FLAGS.items()):
        assert f"| `{code}` | {meaning} |" in lines
    assert [line for line in lines if "means" in line] == [
        "| reason | means |",
        "| rule | means |",
        "| flag | means |",
    ]
