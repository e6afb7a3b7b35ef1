"""Where a page of a search begins, as its token carries it from one request to the next."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request

from entitlements.errors import BadRequest
from entitlements.http.authzen.words import Page, decoded
from entitlements.http.parameters import account_of
from entitlements.http.queries import UNREADABLE
from entitlements.http.state import State
from entitlements.store.walk import CURSORS
from entitlements.wire import Id

MOST = 1_000
"""Results of one page, and how many there are where nobody says a limit."""

WAITING = 2_000
"""Customers that a token may carry: more than one step of a walk brings."""

Cursor = Annotated[str, Meta(pattern=r"^[0-9]{1,23}\Z")]


class Place(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the next page begins."""

    search: str
    """A digest of the search: a token goes on with its own search alone."""
    limit: Annotated[int, Meta(ge=0, le=MOST)]
    after: Annotated[str, Meta(max_length=255)] = ""
    """Of sorted results: the last name that was given."""
    cursor: Cursor | None = "0"
    """Of a walk: from where to go on, null where it is over. A string: 64 bits are more than JSON is sure to carry."""
    waiting: Annotated[tuple[Id, ...], Meta(max_length=WAITING)] = ()
    """Of a walk: customers that were come past and did not fit any more. They are judged when they are named."""


_any = msgspec.json.Decoder(dict[str, object])
_place = msgspec.json.Decoder(Place)
_encode = msgspec.json.Encoder().encode


def place_of(request: Request[State], raw: bytes, page: Page | None) -> Place:
    """Return where a page begins. Raises BadRequest for a token that is none, or that is another search's."""
    search, limit = _digest(request, raw), page.limit if page else None
    if page is None or not page.token:
        return Place(search, MOST if limit is None else min(limit, MOST))
    place = _decoded(page.token)
    if place.search != search or (limit is not None and min(limit, MOST) != place.limit):
        raise BadRequest(
            "The page.token is from another search. Send the request that it came from again, with it added."
        )
    return place


def token_of(place: Place) -> str:
    """Return a place as an opaque string."""
    return urlsafe_b64encode(_encode(place)).decode()


def _decoded(token: str) -> Place:
    try:
        place = _place.decode(urlsafe_b64decode(token))
    except (*UNREADABLE, ValueError) as error:
        raise BadRequest(
            "The page.token is none that was given here. Begin without one."
        ) from error
    if place.cursor is not None and int(place.cursor) >= CURSORS:
        raise BadRequest("The page.token is none that was given here. Begin without one.")
    return place


def _digest(request: Request[State], raw: bytes) -> str:
    """Return a digest of all that has to stay the same from page to page: the call, the account and the entities."""
    asked = decoded(raw, _any)
    entities = [asked.get(name) for name in ("subject", "action", "resource", "context")]
    said = msgspec.json.encode([request.url.path, account_of(request), entities], order="sorted")
    return hashlib.sha256(said).hexdigest()[:16]
