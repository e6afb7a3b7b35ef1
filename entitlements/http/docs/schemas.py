"""JSON Schemas as HTML: a few words for a value, a table for a struct. Whatever comes from a document is escaped."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import msgspec

Schema = dict[str, Any]

_RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", ""),
)


def prose(text: str) -> str:
    """Return running text; what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def code(text: object) -> str:
    """Return something as code."""
    return f"<code>{escape(str(text))}</code>"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of HTML, the first cell of each its heading; nothing where there are none."""
    said = "".join(
        f'<tr><th scope="row">{head}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for head, *cells in rows
    )
    return f'<div class="scroll"><table>{said}</table></div>' if said else ""


def words(schema: Schema) -> str:
    """Return what a value can be."""
    if not (said := " ".join(filter(None, (_kind(schema), _limits(schema))))):
        said = prose(schema.get("description", "anything"))
    if schema.get("default") is not None:
        said += f", else {_value(schema['default'])}"
    return said


def struct(name: str, schema: Schema) -> str:
    """Return one struct of the document: what it is, and its members."""
    required = schema.get("required", ())
    rows = [
        (
            code(member),
            words(of),
            "" if member in required else '<span class="soft">optional</span>',
        )
        for member, of in schema.get("properties", {}).items()
    ]
    said = prose(schema.get("description", ""))
    return (
        f'<article id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
        f"<p>{said}</p>{table(rows)}</article>"
    )


def _kind(schema: Schema) -> str:
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if choices := schema.get("enum"):
        return " or ".join(map(_value, choices))
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(words, several))
    if all_of := schema.get("allOf"):
        return " and ".join(map(words, all_of))
    return _of_type(schema)


def _of_type(schema: Schema) -> str:
    named = str(schema.get("type", ""))
    if named == "array":
        return f"list of {words(schema.get('items', {}))}"
    if named == "object" and isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {words(values)}"
    return escape(named)


def _limits(schema: Schema) -> str:
    said = [
        f"{_range(schema, least, most)}{of}"
        for least, most, of in _RANGES
        if {least, most} & set(schema)
    ]
    if "pattern" in schema:
        said.append(f"like {code(schema['pattern'])}")
    return f'<span class="soft">({", ".join(said)})</span>' if said else ""


def _range(schema: Schema, least: str, most: str) -> str:
    if most not in schema:
        return f"at least {schema[least]}"
    return f"{schema[least]} to {schema[most]}" if least in schema else f"at most {schema[most]}"


def _value(value: object) -> str:
    return code(msgspec.json.encode(value).decode())
