"""Whatever goes wrong is a problem document, with a stable type, a way out, and the request's name."""

import io
import json
from collections.abc import Iterator

import pytest
from httpx2 import Response
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from entitlements import errors
from entitlements.errors import EntitlementsError, StoreError
from entitlements.http.problems import KINDS, kind_of, problem_of
from entitlements.http.state import State
from tests.support.bodies import SECRET, encoded, event, signed, subscription
from tests.support.histories import START
from tests.support.service import READ, bearer, serving

STATUSES = {
    errors.SignatureInvalid: 400,
    errors.BadRequest: 400,
    errors.BodyTooLarge: 413,
    errors.HeadTooLarge: 431,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.VersionNotReached: 412,
    errors.StripeKeyMissing: 409,
    errors.StripeRefused: 409,
    errors.StripeMissing: 404,
    errors.StripeUnavailable: 503,
    errors.StoreUnavailable: 503,
    errors.StoreBusy: 503,
    errors.StoreUnsafe: 503,
    errors.NotDurable: 503,
}
"""What the contract names."""


def family(parent: type[Exception]) -> Iterator[type[Exception]]:
    """Yield a class of errors and all that descend from it."""
    yield parent
    for child in parent.__subclasses__():
        yield from family(child)


def read(response: Response) -> dict[str, object]:
    """Return a problem document; fail where it is not a complete one."""
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    found: dict[str, object] = response.json()
    assert found.keys() == {"type", "title", "status", "detail", "request_id"}
    assert found["status"] == response.status_code
    assert found["request_id"] == response.headers["x-request-id"]
    assert all(found.values())
    return found


def raising(error: Exception) -> Route:
    """Return a route at which something goes wrong."""

    async def endpoint(_: Request[State]) -> None:
        raise error

    return Route("/wrong", endpoint)


@pytest.mark.parametrize(("error", "status"), STATUSES.items())
def test_every_error_of_the_contract_has_its_status(
    error: type[EntitlementsError], status: int
) -> None:
    """Its detail is the error's own sentence."""
    found = problem_of(error("Do this."), "r1")
    assert (found.status, found.detail, found.request_id) == (status, "Do this.", "r1")


@pytest.mark.parametrize("error", list(family(EntitlementsError)))
def test_every_error_has_a_kind(error: type[Exception]) -> None:
    """What passes makes callers come back; nothing else does."""
    kind = kind_of(error("x"))
    assert kind.name
    assert kind.title
    passes = issubclass(error, (StoreError, errors.FeedUnavailable, errors.StripeUnavailable))
    assert ("Retry-After" in kind.headers) == passes
    assert (kind.status == 503) == passes


def test_an_error_without_an_entry_is_its_parents_kind() -> None:
    """A new class is never without an answer, and a stranger is an internal error."""

    class Newest(errors.BodyTooLarge):
        pass

    assert kind_of(Newest("x")) == KINDS[errors.BodyTooLarge]
    assert kind_of(ValueError("x")) == KINDS[EntitlementsError]


def test_types_are_stable_names() -> None:
    """One for each kind: callers match on them."""
    names = [kind.name for kind in KINDS.values()]
    assert len(names) == len(set(names))
    assert problem_of(errors.StoreBusy("x")).type == "urn:problem-type:entitlements:store-busy"


@pytest.mark.asyncio
async def test_an_address_that_is_not_there_is_a_404(store_url: str) -> None:
    """With a token or without one."""
    async with serving(store_url) as service:
        for headers in ({}, bearer(READ)):
            found = read(await service.http.get("/v1/nothing", headers=headers))
            assert (found["status"], found["type"]) == (
                404,
                "urn:problem-type:entitlements:not-found",
            )


@pytest.mark.asyncio
async def test_a_method_that_is_not_taken_is_a_405(store_url: str) -> None:
    """The Allow header names those that are."""
    async with serving(store_url) as service:
        refused = await service.http.delete("/v1/checks", headers=bearer(READ))
    assert read(refused)["type"] == "urn:problem-type:entitlements:method-not-allowed"
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


@pytest.mark.asyncio
async def test_whatever_else_the_framework_refuses_is_a_problem(store_url: str) -> None:
    """It has the framework's own words."""
    async with serving(store_url, raising(HTTPException(415, "No such media."))) as service:
        found = read(await service.http.get("/wrong"))
    assert (found["status"], found["detail"]) == (415, "No such media.")


@pytest.mark.asyncio
async def test_a_fault_of_ours_is_told_to_the_log_alone(
    store_url: str, log_lines: io.StringIO
) -> None:
    """The answer has the request's name, under which the log has the cause."""
    async with serving(store_url, raising(ZeroDivisionError("for us alone"))) as service:
        refused = await service.http.get("/wrong")
    found = read(refused)
    assert (found["status"], "for us alone" in refused.text) == (500, False)
    assert refused.headers.get_list("x-request-id") == [found["request_id"]]
    (line,) = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    assert (line["event"], line["request_id"]) == ("request_crashed", found["request_id"])
    assert "ZeroDivisionError: for us alone" in line["exception"]


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/v1/customers/cus_1/entitlements/pro", "/webhooks/stripe"])
async def test_a_fault_before_the_framework_is_told_likewise(
    store_url: str, log_lines: io.StringIO, path: str
) -> None:
    """The busiest requests never come as far as the framework."""
    body = encoded(event(subscription()))
    headers = bearer(READ) | signed(body, SECRET, START)
    method = "POST" if "webhooks" in path else "GET"
    async with serving(store_url) as service:
        service.clock.now = float("nan")
        refused = await service.http.request(method, path, headers=headers, content=body)
    found = read(refused)
    assert found["status"] == 500
    assert refused.headers.get_list("x-request-id") == [found["request_id"]]
    (line,) = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    assert (line["event"], line["request_id"]) == ("request_crashed", found["request_id"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (errors.StoreBusy("Try again."), True),
        (errors.EntitlementsError("Look."), True),
        (errors.BadRequest("Send."), False),
    ],
)
async def test_the_log_has_what_an_operator_should_see(
    store_url: str, log_lines: io.StringIO, error: Exception, *, logged: bool
) -> None:
    """Our side's failures, and not the caller's."""
    async with serving(store_url, raising(error)) as service:
        found = read(await service.http.get("/wrong"))
    lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    told = [(line["event"], line["request_id"], line["detail"]) for line in lines]
    assert told == ([("request_failed", found["request_id"], str(error))] if logged else [])
