"""On which line a key of a TOML text stands."""

import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.toml_lines import Path, line_of

TEXT = """\
# [status] is not here
title = "not [here] # either"   # nor = here

[status]                        # line 4
active = "grant"
past_due = { access = "revoke", grace = "7d" }
paused.access = "review"

[ pause_collection . "trialing" ]
'void' = "grant"

[features]
"prod.pro = #1" = [
  "pro",                        # ] is not the end
  { feature = "seats", quantity = 5 },
]
"k\\u0065y" = '''
[status]
unpaid = 1
'''
lookup = \"\"\"a\\\"\"\"
unpaid = 2\"\"\"\"\"

[[scope]]
product = "a"
[[scope]]
product = "b"
[scope.status]
active = "revoke"
[[scope]]
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("status",), 4),
        (("status", "active"), 5),
        (("status", "past_due"), 6),
        (("status", "past_due", "grace"), 6),
        (("status", "paused"), 7),
        (("status", "paused", "access"), 7),
        (("status", "unpaid"), 4),
        (("pause_collection",), 9),
        (("pause_collection", "trialing", "void"), 10),
        (("features", "prod.pro = #1"), 13),
        (("features", "key"), 17),
        (("features", "lookup"), 21),
        (("scope",), 24),
        (("scope", 0), 24),
        (("scope", 0, "product"), 25),
        (("scope", 1, "product"), 27),
        (("scope", 1, "status", "active"), 29),
        (("scope", 0, "status", "active"), 24),
        (("scope", 2), 30),
        (("scope", 9, "product"), 24),
        (("nowhere",), 2),
    ],
)
def test_the_deepest_step_that_is_written_tells_the_line(path: Path, line: int) -> None:
    """Comments, strings and values over several lines are no keys; what is not written is told by what holds it."""
    tomllib.loads(TEXT)
    assert line_of(TEXT, path) == line


@pytest.mark.parametrize("text", ["", "\n", "# only a comment"])
def test_where_nothing_is_written_it_is_the_first_line(text: str) -> None:
    """An empty file has a line all the same."""
    assert line_of(text, ("status",)) == 1


def test_lines_end_as_toml_says() -> None:
    """Other separators of lines that Unicode knows are letters like any other, and a return belongs to its line."""
    assert line_of("# \u2028 \u0085\r\na = 'b\u2029'\r\nc = 1", ("c",)) == 3


def test_tables_in_a_list_of_tables_belong_to_its_last_one() -> None:
    """Each header names places that came before it."""
    text = "[[a]]\n[[a.b]]\nx = 1\n[[a]]\n[[a.b]]\n[[a.b]]\nx = 2\n[a.b.c]\ny.z = 3"
    assert line_of(text, ("a", 0, "b", 0, "x")) == 3
    assert line_of(text, ("a", 1, "b", 1, "x")) == 7
    assert line_of(text, ("a", 1, "b", 1, "c", "y", "z")) == 9


keys = st.text(max_size=4) | st.sampled_from(["a", "b", "a.b", "#", "=", '"', "[x]"])
values = st.sampled_from(
    ["1", '"# no comment"', "'a = 1'", '"""\na = 1\n"""', "[\n1, # ]\n2,\n]", "{ a = [1,\n2] }"]
)
gaps = st.sampled_from(["", "\n", "# a = 1\n", "  # [a]\n\n"])


@st.composite
def documents(draw: st.DrawFn) -> list[tuple[Path, str, str]]:
    """Draw statements with the paths that they write to, and what stands above each."""
    found: list[tuple[Path, str, str]] = []
    for table in draw(st.lists(keys, min_size=1, max_size=4, unique=True)):
        found.append(((table,), draw(gaps), f"[{_quoted(table)}]  # a = 1"))
        found += [
            ((table, key), draw(gaps), f"{_quoted(key)}={draw(values)} # c")
            for key in draw(st.lists(keys, max_size=3, unique=True))
        ]
    return found


@given(documents())
def test_every_key_is_found_where_it_was_written(document: list[tuple[Path, str, str]]) -> None:
    """Whatever stands between them, and however its name is quoted."""
    text = "".join(f"{gap}{statement}\n" for _, gap, statement in document)
    tomllib.loads(text)
    above = 1
    for path, gap, statement in document:
        assert line_of(text, path) == above + gap.count("\n")
        above += gap.count("\n") + statement.count("\n") + 1


def _quoted(key: str) -> str:
    return msgspec.json.encode(key).decode().replace("\x7f", "\\u007f")
