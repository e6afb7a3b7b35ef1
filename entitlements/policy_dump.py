"""A policy written out as a TOML file that reads back as the same policy. Pure."""

import msgspec

from entitlements.policy import Cell, Grant, Policy, Rules, stated
from entitlements.policy_file import TABLES


def dump(policy: Policy) -> str:
    """Return a policy as a file that reads back as the same policy."""
    lines = [f"stale_ttl = {policy.stale_ttl}", f"log_retention = {policy.log_retention}"]
    lines += [f"ambiguous = {_quoted(policy.ambiguous)}"]
    lines += [f"metadata_key = {_quoted(policy.metadata_key)}"] if policy.metadata_key else []
    lines += _dump_rules(policy, "")
    lines += ["", "[features]"] if policy.features else []
    lines += [f"{_quoted(key)} = {_dump_grants(grants)}" for key, grants in policy.features.items()]
    for scope in policy.scopes:
        field, value = scope.named
        lines += [
            "",
            "[[scope]]",
            f"{field} = {_quoted(value)}",
            *_dump_rules(scope, "scope."),
        ]
    return "\n".join(lines) + "\n"


def _dump_rules(rules: Rules, prefix: str) -> list[str]:
    tables = {name: getattr(rules, name) for name in TABLES}
    tables |= {
        f"pause_collection.{status}": cells for status, cells in rules.pause_collection_in.items()
    }
    return [
        line
        for name, cells in tables.items()
        if cells
        for line in (
            "",
            f"[{prefix}{name}]",
            *(f"{key} = {_dump_cell(cell)}" for key, cell in cells.items()),
        )
    ]


def _dump_cell(cell: Cell) -> str:
    fields = [f"{key} = {_quoted(value)}" for key, value in stated(cell).items()]
    return f"{{ {', '.join(fields)} }}"


def _dump_grants(grants: tuple[Grant, ...]) -> str:
    parts = (f"{{ feature = {_quoted(g.feature)}, quantity = {g.quantity} }}" for g in grants)
    return f"[{', '.join(parts)}]"


def _quoted(value: object) -> str:
    """Return a TOML value. JSON's are TOML's, but for the one control character that JSON lets pass."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
