"""A policy in words, made from the data that decides. Pure."""

from collections.abc import Iterator

from entitlements.policy import BUILT_IN, DAY, PAUSABLE, UNKNOWN, Cell, Grant, Policy, Rules

_WHY = {
    "status.trialing": "a trial is for using the product",
    "status.active": "in good standing",
    "status.past_due": "time to mend a failed payment",
    "status.unpaid": "payment was given up",
    "status.canceled": "the subscription has ended",
    "status.incomplete": "the first payment has not been made",
    "status.incomplete_expired": "the first payment was never made",
    "status.paused": "the subscription itself is paused, service included",
    "pause_collection.keep_as_draft": "the service is offered now and settled later",
    "pause_collection.mark_uncollectible": "the service is given",
    "pause_collection.void": "nothing will ever be charged for it; what was paid is served",
}


def markdown_table() -> str:
    """Return the built-in policy as the README shows it, from the data that decides."""
    lines = [
        f"| {what} | {said(cell)} | {_WHY[rule]} | `{rule}` |"
        for rule, what, cell in _cells(BUILT_IN)
    ]
    head = ["| subscription | access | why | rule |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *lines, _UNKNOWN])


_PAUSED_WITH = "`{}`, collection paused with `{}`"
_AS_BEFORE = "as before if something is held, else revoked"
_UNKNOWN = f"| an unknown status or behaviour | {_AS_BEFORE} | flagged for review | `unknown` |"
_WHOLE = "whole policy"


def effective_rows(policy: Policy) -> list[tuple[str, str, str, str]]:
    """Return all that a policy says in words: the scope, what it is about, what it says, and its rule or key."""
    scopes = [(" ".join(scope.named), scope) for scope in policy.scopes]
    return [
        *_rows(_WHOLE, policy),
        *((_WHOLE, what, says, name) for what, says, name in _settings(policy)),
        *(row for name, scope in scopes for row in _rows(name, scope)),
        *((key, "gives", _given(grants), "features") for key, grants in policy.features.items()),
    ]


def _rows(name: str, rules: Rules) -> Iterator[tuple[str, str, str, str]]:
    yield from ((name, what, said(cell), rule) for rule, what, cell in _cells(rules))


def _settings(policy: Policy) -> Iterator[tuple[str, str, str]]:
    """Yield what a policy says beside its cells."""
    for kind in UNKNOWN:
        if kind not in policy.unknown:
            yield f"an unknown {kind}", _AS_BEFORE, "unknown"
    if policy.metadata_key:
        what = f"paused, with metadata `{policy.metadata_key}`"
        yield what, "what it says: grant or revoke", "metadata"
    which = "more" if policy.ambiguous == "grant" else "less"
    yield "an order that cannot be told", f"the {which} entitling state", "ambiguous"
    yield "the store out of reach", f"as last seen, for {_span(policy.stale_ttl)}", "stale_ttl"
    yield "events and changes", f"kept for {_span(policy.log_retention)}", "log_retention"


def _given(grants: tuple[Grant, ...]) -> str:
    return " and ".join(f"{g.quantity} {g.feature}" for g in grants) or "nothing"


def _cells(rules: Rules) -> Iterator[tuple[str, str, Cell]]:
    """Yield each cell with its rule and what it is about."""
    for name, cell in rules.status.items():
        yield f"status.{name}", f"`{name}`", cell
    for name, cell in rules.paused.items():
        yield "status.paused", f"`paused` because of `{name}`", cell
    for name, cell in rules.pause_collection.items():
        yield f"pause_collection.{name}", _PAUSED_WITH.format("`, `".join(PAUSABLE), name), cell
    for status, cells in rules.pause_collection_in.items():
        for name, cell in cells.items():
            yield f"pause_collection.{name}", _PAUSED_WITH.format(status, name), cell
    for name, cell in rules.unknown.items():
        yield f"unknown.{name}", f"an unknown {name}", cell


def said(cell: Cell) -> str:
    """Return a cell in words."""
    if cell.access == "grant":
        return "granted"
    then = (
        "revoked"
        if cell.access == "revoke"
        else f"a person decides ({cell.while_pending} meanwhile)"
    )
    if cell.start == "period_end":
        after = f"{_span(cell.grace)} after " if cell.grace else ""
        return f"granted until {after}the end of the period already paid for, then {then}"
    return f"granted for {_span(cell.grace)}, then {then}" if cell.grace else then


def _span(seconds: int) -> str:
    for unit, size in (("day", DAY), ("hour", 3600), ("minute", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}{'' if seconds == size else 's'}"
    return f"{seconds} seconds"
