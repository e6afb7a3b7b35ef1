"""Pages of lists, in Stripe's shape: how a call asks for one, and what it is answered."""

from collections.abc import Sequence
from typing import Annotated, Generic, Self, TypeVar

from msgspec import Meta, Struct

from entitlements.errors import BadRequest
from entitlements.http.parameters import Parameter, Parameters
from entitlements.store.places import Place

DEFAULT, MOST = 10, 100
"""Entries in a page, as in Stripe's own lists."""

LIMIT = Parameter(
    "limit", Annotated[int, Meta(ge=1, le=MOST)], f"Entries of a page; {DEFAULT} without it."
)
STARTING_AFTER = Parameter(
    "starting_after",
    Annotated[str, Meta(max_length=2_000)],
    "The `id` of an entry, or the `next` of a page that has one: the page begins behind it, even where it is not on "
    "the list any more.",
)
"""Of a list whose entries' ids say where they stand in it."""

Entry = TypeVar("Entry")


class Page(Struct, Generic[Entry], frozen=True, tag_field="object", tag="list"):
    """Some entries of a list. Each list has its own kind, which adds its `url`."""

    data: Sequence[Entry]
    has_more: bool


class LinkedPage(Page[Entry], frozen=True):
    """A page that may be short, or empty, and have more behind it: it says where the next one begins."""

    next: str | None
    """What `starting_after` is for the next page; null at the end."""

    @classmethod
    def of(cls, data: Sequence[Entry], following: str | None) -> Self:
        """Return a page and what leads on from it."""
        return cls(data, following is not None, following)


def limit(parameters: Parameters) -> int:
    """Return how many entries a page may have. Raises BadRequest."""
    found = parameters.number(LIMIT.name)
    found = DEFAULT if found is None else found
    if not 1 <= found <= MOST:
        raise BadRequest(f"limit={found} is out of range. It takes 1 to {MOST}.")
    return found


def place(parameters: Parameters) -> Place | None:
    """Return the place behind which a page begins; null at the beginning. Raises BadRequest."""
    after = parameters.text(STARTING_AFTER.name)
    return None if after is None else Place.named(after)
