"""A line of the event log."""

from collections.abc import Mapping
from typing import NamedTuple, Self, get_args

from msgspec import Struct, convert
from msgspec.structs import asdict

from entitlements.cursor import Position, position
from entitlements.model import Outcome, Subject
from entitlements.store import keys
from entitlements.store.packed import pack, unpack

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
        named = asdict(self) | {"body": pack(self.body)}
        return [
            part
            for name, value in named.items()
            if value is not None and value != ""
            for part in (name, value)
        ]


_OUTCOMES: Mapping[str, Outcome] = {outcome: outcome for outcome in get_args(Outcome)}


def outcome_of(word: str) -> Outcome:
    """Read an outcome as the store has it. Raises ValidationError for what is none."""
    found: Outcome = _OUTCOMES.get(word) or convert(word, Outcome)  # which is slow with a Literal
    return found


class Place(NamedTuple):
    """Where an entry stands in the order of all: its id, and between equal ones its partition."""

    at: Position
    partition: int

    def __str__(self) -> str:
        """Return it as one word, for a page to begin behind."""
        return f"log_{self.at}-{self.partition}"

    @classmethod
    def of(cls, word: str) -> Self | None:
        """Read such a word; null for any other."""
        at, _, partition = word.removeprefix("log_").rpartition("-")
        try:
            found = cls(position(at), int(partition))
        except ValueError:
            return None
        return found if str(found) == word else None


class Logged(NamedTuple):
    """An entry as the store has it: nothing is read or decompressed before it is asked for."""

    place: Place
    fields: Mapping[bytes, bytes]

    @property
    def event(self) -> str:
        """Return the event's id; `sha256:…` of what has none."""
        return self.fields[b"event"].decode()

    @property
    def type(self) -> str:
        """Return its type."""
        return self.fields[b"type"].decode()

    @property
    def outcome(self) -> Outcome:
        """Return what became of it."""
        return outcome_of(self.fields[b"outcome"].decode())

    @property
    def delivery(self) -> str:
        """Return the name of the delivery that brought it."""
        return self.fields[b"delivery"].decode()

    @property
    def received_ms(self) -> int:
        """Return when it came."""
        return int(self.fields[b"received_ms"])

    @property
    def created(self) -> int | None:
        """Return when Stripe made it (Unix seconds); null of what could not be read."""
        said = self.fields.get(b"created")
        return None if said is None else int(said)

    @property
    def subject(self) -> Subject | None:
        """Return whose it is; null of what names no customer."""
        said = self.fields.get(b"subject")
        return None if said is None else keys.subject_named(said.decode())

    @property
    def subscription(self) -> str | None:
        """Return what it is about; null of what names no subscription."""
        said = self.fields.get(b"subscription")
        return None if said is None else said.decode()

    @property
    def why(self) -> str | None:
        """Return why no more became of it, where there is something to say."""
        said = self.fields.get(b"why")
        return None if said is None else said.decode()

    @property
    def body(self) -> bytes:
        """Return the body as it was sent."""
        return unpack(self.fields[b"body"])
