"""What a request asks, read strictly: a misspelt parameter is an error, not a silent default."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Literal, Self

import msgspec
from msgspec import Struct
from starlette.requests import Request

from entitlements.errors import BadRequest
from entitlements.http.state import State
from entitlements.model import Subject
from entitlements.wire import Id, Seconds, id_if, id_of

_DIGITS = re.compile(r"[0-9]{1,19}")


class Parameter(Struct, frozen=True):
    """A parameter that a call takes: its name, what it can be, and what it means."""

    name: str
    type: object
    says: str
    place: Literal["query", "header"] = "query"
    required: bool = False


AT = Parameter(
    "at", Seconds, "The instant that is asked about, past or future; without it the present."
)
KNOWN_AT = Parameter(
    "known_at",
    Seconds,
    "Leaves out what had not been received by then, and judges by the policy that held then.",
)
MIN_VERSION = Parameter(
    "min_version", Seconds, "A version already seen: no older answer is given, rather a 412."
)
ACCOUNT = Parameter(
    "Stripe-Account", Id, "The connected account whose customers are meant.", "header"
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", str, "The ETag of an answer that is held: 304 while it holds.", "header"
)


class Parameters:
    """The query parameters of one request."""

    def __init__(self, given: dict[str, str]) -> None:
        self._given = given

    @classmethod
    def of(cls, request: Request[State], *taken: Parameter | str) -> Self:
        """Read a request's parameters. Raises BadRequest for one that the call does not take, or takes once."""
        allowed = [one if isinstance(one, str) else one.name for one in taken]
        given = request.query_params.multi_items()
        for name, _ in given:
            if name not in allowed:
                raise BadRequest(f"This call takes no parameter {name!r}.{_nearest(name, allowed)}")
        if len(given) > len(dict(given)):
            raise BadRequest("A parameter is given twice. Give each one once.")
        return cls(dict(given))

    def number(self, name: str) -> int | None:
        """Return a whole number not below zero (a count, Unix seconds, a version), or null if not given."""
        value = self._given.get(name)
        if value is None:
            return None
        if not _DIGITS.fullmatch(value):
            raise _no_number(name, value)
        try:
            return msgspec.convert(int(value), Seconds)
        except msgspec.ValidationError as error:
            raise _no_number(name, value) from error

    def text(self, name: str) -> str | None:
        """Return what is given as it is, or null."""
        return self._given.get(name)

    def id(self, name: str) -> str | None:
        """Return an id, or null if not given."""
        return id_if(self._given.get(name), name)

    def choice(self, name: str, *choices: str) -> str | None:
        """Return one of some words, or null if not given."""
        value = self._given.get(name)
        if value is not None and value not in choices:
            raise BadRequest(f"{name}={value!r} is not known. It takes: {', '.join(choices)}.")
        return value


def subject_of(request: Request[State]) -> Subject:
    """Return whose records a request is about: the path's customer, of the account that is named."""
    return Subject(path_id(request, "customer"), account_of(request))


def newest_of(request: Request[State]) -> bool:
    """Tell whether the caller wants the store itself asked: `Cache-Control: no-cache`."""
    return "no-cache" in request.headers.get("cache-control", "")


def account_of(request: Request[State]) -> str | None:
    """Return the connected account that the `Stripe-Account` header names, as in Stripe's own API; null without one."""
    return id_if(request.headers.get("stripe-account"), "the Stripe-Account header")


def path_id(request: Request[State], name: str) -> str:
    """Return an id that stands in the path. Raises BadRequest where it cannot be one."""
    return id_of(request.path_params[name], name)


def _no_number(name: str, value: str) -> BadRequest:
    return BadRequest(
        f"{name}={value!r} is not a number. It takes a whole one: a count, Unix seconds or a version."
    )


def _nearest(name: str, allowed: Sequence[str]) -> str:
    near = get_close_matches(name, allowed, 1)
    return f" Did you mean {near[0]!r}?" if near else f" It takes: {', '.join(allowed) or 'none'}."
