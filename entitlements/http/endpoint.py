"""A call of the HTTP interface as one value: it is routed, guarded and described by it, so that these cannot differ.

Each module of calls declares its endpoints beside their handlers: `routes = routed("queries", Endpoint(…), …)`.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entitlements.errors import EntitlementsError, StoreUnavailable
from entitlements.http.auth import Handler, Scope, needs
from entitlements.http.parameters import Parameter
from entitlements.http.state import State

Content = object
"""A type that is sent as JSON, or a mapping from media types to types; null where nothing is sent."""

REFERENCE = "#/components/schemas/{name}"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One call. What its handler's docstring says is what its description says."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Handler
    answers: Mapping[int, Content]
    """By status; problem documents are not named here."""
    scope: Scope | None = None
    """Of the bearer token; null where none is needed."""
    parameters: tuple[Parameter, ...] = ()
    """Those in the query and in headers. What stands in the path is an id, and optional nowhere."""
    body: Content = None
    example: object = None
    """A body that is answered."""
    refusals: tuple[type[EntitlementsError], ...] = (StoreUnavailable,)
    """What can go wrong beside what goes with a token, with parameters and with a body."""
    members: type[Struct] | None = None
    """What a problem document has here beside its own members."""
    parts: tuple[type[Struct], ...] = ()
    """Structs that are spoken of with `either` or `each`."""
    around: Callable[[Handler], Handler] = lambda handler: handler
    """What is done around the handler and its guard."""

    def guarded(self) -> Handler:
        """Return the handler as it is called: for callers of the scope alone."""
        return self.around(needs(self.scope, self.handler) if self.scope else self.handler)


class Described(Route):
    """A route that knows its endpoints: one for each method of the path."""

    def __init__(self, path: str, tag: str, endpoints: tuple[Endpoint, ...]) -> None:
        handlers: dict[str, Handler] = {one.method: one.guarded() for one in endpoints}

        async def answer(request: Request[State]) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await handlers[method](request)

        super().__init__(path, answer, methods=list(handlers))
        self.tag = tag
        self.endpoints = endpoints


def routed(tag: str, *endpoints: Endpoint) -> list[Route]:
    """Return the routes of some endpoints, one for each path. In the document they are grouped by the tag."""
    paths = dict.fromkeys(endpoint.path for endpoint in endpoints)
    return [
        Described(path, tag, tuple(each for each in endpoints if each.path == path))
        for path in paths
    ]


def either(*types: type[Struct]) -> Meta:
    """Return how a value is described that is one of several structs, which msgspec encodes but cannot tell apart."""
    return Meta(extra_json_schema={"anyOf": [_reference(one) for one in types]})


def each(kind: type[Struct], otherwise: str) -> Meta:
    """Return how a raw value is described that is read by itself, as a struct; what becomes of it where it is none."""
    return Meta(extra_json_schema={"anyOf": [_reference(kind), {"description": otherwise}]})


def _reference(kind: type[Struct]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=kind.__name__)}
