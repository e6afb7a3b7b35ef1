"""A policy file: what it can say, and how it is refused, with the line and the nearest valid name."""

from string import ascii_letters
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import policy_file
from entitlements.errors import PolicyError
from entitlements.policy import BUILT_IN, DAY, GRANT, REVOKE, Cell, Grant, Policy, Scope
from entitlements.policy_dump import dump
from entitlements.policy_file import parse
from tests.support.policies import policies


def refusal(text: str) -> str:
    """Return the sentence that a file is refused with, without the name of the file."""
    with pytest.raises(PolicyError) as error:
        parse(text, "my.toml")
    assert str(error.value).startswith("my.toml:")
    return str(error.value).removeprefix("my.toml:")


# -- What it can say


def test_an_empty_file_is_the_built_in_policy() -> None:
    """Whatever a file leaves out is as it was."""
    assert parse("") == BUILT_IN
    assert parse("").digest == BUILT_IN.digest


def test_the_example_of_the_module_reads() -> None:
    """What the head of the module shows is a whole file."""
    found = parse((policy_file.__doc__ or "").partition("\n\n")[2])

    assert found.metadata_key == "access_while_paused"
    assert found.pause_collection["void"] == Cell("review", "period_end", 0, "revoke")
    assert found.pause_collection_in == {"trialing": {"void": GRANT}}
    assert found.paused == {"final_payment_failure": REVOKE}
    assert found.unknown == {"status": REVOKE}
    assert found.features == {"prod_pro": (Grant("pro"), Grant("seats", 5))}
    assert found.scopes == (Scope(product="prod_pro", pause_collection={"void": GRANT}),)


def test_all_that_a_cell_can_say() -> None:
    """A word, or a table with a time from which it counts and what holds until a person decides."""
    found = parse("""
        [status]
        trialing = "revoke"
        past_due = { access = "revoke", grace = "3d" }
        paused = { access = "revoke", from = "period_end", grace = 60 }
        unpaid = { access = "review", while_pending = "grant", from = "now" }
        canceled.access = "grant"
    """)

    assert found.status == BUILT_IN.status | {
        "trialing": REVOKE,
        "past_due": Cell("revoke", grace=3 * DAY),
        "paused": Cell("revoke", "period_end", 60),
        "unpaid": Cell("review", while_pending="grant"),
        "canceled": GRANT,
    }


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *[('"45s"', 45), ('"30m"', 1800), ('"12h"', 43_200), ('"7d"', 7 * DAY), ('"0d"', 0)],
        *[("0", 0), ("90", 90), ('"999999d"', 999_999 * DAY), ("86399913600", 999_999 * DAY)],
    ],
)
def test_times_have_units(written: str, seconds: int) -> None:
    """Seconds, minutes, hours and days; a bare number is seconds."""
    found = parse(f"stale_ttl = {written}\nlog_retention = {written}")
    assert (found.stale_ttl, found.log_retention) == (seconds, seconds)


def test_what_holds_for_the_whole_policy() -> None:
    """The keys that stand outside of every table."""
    found = parse('metadata_key = "access"\nambiguous = "revoke"\nstale_ttl = "5m"')

    assert (found.metadata_key, found.ambiguous, found.stale_ttl) == ("access", "revoke", 300)
    assert (BUILT_IN.metadata_key, BUILT_IN.ambiguous) == (None, "grant")


def test_pauses_are_stated_for_every_status_or_for_one() -> None:
    """Under one head: a behaviour's own cell, and those within a status. What is empty says nothing."""
    found = parse("""
        [pause_collection]
        void = "grant"
        [pause_collection.active]
        void = "revoke"
        [pause_collection.trialing]
    """)

    assert found.pause_collection == BUILT_IN.pause_collection | {"void": GRANT}
    assert found.pause_collection_in == {"active": {"void": REVOKE}}


def test_features_are_named_one_or_several_with_quantities() -> None:
    """By product, price or lookup key; an empty list is a product that gives nothing."""
    found = parse("""
        [features]
        prod_a = "a"
        prod_b = ["b", { feature = "seats", quantity = 5 }]
        price_c = { feature = "seats" }
        "pro.monthly" = []
    """)

    assert found.features == {
        "prod_a": (Grant("a"),),
        "prod_b": (Grant("b"), Grant("seats", 5)),
        "price_c": (Grant("seats"),),
        "pro.monthly": (),
    }


def test_scopes_have_every_table_of_the_whole_policy() -> None:
    """Each for one product, price or lookup key, and nothing that it does not state."""
    found = parse("""
        [[scope]]
        price = "price_a"
        status.unpaid = "grant"
        paused.system = "grant"
        unknown.behavior = "revoke"
        pause_collection.void = "grant"
        pause_collection.active.void = "revoke"
        [[scope]]
        lookup_key = "yearly"
    """)

    assert found.scopes == (
        Scope(
            price="price_a",
            status={"unpaid": GRANT},
            paused={"system": GRANT},
            unknown={"behavior": REVOKE},
            pause_collection={"void": GRANT},
            pause_collection_in={"active": {"void": REVOKE}},
        ),
        Scope(lookup_key="yearly"),
    )


# -- How it is refused

REFUSED: list[tuple[str, str, str]] = [
    # unknown keys, each with the nearest valid name
    ("a key", "stale_ttll = 1", "1: stale_ttll: is not known here: did you mean stale_ttl?"),
    ("a table", "[stauts]", "1: stauts: is not known here: did you mean status?"),
    (
        "nothing near",
        "x = 1",
        (
            "1: x: is not known here: it takes stale_ttl, log_retention, metadata_key, ambiguous, "
            "features, scope, status, paused, pause_collection, unknown"
        ),
    ),
    (
        "a status",
        "[status]\n\nactiv = 1",
        "3: status.activ: is not known here: did you mean active?",
    ),
    (
        "a status that only looks like one",
        '[status]\ncancelled = "grant"',
        "2: status.cancelled: is not known here: did you mean canceled?",
    ),
    (
        "a behaviour",
        '# void\n[pause_collection]\nviod = "grant"',
        "3: pause_collection.viod: is not known here: did you mean void?",
    ),
    (
        "a status that collection cannot be paused in",
        '[pause_collection.unpaid]\nvoid = "grant"',
        (
            "1: pause_collection.unpaid: is not known here: it takes keep_as_draft, "
            "mark_uncollectible, void, trialing, active, past_due"
        ),
    ),
    (
        "a behaviour within a status",
        '[pause_collection]\nactive.draft = "grant"',
        "2: pause_collection.active.draft: is not known here: did you mean keep_as_draft?",
    ),
    (
        "a reason of a pause",
        '[paused]\npause_request = "grant"',
        "2: paused.pause_request: is not known here: did you mean pause_requested?",
    ),
    (
        "of what is unknown",
        '[unknown]\nbehaviour = "grant"',
        "2: unknown.behaviour: is not known here: did you mean behavior?",
    ),
    (
        "a field of a cell",
        '[status]\nactive = { acess = "grant" }',
        "2: status.active.acess: is not known here: did you mean access?",
    ),
    (
        "a field of a cell in a table of its own",
        '[status.past_due]\naccess = "revoke"\ngrase = "7d"',
        "3: status.past_due.grase: is not known here: did you mean grace?",
    ),
    (
        "a field of a feature",
        '[features]\na = "a"\nb = [\n  { feature = "b", quantiti = 2 },\n]',
        "3: features.b.quantiti: is not known here: did you mean quantity?",
    ),
    (
        "a key of a scope",
        '[[scope]]\nproduct = "a"\n[[scope]]\nprodukt = "b"',
        "4: scope.1.produkt: is not known here: did you mean product?",
    ),
    (
        "what only the whole policy has",
        '[[scope]]\nproduct = "a"\nmetadata_key = "b"',
        (
            "3: scope.0.metadata_key: is not known here: it takes product, price, lookup_key, "
            "status, paused, pause_collection, unknown"
        ),
    ),
    # wrong values
    (
        "an access",
        '[status]\nactive = "granted"',
        "2: status.active.access: is 'granted': did you mean grant?",
    ),
    (
        "an access that is like none",
        '[status]\nactive = "yes"',
        "2: status.active.access: is 'yes': it takes grant, revoke, review",
    ),
    (
        "a beginning",
        '[pause_collection]\nvoid = { access = "revoke", from = "period-end" }',
        "2: pause_collection.void.from: is 'period-end': did you mean period_end?",
    ),
    (
        "a review while a review is pending",
        '[status]\nunpaid = { access = "review", while_pending = "review" }',
        "2: status.unpaid.while_pending: is 'review': did you mean revoke?",
    ),
    (
        "a choice between states",
        'ambiguous = "review"',
        "1: ambiguous: is 'review': did you mean revoke?",
    ),
    (
        "a time",
        'stale_ttl = "7 days"',
        '1: stale_ttl: is \'7 days\', and should be a time such as "7d", "12h", "30m" or "45s"',
    ),
    (
        "a time before its beginning",
        "log_retention = -1",
        '1: log_retention: is -1, and should be a time such as "7d", "12h", "30m" or "45s"',
    ),
    (
        "a time without end",
        f"stale_ttl = {999_999 * DAY + 1}",
        f'1: stale_ttl: is {999_999 * DAY + 1}, and should be a time such as "7d", "12h", "30m" or "45s"',
    ),
    (
        "a grace of a half",
        '[status]\npast_due = { access = "revoke", grace = 0.5 }',
        '2: status.past_due.grace: is 0.5, and should be a time such as "7d", "12h", "30m" or "45s"',
    ),
    (
        "yes as a time",
        "stale_ttl = true",
        '1: stale_ttl: is True, and should be a time such as "7d", "12h", "30m" or "45s"',
    ),
    (
        "no units of a feature",
        '[features]\na = { feature = "a", quantity = 0 }',
        "2: features.a: has the quantity 0: a whole number from 1 to 1000000",
    ),
    (
        "more units than anybody buys",
        '[features]\na = { feature = "a", quantity = 1000001 }',
        "2: features.a: has the quantity 1000001: a whole number from 1 to 1000000",
    ),
    (
        "yes as units",
        '[features]\na = { feature = "a", quantity = true }',
        "2: features.a: has the quantity True: a whole number from 1 to 1000000",
    ),
    (
        "a quantity of nothing",
        "[features]\na = { quantity = 2 }",
        "2: features.a: names no feature: 1 to 255 characters, without spaces and slashes",
    ),
    (
        "a feature that no address could name",
        '[features]\n\na = "a/b"',
        "3: features.a: names no feature: 1 to 255 characters, without spaces and slashes",
    ),
    # wrong types
    (
        "a table",
        'status = "grant"',
        "1: status: is 'grant', and should be a table",
    ),
    (
        "a table of a scope",
        '[[scope]]\nproduct = "a"\n\npaused = 1',
        "4: scope.0.paused: is 1, and should be a table",
    ),
    (
        "behaviours within a status",
        '[pause_collection]\ntrialing = ""',
        "2: pause_collection.trialing: is '', and should be a table",
    ),
    (
        "a cell",
        "[status]\nactive = true",
        "2: status.active: is True, and should be grant, revoke or review, or a table with access and more",
    ),
    (
        "a feature",
        "[features]\na = 5",
        "2: features.a: is 5, and should be a feature's name, or a table with feature and quantity",
    ),
    (
        "one of several features",
        '[features]\na = ["a", ["b"]]',
        "2: features.a: is ['b'], and should be a feature's name, or a table with feature and quantity",
    ),
    ("scopes", 'scope = "a"', "1: scope: is not a list of tables: write [[scope]]"),
    ("one scope", '[scope]\nproduct = "a"', "1: scope: is not a list of tables: write [[scope]]"),
    ("a scope", "\nscope = [1]", "2: scope.0: is 1, and should be a table"),
    ("a name", "metadata_key = 5", "1: metadata_key: is 5, and should be text"),
    ("an empty name", 'metadata_key = " "', "1: metadata_key: is ' ', and should be text"),
    (
        "a scope's name",
        '[[scope]]\nprice = ["a"]',
        "2: scope.0.price: is ['a'], and should be text",
    ),
    # contradictions
    (
        "a cell without an access",
        '[status.past_due]\ngrace = "7d"',
        "1: status.past_due: says no access: it takes access = grant, revoke or review",
    ),
    (
        "a grant that is delayed",
        '[pause_collection]\nvoid = { access = "grant", from = "period_end" }',
        "2: pause_collection.void: grants, so from and grace have nothing to delay: leave them out, or revoke",
    ),
    (
        "a grant with a grace",
        '[status]\npast_due = { access = "grant", grace = "7d" }',
        "2: status.past_due: grants, so from and grace have nothing to delay: leave them out, or revoke",
    ),
    (
        "a review that leaves open what holds",
        '[pause_collection.active]\nvoid = "review"',
        (
            "2: pause_collection.active.void: leaves it to a person: say with while_pending = grant or "
            "revoke what holds meanwhile"
        ),
    ),
    (
        "nothing pending",
        '[status]\nunpaid = { access = "revoke", while_pending = "grant" }',
        "2: status.unpaid: has while_pending, which belongs to access = review",
    ),
    (
        "nothing paid",
        '[status]\npast_due = { access = "revoke", from = "period_end" }',
        "2: status.past_due: has no paid period to end (only canceled and paused have): use grace",
    ),
    (
        "nothing paid, within a scope",
        '[[scope]]\nproduct = "a"\nstatus.unpaid = { access = "revoke", from = "period_end" }',
        "3: scope.0.status.unpaid: has no paid period to end (only canceled and paused have): use grace",
    ),
    (
        "a beginning that nobody knows",
        '[unknown]\nstatus = { access = "revoke", grace = "7d" }',
        "2: unknown.status: is about a value without a beginning that is known: from and grace mean nothing",
    ),
    (
        "a period that nobody knows",
        '[unknown]\nbehavior = { access = "revoke", from = "period_end" }',
        "2: unknown.behavior: is about a value without a beginning that is known: from and grace mean nothing",
    ),
    (
        "a scope of nothing",
        '[[scope]]\nstatus.active = "grant"',
        "1: scope.0: must name one product, price or lookup_key",
    ),
    (
        "a scope of two things",
        '[[scope]]\nproduct = "a"\n\n[[scope]]\nproduct = "b"\nprice = "c"',
        "4: scope.1: must name one product, price or lookup_key",
    ),
    (
        "a scope stated twice",
        '[[scope]]\nproduct = "a"\n[[scope]]\nprice = "a"\n[[scope]]\nproduct = "a"',
        "5: scope.2: is the second scope of product a: put its rules into the first",
    ),
]


@pytest.mark.parametrize(
    ("text", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str) -> None:
    """Each mistake is refused with the line it stands on, its place, and what to write instead."""
    assert refusal(text) == message


@pytest.mark.parametrize("name", ["a b", "a\\n", "a\\u0000", "a\\u007f", "", "a" * 256])
def test_a_feature_can_be_asked_for(name: str) -> None:
    """A name that no address or token can carry is refused."""
    assert "names no feature" in refusal(f'[features]\na = "{name}"')
    assert parse(f'[features]\na = "{"a" * 255}"').features == {"a": (Grant("a" * 255),)}


@pytest.mark.parametrize(
    ("text", "line"),
    [("status =\n\n", 1), ('[status]\nactive = "grant"\nactive = "revoke"\n', 3), ("\n=", 2)],
)
def test_what_is_no_toml_is_refused_with_its_line(text: str, line: int) -> None:
    """The parser of the standard library says what is wrong."""
    said = refusal(text)
    assert said.startswith(f"{line}: ")
    assert said.endswith("Write TOML: https://toml.io.")


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5_000, f"stale_ttl = {'1' * 5_000}", f"stale_ttl = 0x{'f' * 5_000}"]
)
def test_what_has_no_end_is_refused(text: str) -> None:
    """Nesting and numbers beyond what Python takes are no crash."""
    assert refusal(text).endswith("Write less of it.")


# -- Laws


@given(st.text() | st.text(alphabet='[]{}=."#\n ' + ascii_letters))
def test_any_text_is_a_policy_or_is_refused(text: str) -> None:
    """Nothing else is raised."""
    _try(text)


names = st.sampled_from(
    [
        *("status", "paused", "pause_collection", "unknown", "features", "scope", "metadata_key"),
        *("ambiguous", "stale_ttl", "active", "canceled", "void", "trialing", "system", "behavior"),
        *("access", "from", "grace", "while_pending", "feature", "quantity", "product", "price"),
    ]
)
scalars: st.SearchStrategy[Any] = (
    st.sampled_from(["grant", "revoke", "review", "now", "period_end", "7d"])
    | st.text(max_size=3)
    | st.integers()
    | st.booleans()
    | st.floats()
)
documents = st.dictionaries(
    names,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    ),
    max_size=4,
)


@given(documents)
def test_any_document_is_a_policy_or_is_refused_with_a_line(document: dict[str, Any]) -> None:
    """Whatever stands where, of whatever type."""
    text = "".join(f"{key} = {_written(value)}\n" for key, value in document.items())
    if message := _try(text):
        assert 1 <= int(message.split(":")[1]) <= max(1, len(document))


def _written(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_written(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, float):
        return str(value) if value % 1 else f"{value:.1f}"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _try(text: str) -> str | None:
    """Return the sentence that a text is refused with; null where it is a policy."""
    try:
        assert isinstance(parse(text), Policy)
    except PolicyError as error:
        return str(error)
    return None


@given(policies(), st.data())
def test_a_slip_in_any_file_is_found_on_its_line(policy: Policy, data: st.DataObject) -> None:
    """Wherever a word of a cell is misspelt, the refusal names that line."""
    lines = dump(policy).split("\n")
    cells = [n for n, line in enumerate(lines) if "{ access = " in line]
    slip = data.draw(st.sampled_from(cells))
    lines[slip] = lines[slip].replace("{ access = ", "{ excess = ", 1)

    said = refusal("\n".join(lines))

    assert said.startswith(f"{slip + 1}: ")
    assert said.endswith(".excess: is not known here: did you mean access?")
