"""Server-sent events, read from the lines of an answer.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from entitlements.sandbox.shapes import Body


class Event(NamedTuple):
    """One event whose data is a JSON object."""

    name: str
    id: str | None
    raw: str

    @property
    def data(self) -> Body:
        """Return the object."""
        found: Body = json.loads(self.raw)
        return found


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield each event when it is whole; what the end cuts off is none."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = (
                f"{fields[name]}\n{value}" if name == "data" and name in fields else value
            )
        else:
            if "data" in fields:
                yield Event(fields.get("event", "message"), fields.get("id"), fields["data"])
            fields = {}
