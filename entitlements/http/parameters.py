"""What a request asks, read strictly: a misspelt parameter is an error, not a silent default."""

from difflib import get_close_matches
from typing import Self

import msgspec
from starlette.requests import Request

from entitlements.errors import BadRequest
from entitlements.http.state import State
from entitlements.model import Subject
from entitlements.wire import Id, Seconds


class Parameters:
    """The query parameters of one request."""

    def __init__(self, given: dict[str, str]) -> None:
        self._given = given

    @classmethod
    def of(cls, request: Request[State], *allowed: str) -> Self:
        """Read a request's parameters. Raises BadRequest for one that the call does not take, or takes once."""
        given = request.query_params.multi_items()
        for name, _ in given:
            if name not in allowed:
                raise BadRequest(f"This call takes no parameter {name!r}.{_nearest(name, allowed)}")
        if len(given) > len(dict(given)):
            raise BadRequest("A parameter is given twice. Give each one once.")
        return cls(dict(given))

    def number(self, name: str) -> int | None:
        """Return a whole number not below zero (an instant in Unix seconds, a version), or null if not given."""
        value = self._given.get(name)
        if value is None:
            return None
        try:
            return msgspec.convert(value, Seconds, strict=False)
        except msgspec.ValidationError as error:
            raise BadRequest(
                f"{name}={value!r} is not a number. It takes whole Unix seconds or a version."
            ) from error

    def text(self, name: str) -> str | None:
        """Return a word as it was given, or null if not given."""
        return self._given.get(name)

    def choice(self, name: str, *choices: str) -> str | None:
        """Return one of some words, or null if not given."""
        value = self._given.get(name)
        if value is not None and value not in choices:
            raise BadRequest(f"{name}={value!r} is not known. It takes: {', '.join(choices)}.")
        return value


def subject_of(request: Request[State]) -> Subject:
    """Return whose records a request is about: the path's customer, of the account that is named."""
    return Subject(path_id(request, "customer"), account_of(request))


def account_of(request: Request[State]) -> str | None:
    """Return the connected account that the `Stripe-Account` header names, as in Stripe's own API; null without one."""
    named = request.headers.get("stripe-account")
    return None if named is None else _id(named, "the Stripe-Account header")


def path_id(request: Request[State], name: str) -> str:
    """Return an id that stands in the path. Raises BadRequest where it cannot be one."""
    return _id(request.path_params[name], name)


def _id(value: str, name: str) -> str:
    try:
        return msgspec.convert(value, Id)
    except msgspec.ValidationError as error:
        raise BadRequest(
            f"{name} is no id. Ids have 1 to 255 characters, and no spaces among them."
        ) from error


def _nearest(name: str, allowed: tuple[str, ...]) -> str:
    near = get_close_matches(name, allowed, 1)
    return f" Did you mean {near[0]!r}?" if near else f" It takes: {', '.join(allowed) or 'none'}."
