"""A policy as a TOML file: read strictly and laid over the built-in one. Text in, value out: pure.

stale_ttl = "1h"
metadata_key = "access_while_paused"

[status]
past_due = { access = "revoke", grace = "7d" }

[pause_collection]                 # in every status that collection can be paused in
void = { access = "review", from = "period_end", while_pending = "revoke" }

[pause_collection.trialing]        # in one status alone
void = "grant"

[paused]                           # the status, by status_details.paused.subscription.type
final_payment_failure = "revoke"

[unknown]                          # values that are not known here; without them: as before
status = "revoke"

[features]
prod_pro = ["pro", { feature = "seats", quantity = 5 }]

[[scope]]                          # rules for one product, price or lookup_key
product = "prod_pro"
pause_collection.void = "grant"
"""

import re
import tomllib
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import structs
from msgspec.structs import replace

from entitlements import toml_values as toml
from entitlements.errors import PolicyError
from entitlements.policy import (
    BEHAVIORS,
    BUILT_IN,
    PAUSABLE,
    PAUSED_REASONS,
    SCOPED_BY,
    STATUSES,
    UNKNOWN,
    Cell,
    Grant,
    Policy,
    Rules,
    Scope,
)
from entitlements.toml_lines import Path, line_of

TABLES = ("status", "paused", "pause_collection", "unknown")
"""Tables of cells."""

_NAMES: Mapping[str, Iterable[str]] = {
    "status": STATUSES,
    "paused": PAUSED_REASONS,
    "unknown": UNKNOWN,
}
_TOP = ("stale_ttl", "log_retention", "metadata_key", "ambiguous", "features", "scope", *TABLES)
_CHOICES = {
    "access": ("grant", "revoke", "review"),
    "from": ("now", "period_end"),
    "while_pending": ("grant", "revoke"),
}
_CELL = (*_CHOICES, "grace")
_A_CELL = "grant, revoke or review, or a table with access and more"
_A_FEATURE = "a feature's name, or a table with feature and quantity"
_MOST_UNITS = 1_000_000
_HAS_PAID_PERIOD = frozenset({"canceled", "paused"})


def parse(text: str, name: str = "policy.toml") -> Policy:
    """Return the policy that a file's text states, over the built-in one.

    Raises PolicyError with the file's name, the line, what is wrong there and the nearest valid name.
    """
    try:
        return _policy(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        where = f"{name}:{_broken_at(text, error)}"
        raise PolicyError(f"{where}: {error}. Write TOML: https://toml.io.") from error
    except (ValueError, RecursionError) as error:  # numbers and nesting without end
        raise PolicyError(f"{name}: {error}. Write less of it.") from error
    except toml.Wrong as wrong:
        where = ".".join(str(step) for step in wrong.path)
        raise PolicyError(f"{name}:{line_of(text, wrong.path)}: {where}: {wrong}") from wrong


def _broken_at(text: str, error: tomllib.TOMLDecodeError) -> int:
    """Return the line that the parser names in its sentence, or the last one where it names the end."""
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else text.rstrip().count("\n") + 1


def _policy(table: toml.Table) -> Policy:
    toml.require_known(table, _TOP, ())
    base = _over(BUILT_IN, _rules(table, ()))
    return replace(
        base,
        scopes=_scopes(table.get("scope", []), ("scope",)),
        features={
            key: _grants(value, ("features", key))
            for key, value in toml.table_at(table, "features", ()).items()
        },
        metadata_key=toml.text_at(table, "metadata_key"),
        ambiguous=toml.choice(
            table.get("ambiguous", base.ambiguous), ("grant", "revoke"), ("ambiguous",)
        ),
        stale_ttl=toml.duration(table.get("stale_ttl", base.stale_ttl), ("stale_ttl",)),
        log_retention=toml.duration(
            table.get("log_retention", base.log_retention), ("log_retention",)
        ),
    )


def _over(base: Policy, rules: Rules) -> Policy:
    """Lay rules over those of a policy: a cell that is not stated stays."""
    stated = {name: getattr(base, name) | getattr(rules, name) for name in Rules.__struct_fields__}
    return replace(base, **stated)


def _rules(table: toml.Table, path: Path) -> Rules:
    pauses = toml.table_at(table, "pause_collection", path)
    at = (*path, "pause_collection")
    toml.require_known(pauses, (*BEHAVIORS, *PAUSABLE), at)
    inside = (
        (status, _cells(toml.table_at(pauses, status, at), BEHAVIORS, (*at, status)))
        for status in PAUSABLE
    )
    return Rules(
        **{
            name: _cells(toml.table_at(table, name, path), _NAMES[name], (*path, name))
            for name in _NAMES
        },
        pause_collection=_cells({k: v for k, v in pauses.items() if k in BEHAVIORS}, BEHAVIORS, at),
        pause_collection_in={status: cells for status, cells in inside if cells},
    )


def _cells(table: toml.Table, names: Iterable[str], path: Path) -> dict[str, Cell]:
    toml.require_known(table, names, path)
    return {name: _cell(value, (*path, name)) for name, value in table.items()}


def _cell(value: object, path: Path) -> Cell:
    """Read `"grant"`, or a table of a cell's fields."""
    short = isinstance(value, str)
    fields: toml.Table = {"access": value} if short else toml.as_table(value, path, _A_CELL)
    toml.require_known(fields, _CELL, path)
    if "access" not in fields:
        raise toml.Wrong(path, "says no access: it takes access = grant, revoke or review")
    for name, choices in _CHOICES.items():
        if name in fields:
            toml.choice(fields[name], choices, (*path, name))
    grace = toml.duration(fields.get("grace", 0), (*path, "grace"))
    cell = msgspec.convert({**fields, "grace": grace}, Cell)
    if wrong := _contradiction(cell, path):
        raise toml.Wrong(path, wrong)
    return cell


def _contradiction(cell: Cell, path: Path) -> str | None:
    """Return what makes no sense in a cell, by itself or in its place."""
    delayed = cell.start != "now" or cell.grace > 0
    if cell.access == "grant" and delayed:
        return "grants, so from and grace have nothing to delay: leave them out, or revoke"
    if cell.access == "review" and cell.while_pending is None:
        return (
            "leaves it to a person: say with while_pending = grant or revoke what holds meanwhile"
        )
    if cell.access != "review" and cell.while_pending is not None:
        return "has while_pending, which belongs to access = review"
    if path[-2:-1] == ("unknown",) and delayed:
        return "is about a value without a beginning that is known: from and grace mean nothing"
    if (
        path[-2:-1] == ("status",)
        and cell.start == "period_end"
        and path[-1] not in _HAS_PAID_PERIOD
    ):
        return "has no paid period to end (only canceled and paused have): use grace"
    return None


def _scopes(value: object, path: Path) -> tuple[Scope, ...]:
    if not isinstance(value, list):
        raise toml.Wrong(path, "is not a list of tables: write [[scope]]")
    found = tuple(
        _scope(toml.as_table(table, (*path, n)), (*path, n)) for n, table in enumerate(value)
    )
    named = [scope.named for scope in found]
    for n, name in enumerate(named):
        if name in named[:n]:
            raise toml.Wrong(
                (*path, n),
                f"is the second scope of {name[0]} {name[1]}: put its rules into the first",
            )
    return found


def _scope(table: toml.Table, path: Path) -> Scope:
    toml.require_known(table, (*SCOPED_BY, *TABLES), path)
    named = {key: toml.text_at(table, key, path) for key in SCOPED_BY if key in table}
    if len(named) != 1:
        raise toml.Wrong(path, "must name one product, price or lookup_key")
    return msgspec.convert({**structs.asdict(_rules(table, path)), **named}, Scope)


def _grants(value: object, path: Path) -> tuple[Grant, ...]:
    """Read a feature's name, a table with a quantity, or a list of either."""
    return tuple(_grant(one, path) for one in (value if isinstance(value, list) else [value]))


def _grant(value: object, path: Path) -> Grant:
    short = isinstance(value, str)
    fields: toml.Table = {"feature": value} if short else toml.as_table(value, path, _A_FEATURE)
    toml.require_known(fields, ("feature", "quantity"), path)
    quantity = fields.get("quantity", 1)
    name = fields.get("feature")
    if not isinstance(name, str) or not re.fullmatch(r"[^\s\x00-\x1f\x7f/]{1,255}", name):
        raise toml.Wrong(path, "names no feature: 1 to 255 characters, without spaces and slashes")
    if not toml.is_whole(quantity) or not 1 <= quantity <= _MOST_UNITS:
        raise toml.Wrong(
            path, f"has the quantity {quantity!r}: a whole number from 1 to {_MOST_UNITS}"
        )
    return Grant(name, quantity)
