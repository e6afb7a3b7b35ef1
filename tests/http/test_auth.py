"""Who may ask: known tokens, each as far as its scope goes; and a refusal never reads like a denial."""

import hashlib
import io
import json
import re
from collections.abc import AsyncGenerator, Iterator

import pytest
import pytest_asyncio
from httpx2 import Response
from starlette.applications import Starlette
from starlette.routing import Route

from entitlements.errors import Forbidden, Unauthenticated
from entitlements.http.auth import Scope, authenticate
from entitlements.settings import Token
from tests.support.bodies import event, subscription
from tests.support.service import OPERATE, READ, Service, bearer, counted, serving

OPEN = (
    *("/webhooks/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"),
    "/.well-known/",
)
"""What needs no token: a signature is the proof, or there is nothing to tell."""

READER = Token("reader", "read", hashlib.sha256(b"one").digest())
OPERATOR = Token("operator", "operate", hashlib.sha256("zwö".encode()).digest())


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give the service with every surface, and a customer who has access."""
    async with serving(store_url) as found:
        await found.deliver(event(subscription()))
        yield found


def calls(app: Starlette) -> Iterator[tuple[str, str]]:
    """Yield method and address of every call that needs a token."""
    for route in app.routes:
        assert isinstance(route, Route), "give this kind of route its place here"
        if not route.path.startswith(OPEN):
            address = re.sub(r"\{\w+\}", "x", route.path)
            yield from ((method, address) for method in route.methods or () if method != "HEAD")


def refusal(response: Response, status: int, name: str) -> None:
    """Fail unless a refusal cannot be taken for an answer about access."""
    assert response.status_code == status
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["type"] == f"urn:problem-type:entitlements:{name}"
    answer_fields = {"object", "granted", "data", "decision", "value", "reason", "entitlements"}
    assert not answer_fields & found.keys()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        READ,
        f"Basic {READ}",
        f"Token {READ}",
        "Bearer ent_read_of_nobody",
        f"Bearer {READ}x",
        f"Bearer {READ[:-1]}",
        f"Bearer {READ.upper()}",
        f"Bearer {hashlib.sha256(READ.encode()).hexdigest()}",
    ],
)
async def test_every_call_is_a_401_without_a_known_token(
    service: Service, header: str | None
) -> None:
    """No route is forgotten: what is neither a webhook nor health says who is asking first."""
    headers = {} if header is None else {"Authorization": header}
    asked = list(calls(service.app))
    assert len(asked) >= 3
    for method, address in asked:
        refused = await service.http.request(method, address, headers=headers)
        refusal(refused, 401, "unauthenticated")
        assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.asyncio
async def test_a_token_opens_what_its_scope_covers(service: Service) -> None:
    """Reading is for both scopes, operating for one; a refusal says which scope is needed."""
    service.state["feed"].end()  # else who follows the changes is answered for ever
    for method, address in calls(service.app):
        read = await service.http.request(method, address, headers=bearer(READ))
        operate = await service.http.request(method, address, headers=bearer(OPERATE))
        assert operate.status_code not in {401, 403}
        if address.startswith("/ops/"):
            refusal(read, 403, "forbidden")
            assert "operate" in read.json()["detail"]
        else:
            assert read.status_code == operate.status_code


@pytest.mark.asyncio
async def test_without_tokens_nobody_is_known(store_url: str) -> None:
    """A service that was given none answers 401 to everything."""
    async with serving(store_url, tokens=()) as service:
        for method, address in calls(service.app):
            refusal(
                await service.http.request(method, address, headers=bearer(READ)),
                401,
                "unauthenticated",
            )


@pytest.mark.asyncio
async def test_what_needs_no_token_takes_none(service: Service) -> None:
    """A probe that sends one all the same is answered."""
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await service.ask(path, token="anything")).status_code == 200  # noqa: S106  a test's own


@pytest.mark.asyncio
async def test_the_log_names_the_caller(store_url: str, log_lines: io.StringIO) -> None:
    """By the name that its token has in the settings, in every line about its request."""
    async with serving(store_url) as service:
        service.clock.now = float("nan")
        await service.ask("/v1/customers/cus_1/entitlements")
    (line,) = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    assert (line["event"], line["caller"]) == ("request_crashed", "reader")


@pytest.mark.asyncio
async def test_the_metrics_name_the_caller(service: Service) -> None:
    """Who asks how often is counted by the token's name; who shows no good one by what was wrong."""
    names = [
        'entitlements_requests_total{caller="reader"}',
        'entitlements_requests_refused_total{error="Unauthenticated"}',
        'entitlements_requests_refused_total{error="Forbidden"}',
    ]
    before = await counted(service)
    await service.ask("/v1/customers/cus_1/entitlements")
    await service.ask("/v1/customers/cus_1/entitlements", "ent_read_of_another")
    await service.ask("/ops/v1/quarantine")
    after = await counted(service)

    assert [after[name] - before.get(name, 0) for name in names] == [1, 1, 1]


@pytest.mark.parametrize(
    ("header", "scope", "name"),
    [
        ("Bearer one", "read", "reader"),
        ("bearer one", "read", "reader"),
        ("BEARER  one ", "read", "reader"),
        ("Bearer zwö", "read", "operator"),
        ("Bearer zwö", "operate", "operator"),
    ],
)
def test_a_known_token_names_its_caller(header: str, scope: Scope, name: str) -> None:
    """The scheme is case-insensitive, as RFC 9110 has it; operate includes read."""
    assert authenticate(header, [READER, OPERATOR], scope).name == name


def test_a_token_whose_scope_is_too_small_is_named() -> None:
    """The caller learns its own name, never a digest."""
    with pytest.raises(Forbidden, match="'reader' may only read"):
        authenticate("Bearer one", [READER, OPERATOR], "operate")


def test_an_unknown_token_is_not_repeated() -> None:
    """It may be somebody's after all."""
    with pytest.raises(Unauthenticated) as refused:
        authenticate("Bearer ent_read_of_another", [READER], "read")
    assert "another" not in str(refused.value)
