"""The description of the calls: complete, of nothing but what is served, and made of what serves it."""

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from entitlements import span
from entitlements.http.endpoint import Described, Endpoint, routed
from entitlements.http.openapi import TAGS, document, openapi
from entitlements.http.parameters import Parameters
from entitlements.http.state import State
from entitlements.sandbox.shapes import Body
from tests.support.bodies import SECRET, event, signed, subscription
from tests.support.service import OPERATE, READ, Service, bearer, serving
from tests.support.stripes import serving_beside_stripe

SURFACES = ["webhooks", "queries", "operations"]
NAMES = {"customer": "cus_1", "feature": "pro", "key": "pro"}


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give the service on an empty store, and a sandbox Stripe behind it."""
    async with serving_beside_stripe(store_url) as found:
        yield found


async def described(service: Service) -> Body:
    """Return what the service says of itself, without a token."""
    found = await service.http.get("/openapi.json")
    assert (found.status_code, found.headers["content-type"]) == (200, "application/json")
    said: Body = found.json()
    return said


def undescribed(routes: list[BaseRoute]) -> list[str]:
    """Return a sentence for each route that no Endpoint made."""
    return [
        f"{getattr(route, 'path', route)} has no Endpoint: declare one beside its handler, and make its routes by "
        "`routed` (entitlements/http/endpoint.py)"
        for route in routes
        if not isinstance(route, Described)
    ]


def operations(said: Body) -> Iterator[tuple[str, str, Body]]:
    """Yield the method, the path and the description of each call."""
    for path, of_path in said["paths"].items():
        for method, operation in of_path.items():
            yield method.upper(), path, operation


def filled_in(path: str) -> str:
    """Return a path with ids in it: of what is there, or else of nothing."""
    return re.sub(r"{(\w+)}", lambda found: NAMES.get(found[1], "id_1"), path)


def within(value: Any) -> Iterator[Body]:  # noqa: ANN401  any JSON
    """Yield each object of a document."""
    if isinstance(value, dict):
        yield value
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from within(inner)


@pytest.mark.asyncio
async def test_every_route_is_described_and_nothing_else_is(service: Service) -> None:
    """What the application routes is what the document has: each path with each of its methods."""
    assert undescribed(service.app.routes) == []
    served = {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in service.app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(method, path) for method, path, _ in operations(await described(service))} == served


def test_a_route_without_an_endpoint_is_named() -> None:
    """With a sentence that says what to do."""

    async def plain(_: Request) -> Response:
        return Response()

    (said,) = undescribed([Route("/plain", plain)])
    assert said.startswith("/plain has no Endpoint: declare one")
    assert document([Route("/plain", plain)])["paths"] == {}


@pytest.mark.asyncio
@pytest.mark.parametrize("surface", SURFACES)
async def test_only_what_the_process_serves_is_described(store_url: str, surface: str) -> None:
    """A public listener says nothing of operations; what a struct of theirs is like is not told either."""
    given = frozenset({surface})
    async with serving(store_url, surfaces=given) as service:
        said = await described(service)
    used = {tag for _, _, operation in operations(said) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in said["tags"]} <= set(TAGS)
    assert ("operations" in used) == (surface == "operations")
    assert ("PolicyPreview" in said["components"]["schemas"]) == (surface == "operations")


@pytest.mark.asyncio
async def test_the_document_holds_together(service: Service) -> None:
    """Every reference leads somewhere, every struct is referred to, and names are names of one thing."""
    said = await described(service)
    found = {one["$ref"] for one in within(said) if isinstance(one.get("$ref"), str)}
    names = list(said["components"]["schemas"])
    assert found == {f"#/components/schemas/{name}" for name in names}
    assert [
        name for name in names if "." in name
    ] == []  # two structs of one name: its module is told
    ids = [operation["operationId"] for _, _, operation in operations(said)]
    assert len(ids) == len(set(ids))
    for _, path, operation in operations(said):
        assert operation["summary"], path
        assert operation["tags"][0] in TAGS, path
        named = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert named == re.findall(r"{(\w+)}", path)


@pytest.mark.asyncio
async def test_patterns_are_those_of_json_schema(service: Service) -> None:
    r"""No `\Z`, which is Python's alone, and no half of a surrogate pair."""
    patterns = {one["pattern"] for one in within(await described(service)) if "pattern" in one}
    assert patterns == {r"^[^\x00-\x20\x7f]+$", r"\S", rf"^{span.PATTERN}$"}


@pytest.mark.asyncio
async def test_every_parameter_that_a_call_takes_is_described(service: Service) -> None:
    """A call that refuses an unknown one says which it takes: those of the document."""
    for method, path, operation in operations(await described(service)):
        filled = filled_in(path)
        taken = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
        said = await service.http.request(method, f"{filled}?zzzz=1", headers=bearer(OPERATE))
        told = re.search(r"takes no parameter 'zzzz'. It takes: (.*)\.\"", said.text)
        assert sorted(told[1].split(", ") if told else ["none"]) == sorted(taken or ["none"]), path


@pytest.mark.asyncio
async def test_who_may_call_is_what_is_described(service: Service) -> None:
    """No token, no answer, but where the document asks for none; and reading is not operating."""
    for method, path, operation in operations(await described(service)):
        filled = filled_in(path)
        filled += "?zzzz=1"  # no call that could go on and on is answered
        none = await service.http.request(method, filled)
        read = await service.http.request(method, filled, headers=bearer(READ))
        scopes = [one["bearer"][0] for one in operation["security"]]
        assert (none.status_code == 401) == bool(scopes), path
        assert (read.status_code == 403) == (scopes == ["operate"]), path
        assert {str(none.status_code), str(read.status_code)} <= set(operation["responses"]), path


@pytest.mark.asyncio
async def test_examples_are_answered(service: Service) -> None:
    """Whatever the document gives as an example, the service takes; a delivery if it is signed."""
    await service.deliver(event(subscription()))
    for method, path, operation in operations(await described(service)):
        if "requestBody" not in operation:
            continue
        ((media, content),) = operation["requestBody"]["content"].items()
        example = content.get("example", {"id": "evt_1"})
        body = example.encode() if isinstance(example, str) else None
        headers = bearer(OPERATE) | {"Content-Type": media}
        if path == "/webhooks/stripe":
            body = b'{"id":"evt_9"}'
            headers |= signed(body, SECRET, int(service.clock.now))
        said = await service.http.request(
            method,
            filled_in(path),
            headers=headers,
            **({"content": body} if body else {"json": example}),
        )
        missing = set(re.findall(r"{(\w+)}", path)) - NAMES.keys()
        assert said.is_success or (missing and said.status_code == 404), path


@pytest.mark.asyncio
async def test_endpoints_of_one_path_share_a_route(service: Service) -> None:
    """Each method has its handler; another method is told of all of them."""

    async def reads(_: Request[State]) -> Response:
        """Read."""
        return Response("read")

    async def writes(request: Request[State]) -> Response:
        """Write."""
        Parameters.of(request)
        return Response("written")

    service.app.router.routes += routed(
        "operations",
        Endpoint(method="GET", path="/both", handler=reads, answers={200: {"text/plain": str}}),
        Endpoint(method="PUT", path="/both", handler=writes, answers={200: {"text/plain": str}}),
    )
    assert (await service.http.get("/both")).text == "read"
    assert (await service.http.put("/both")).text == "written"
    assert (await service.http.head("/both")).status_code == 200
    refused = await service.http.delete("/both")
    assert (refused.status_code, refused.json()["status"]) == (405, 405)
    assert {each.strip() for each in refused.headers["allow"].split(",")} == {"GET", "HEAD", "PUT"}
    assert set((await described(service))["paths"]["/both"]) == {"get", "put"}


@pytest.mark.asyncio
async def test_the_document_is_made_once(service: Service) -> None:
    """Whoever asks without a token cannot make the process work for it again and again."""
    first = (await service.http.get("/openapi.json")).content
    service.app.router.routes += routed(
        "health", Endpoint(method="GET", path="/late", handler=openapi, answers={200: None})
    )
    assert (await service.http.get("/openapi.json")).content == first
