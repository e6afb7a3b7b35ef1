"""Which cell of a policy counts, which features an item gives, and what a policy is called."""

from collections.abc import Callable, Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.model import Item
from entitlements.policy import (
    BEHAVIORS,
    BUILT_IN,
    GRANT,
    PAUSABLE,
    PAUSED_REASONS,
    STATUSES,
    UNKNOWN,
    Cell,
    Grant,
    Policy,
    Scope,
)
from entitlements.policy_file import parse
from tests.support.policies import HAVE_PAID_PERIOD, policies

ITEM = Item("si_1", product="prod", price="price", lookup_key="key")
BARE = Item("si_1", product="prod", price="price")
OTHER = Item("si_2", product="key", price="prod", lookup_key="price")

TABLES = {"whole": "", "product": '\nproduct = "prod"', "key": '\nlookup_key = "key"'}
TABLES |= {"price": '\nprice = "price"'}


def policy(**stated: str) -> Policy:
    """Return a policy that says something for the whole, and in the scopes of ITEM's price, lookup key and product."""
    whole = stated.pop("whole", "")
    return parse(whole + "".join(f"\n[[scope]]{TABLES[key]}\n{stated[key]}" for key in stated))


def graced(seconds: int) -> str:
    """Return a cell that can be told from others."""
    return f'{{ access = "revoke", grace = {seconds} }}'


# -- Scopes

CELLS: Mapping[str, tuple[str, Callable[[Policy, Item], Cell]]] = {
    "status": ("status.past_due = {}", lambda p, i: p.status_cell(i, "past_due")),
    "pause": ("pause_collection.void = {}", lambda p, i: p.pause_cell(i, "active", "void")),
    "paused": ("paused.system = {}", lambda p, i: p.status_cell(i, "paused", "system")),
}
SCOPED = [
    (("whole",), ITEM, "whole"),
    (("whole", "product"), ITEM, "product"),
    (("whole", "product", "key"), ITEM, "key"),
    (("whole", "product", "key", "price"), ITEM, "price"),
    (("whole", "price", "key", "product"), ITEM, "price"),
    (("whole", "product", "price"), ITEM, "price"),
    (("whole", "product", "key"), BARE, "product"),
    (("whole", "product", "key", "price"), OTHER, "whole"),
]


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("stated", "item", "counts"), SCOPED)
def test_the_most_specific_scope_counts(
    kind: str, stated: tuple[str, ...], item: Item, counts: str
) -> None:
    """A price before a lookup key before a product before the whole policy, in whatever order they are written."""
    line, ask = CELLS[kind]
    cells = {name: Cell("revoke", grace=n) for n, name in enumerate(stated, 1)}
    found = policy(**{name: line.format(graced(cell.grace)) for name, cell in cells.items()})

    assert ask(found, item) == cells[counts]


def test_a_scope_that_says_nothing_of_it_leaves_it_to_a_wider_one() -> None:
    """Of a scope only the cells count that it has."""
    found = policy(
        price='status.unpaid = "grant"',
        product=f'status.past_due = {graced(1)}\npause_collection.void = "grant"',
    )

    assert found.status_cell(ITEM, "unpaid") == GRANT
    assert found.status_cell(ITEM, "past_due") == Cell("revoke", grace=1)
    assert found.pause_cell(ITEM, "active", "void") == GRANT
    assert found.pause_cell(ITEM, "active", "keep_as_draft") == GRANT
    assert found.status_cell(ITEM, "canceled") == BUILT_IN.status["canceled"]


def test_within_a_scope_the_status_counts_before_all_of_them() -> None:
    """A behaviour within one status has a cell of its own; a wider scope's does not come before a narrower one's."""
    found = policy(
        whole=f"pause_collection.void = {graced(1)}\npause_collection.trialing.void = {graced(2)}",
        product=f"pause_collection.void = {graced(3)}\npause_collection.active.void = {graced(4)}",
    )
    cells = [found.pause_cell(i, s, "void").grace for i in (OTHER, ITEM) for s in PAUSABLE]

    assert cells == [2, 1, 1, 3, 4, 3]


def test_within_a_scope_the_reason_counts_before_the_status() -> None:
    """A reason that is not stated, or not known, is the status's own."""
    found = policy(
        whole=f"status.paused = {graced(1)}\npaused.system = {graced(2)}",
        product=f"status.paused = {graced(3)}\npaused.pause_requested = {graced(4)}",
    )
    asked = ("system", "pause_requested", "a_new_reason", None)
    cells = [found.status_cell(i, "paused", why).grace for i in (OTHER, ITEM) for why in asked]

    assert cells == [2, 1, 1, 1, 3, 4, 3, 3]


def test_a_reason_counts_for_the_status_paused_alone() -> None:
    """It may still stand in the details of another status."""
    found = policy(whole='paused.system = "grant"\nstatus.unpaid = "revoke"')

    assert found.status_cell(ITEM, "unpaid", "system") == BUILT_IN.status["unpaid"]


def test_what_is_unknown_has_a_cell_only_where_one_is_stated() -> None:
    """In a scope or for the whole policy."""
    found = policy(whole='unknown.status = "revoke"', price='unknown.behavior = "grant"')

    assert found.unknown_cell(ITEM, "status") == Cell("revoke")
    assert found.unknown_cell(ITEM, "behavior") == GRANT
    assert found.unknown_cell(OTHER, "behavior") is None
    assert BUILT_IN.unknown_cell(ITEM, "status") is None


def test_an_item_without_a_lookup_key_is_in_no_scope_of_one() -> None:
    """Nothing is not a name."""
    found = Policy(
        status=BUILT_IN.status, scopes=(Scope(product="x", status={"active": Cell("revoke")}),)
    )

    assert found.status_cell(BARE, "active") == GRANT


# -- Features


def test_an_item_gives_the_features_of_its_price_or_else_its_lookup_key_or_else_its_product() -> (
    None
):
    """The most specific name that is mapped says all; an unmapped product is its own feature."""
    whole = {
        "price": (Grant("a"), Grant("seats", 5)),
        "key": (Grant("b"),),
        "prod": (),
        "another": (Grant("c"),),
    }

    def given(*names: str) -> tuple[Grant, ...]:
        return Policy(features={name: whole[name] for name in names}).grants(ITEM)

    assert given("prod", "key", "price") == whole["price"]
    assert given("prod", "key") == whole["key"]
    assert given("prod", "another") == ()
    assert given("another") == (Grant("prod"),)
    assert Policy(features={"key": (Grant("b"),)}).grants(BARE) == (Grant("prod"),)


# -- The whole


def test_the_built_in_policy_is_whole() -> None:
    """Every status and behaviour has its cell."""
    assert tuple(BUILT_IN.status) == STATUSES
    assert tuple(BUILT_IN.pause_collection) == BEHAVIORS


@given(policies(), st.sampled_from([ITEM, BARE, OTHER]))
def test_every_question_has_an_answer(policy: Policy, item: Item) -> None:
    """Whatever a file leaves out; and only statuses that end the use have a paid period to end."""
    for status in STATUSES:
        for why in (*PAUSED_REASONS, None):
            cell = policy.status_cell(item, status, why)
            assert cell.start == "now" or status in HAVE_PAID_PERIOD
    for status in PAUSABLE:
        assert all(policy.pause_cell(item, status, behavior) for behavior in BEHAVIORS)
    assert all(isinstance(policy.unknown_cell(item, kind), Cell | None) for kind in UNKNOWN)


# -- The digest


def test_the_digest_of_the_built_in_policy_is_known() -> None:
    """It stands in every record of a store that never had another: it changes when the policy does, and only then."""
    assert BUILT_IN.digest == "092a1de1b2362e5f"


def test_what_is_written_out_in_full_is_the_same_policy() -> None:
    """A default that is stated changes neither the policy nor its name."""
    explicit = parse("""
        stale_ttl = 3600
        log_retention = "35d"
        ambiguous = "grant"
        status.unpaid = { access = "revoke", from = "now", grace = "0s" }
    """)

    assert explicit == BUILT_IN
    assert explicit.digest == BUILT_IN.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('features.a = "a"', 'features.a = { feature = "a", quantity = 1 }'),
        ('features.a = ["a", "b"]', 'features.a = ["a", { feature = "b", quantity = 1 }]'),
        (
            '[[scope]]\nprice = "a"\nstatus.unpaid = "revoke"',
            '[[scope]]\nprice = "a"\nstatus.unpaid = { access = "revoke", from = "now", grace = 0 }',
        ),
        (
            '[[scope]]\nprice = "a"\nstatus.unpaid = "grant"\nstatus.paused = "grant"',
            '[[scope]]\nstatus.paused = "grant"\nstatus.unpaid = "grant"\nprice = "a"',
        ),
    ],
)
def test_however_it_is_written_it_has_one_name(one: str, other: str) -> None:
    """In features and in scopes as well."""
    assert parse(one).digest == parse(other).digest != BUILT_IN.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('features.a = "a"', 'features.a = "b"'),
        ('features.a = "a"', 'features.a = { feature = "a", quantity = 2 }'),
        ('features.a = ["a", "b"]', 'features.a = ["b", "a"]'),
        ("features.a = []", 'features.a = "a"'),
        ('[[scope]]\nprice = "a"', '[[scope]]\nproduct = "a"'),
        ('[[scope]]\nprice = "a"', '[[scope]]\nprice = "a"\nstatus.unpaid = "revoke"'),
        ('ambiguous = "grant"', 'ambiguous = "revoke"'),
        ("stale_ttl = 1", "stale_ttl = 2"),
        ("log_retention = 1", "log_retention = 2"),
        ('metadata_key = "a"', 'metadata_key = "b"'),
        ('unknown.status = "revoke"', 'unknown.behavior = "revoke"'),
        ('paused.system = "revoke"', 'paused.system = "grant"'),
        ('pause_collection.active.void = "grant"', 'pause_collection.trialing.void = "grant"'),
    ],
)
def test_whatever_is_changed_has_another_name(one: str, other: str) -> None:
    """Each part of a policy is part of its name."""
    assert len({parse(one).digest, parse(other).digest}) == 2


@given(policies())
def test_a_policy_keeps_its_name_in_the_store(policy: Policy) -> None:
    """It is stored as JSON, and read by every process."""
    again = msgspec.json.decode(msgspec.json.encode(policy), type=Policy)

    assert again == policy
    assert again.digest == policy.digest


@given(policies(), policies())
def test_another_policy_has_another_name(one: Policy, other: Policy) -> None:
    """And the order in which cells and features are written is no part of it."""
    assert (one.digest == other.digest) == (one == other)
    turned = msgspec.structs.replace(one, features=dict(reversed(one.features.items())))
    assert turned.digest == one.digest
