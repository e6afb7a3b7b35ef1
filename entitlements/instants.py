"""Instants for people. Inside, and in what machines read, they are Unix seconds."""

from datetime import UTC, datetime


def rfc3339(at: int | None) -> str:
    """Return an instant in UTC; nothing for null."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
