"""Every request has a name, which its answer, its problem and its lines of the log carry."""

import asyncio
import io
import json
import re
from typing import Any

import pytest

from tests.support.bodies import SECRET, encoded, event, signed, subscription
from tests.support.histories import START
from tests.support.service import serving


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["a", "req-1", "A.b_c:d-9", "x" * 128])
async def test_a_plain_name_is_taken_over(store_url: str, name: str) -> None:
    """So that a caller finds its own request in our log."""
    async with serving(store_url) as service:
        found = await service.http.get("/healthz", headers={"X-Request-ID": name})
    assert found.headers.get_list("x-request-id") == [name]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "name", [None, "", " ", "a b", "x" * 129, 'a"b', "a;b", "{}", "a\tb", "é".encode(), b"\xff"]
)
async def test_anything_else_is_replaced(store_url: str, name: str | bytes | None) -> None:
    """What is missing, too long or could break a line of the log is given a name here."""
    headers = (
        {}
        if name is None
        else {b"X-Request-ID": name if isinstance(name, bytes) else name.encode()}
    )
    async with serving(store_url) as service:
        found = await service.http.get("/healthz", headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", found.headers["x-request-id"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path", ["/nothing", "/v1/customers/cus_1/entitlements", "/webhooks/stripe"]
)
async def test_a_problem_carries_the_name(store_url: str, path: str) -> None:
    """404, 401, 405: a person can quote it."""
    async with serving(store_url) as service:
        found = await service.http.get(path, headers={"X-Request-ID": "mine"})
    assert (found.json()["request_id"], found.headers["x-request-id"]) == ("mine", "mine")


@pytest.mark.asyncio
async def test_what_is_no_request_has_no_name(store_url: str) -> None:
    """The server's own messages to the application pass as they are."""
    asked = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    told: list[Any] = []

    async def receive() -> Any:  # noqa: ANN401  ASGI's
        return asked.pop(0)

    async def send(message: Any) -> None:  # noqa: ANN401  ASGI's
        told.append(message)

    scope: dict[str, Any] = {"type": "lifespan", "state": {}}
    async with serving(store_url) as service:
        await service.app(scope, receive, send)
    assert [message["type"] for message in told] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert "request_id" not in scope


@pytest.mark.asyncio
async def test_requests_at_once_keep_their_names_apart(
    store_url: str, log_lines: io.StringIO
) -> None:
    """Each line of the log has the name of its own request."""
    async with serving(store_url) as service:

        async def deliver(n: int) -> None:
            body = encoded(event(subscription() | {"customer": f"cus_{n}"}, id=f"evt_{n}"))
            headers = signed(body, SECRET, START) | {"X-Request-ID": f"r{n}"}
            await service.http.post("/webhooks/stripe", content=body, headers=headers)

        await asyncio.gather(*(deliver(n) for n in range(20)))
    lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    assert {(line["stripe_event"], line["request_id"]) for line in lines} == {
        (f"evt_{n}", f"r{n}") for n in range(20)
    }
