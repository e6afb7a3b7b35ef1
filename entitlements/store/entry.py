"""A line of the event log."""

import zlib

from msgspec import Struct

from entitlements.model import Outcome

Value = str | int | bytes
"""What a command to the store can carry."""


class Entry(Struct, frozen=True, kw_only=True):
    """One line of the event log: what came, when, and what came of it."""

    event: str
    type: str
    outcome: Outcome
    delivery: str
    received_ms: int
    body: bytes
    created: int | None = None
    subject: str = ""
    subscription: str = ""
    why: str = ""

    def fields(self) -> list[Value]:
        """Return stream fields and values; the body compressed, empty ones left out."""
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        named["body"] = zlib.compress(self.body, level=1)
        return [
            part
            for name, value in named.items()
            if value not in {None, ""}
            for part in (name, value)
        ]
