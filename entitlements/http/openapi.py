"""`GET /openapi.json`: the calls that this process serves, described by the values and types that they are served by.

https://spec.openapis.org/oas/v3.1.1.html. Nothing is described here a second time: what a call is stands in its
Endpoint, what it says in its handler's docstring, what it takes and sends in the types that read and write it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from entitlements.errors import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    HeadTooLarge,
    Unauthenticated,
)
from entitlements.http.endpoint import REFERENCE, Content, Described, Endpoint, routed
from entitlements.http.parameters import Parameter
from entitlements.http.problems import MEDIA_TYPE, Kind, Problem, kind_named
from entitlements.http.state import State
from entitlements.wire import Id

Document = dict[str, Any]
"""JSON."""

TAGS: Mapping[str, str] = {
    "webhooks": "What Stripe posts. The signature is the proof; no token is needed.",
    "queries": "What product services ask: may this customer use this feature?",
    "AuthZEN": "The same answers for policy enforcement points: OpenID AuthZEN, Authorization API 1.0.",
    "OpenFeature": "The same answers for applications with feature flags: OpenFeature Remote Evaluation Protocol.",
    "operations": "For people on call.",
    "health": "How the process is, and this description. No token is needed.",
}

_TITLE = "May this customer use this feature now? Decided from Stripe's webhooks. Times are Unix seconds."
_BEARER = "A token from `entitlements token new`. The scope `operate` includes `read`."
_IN_PATH = re.compile(r"{(\w+)(?::\w+)?}")

Schemas = Mapping[int, Document]
"""What is said of each type, by the type's identity."""


def described(app: Starlette) -> Document:
    """Return the document of what an application serves. It is made once, when it is first asked for."""
    if not hasattr(app.state, "openapi"):
        app.state.openapi = document(app.routes)
    found: Document = app.state.openapi
    return found


def document(routes: Iterable[BaseRoute]) -> Document:
    """Return the document of some routes. One that no Endpoint made is not in it."""
    served = [route for route in routes if isinstance(route, Described)]
    types = [kind for route in served for each in route.endpoints for kind in _types(each)]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template=REFERENCE)
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=False)}
    found: Document = {
        "openapi": "3.1.0",
        "info": {"title": "entitlements", "version": version("entitlements"), "summary": _TITLE},
        "tags": [
            {"name": tag, "description": said}
            for tag, said in TAGS.items()
            if any(route.tag == tag for route in served)
        ],
        "paths": _paths(served, by_type),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": _BEARER}
            },
        },
    }
    portable: Document = _portable(found)
    return portable


def _types(endpoint: Endpoint) -> Iterator[Any]:
    yield Id
    yield from endpoint.parts
    yield from (parameter.type for parameter in endpoint.parameters)
    for content in (endpoint.body, endpoint.members, *endpoint.answers.values()):
        yield from _media(content).values()


def _media(content: Content) -> Mapping[str, Any]:
    if content is None:
        return {}
    return content if isinstance(content, Mapping) else {"application/json": content}


def _paths(served: Iterable[Described], schemas: Schemas) -> Document:
    found: Document = {}
    for route in served:
        of_path = found.setdefault(_IN_PATH.sub(r"{\1}", route.path), {})
        for one in route.endpoints:
            of_path[one.method.lower()] = _operation(one, route.tag, schemas)
    return found


def _operation(endpoint: Endpoint, tag: str, schemas: Schemas) -> Document:
    handler = endpoint.handler
    said = cleandoc(handler.__doc__ or "")
    found: Document = {
        "tags": [tag],
        "operationId": f"{handler.__module__.rpartition('.')[2]}_{handler.__name__}",
        "summary": re.split(r"\.(?:\s|$)", said, maxsplit=1)[0],
        "description": said,
        "parameters": [
            *(_in_path(name, schemas) for name in _IN_PATH.findall(endpoint.path)),
            *(_parameter(parameter, schemas) for parameter in endpoint.parameters),
        ],
        "responses": _responses(endpoint, schemas),
        "security": [{"bearer": [endpoint.scope]}] if endpoint.scope else [],
    }
    if endpoint.body is not None:
        found["requestBody"] = _body(endpoint, schemas)
    return found


def _in_path(name: str, schemas: Schemas) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": schemas[id(Id)]}


def _parameter(parameter: Parameter, schemas: Schemas) -> Document:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.says,
        "schema": schemas[id(parameter.type)],
    }


def _body(endpoint: Endpoint, schemas: Schemas) -> Document:
    content = _content(endpoint.body, schemas)
    if endpoint.example is not None:
        content = {media: {**said, "example": endpoint.example} for media, said in content.items()}
    return {"required": True, "content": content}


def _content(content: Content, schemas: Schemas) -> Document:
    return {media: {"schema": schemas[id(kind)]} for media, kind in _media(content).items()}


def _responses(endpoint: Endpoint, schemas: Schemas) -> Document:
    found = {**_refusals(endpoint, schemas)}
    for status, content in endpoint.answers.items():
        found[str(status)] = {"description": HTTPStatus(status).phrase}
        if sent := _content(content, schemas):
            found[str(status)]["content"] = sent
    return dict(sorted(found.items()))


def _refusals(endpoint: Endpoint, schemas: Schemas) -> Document:
    """Return the problems that a call may be answered with, by status."""
    kinds = {kind.name: kind for kind in map(kind_named, _errors(endpoint))}
    return {
        str(status): _refusal(
            endpoint, [kind for kind in kinds.values() if kind.status == status], schemas
        )
        for status in {kind.status for kind in kinds.values()}
    }


def _errors(endpoint: Endpoint) -> Iterator[type[Exception]]:
    """Yield what can go wrong: what the call names, and what goes with its token, its parameters and its body."""
    yield from endpoint.refusals
    if endpoint.parameters or _IN_PATH.search(endpoint.path) or endpoint.body is not None:
        yield BadRequest
    if endpoint.parameters:
        yield HeadTooLarge
    if endpoint.body is not None:
        yield BodyTooLarge
    if endpoint.scope:
        yield Unauthenticated
    if endpoint.scope == "operate":
        yield Forbidden


def _refusal(endpoint: Endpoint, kinds: Sequence[Kind], schemas: Schemas) -> Document:
    problem: Document = {"$ref": REFERENCE.format(name=Problem.__name__)}
    if endpoint.members:
        problem = {"allOf": [problem, schemas[id(endpoint.members)]]}
    found: Document = {
        "description": "; ".join(kind.title for kind in kinds),
        "content": {MEDIA_TYPE: {"schema": problem}},
    }
    if headers := {name: {"schema": {"type": "string"}} for k in kinds for name in k.headers}:
        found["headers"] = headers
    return found


def _portable(said: Any) -> Any:  # noqa: ANN401  any JSON
    r"""Return JSON with each pattern as JavaScript reads it (ECMA-262).

    Its `$` is the end, which Python writes as `\Z`; half of a surrogate pair is no text there, and needs no exclusion.
    """
    if isinstance(said, dict):
        return {
            key: _pattern(value)
            if key == "pattern" and isinstance(value, str)
            else _portable(value)
            for key, value in said.items()
        }
    return [_portable(one) for one in said] if isinstance(said, list) else said


def _pattern(pattern: str) -> str:
    return pattern.replace(r"\Z", "$").replace(r"\ud800-\udfff", "")


async def openapi(request: Request[State]) -> Response:
    """Describe every call that this process serves, as OpenAPI 3.1."""
    body = msgspec.json.encode(described(request.app))
    return Response(body, headers={"Cache-Control": "no-cache"}, media_type="application/json")


routes = routed(
    "health",
    Endpoint(
        method="GET",
        path="/openapi.json",
        handler=openapi,
        answers={200: dict[str, Any]},
        refusals=(),
    ),
)
