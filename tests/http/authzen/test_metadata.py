"""AuthZEN's metadata: where the calls are, under the name by which the service was asked, and under no other."""

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from entitlements.errors import BadRequest
from entitlements.http.authzen.metadata import base_of
from tests.support.service import serving

PATH = "/.well-known/authzen-configuration"


@pytest.mark.asyncio
async def test_it_names_every_call_to_anybody(store_url: str) -> None:
    """No token is needed; each address is one that is served, and nothing else is said."""
    async with serving(store_url) as service:
        found = await service.http.get(PATH, headers={"Host": "pdp.example.com"})
        app = service.app
    base, calls = "https://pdp.example.com", "https://pdp.example.com/access/v1"
    assert (found.status_code, found.headers["content-type"]) == (200, "application/json")
    assert found.headers["vary"] == "Host"
    assert found.json() == {
        "policy_decision_point": base,
        "access_evaluation_endpoint": f"{calls}/evaluation",
        "access_evaluations_endpoint": f"{calls}/evaluations",
        "search_subject_endpoint": f"{calls}/search/subject",
        "search_resource_endpoint": f"{calls}/search/resource",
        "search_action_endpoint": f"{calls}/search/action",
    }
    assert {url.removeprefix(base) for url in found.json().values() if url != base} == served(app)


def served(app: Starlette) -> set[str]:
    """Return the addresses of AuthZEN's calls."""
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    return {path for path in paths if path.startswith("/access/")}


@pytest.mark.asyncio
async def test_no_other_header_moves_it(store_url: str) -> None:
    """A proxy that lets them through would let anybody put an address of his own into a cache."""
    forged = {
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "http",
        "Forwarded": "host=evil.test",
        "X-Original-URL": "/evil",
    }
    async with serving(store_url) as service:
        found = await service.http.get(PATH, headers=forged)
    assert found.json()["policy_decision_point"] == "https://service.test"
    assert "evil" not in found.text


@pytest.mark.asyncio
async def test_it_belongs_to_the_queries(store_url: str) -> None:
    """Where webhooks alone are served, there is nothing to point to."""
    async with serving(store_url, surfaces=frozenset({"webhooks"})) as service:
        assert (await service.http.get(PATH)).status_code == 404


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("pdp.example.com", "https://pdp.example.com"),
        ("a-b.example.com:8443", "https://a-b.example.com:8443"),
        ("entitlements:8000", "https://entitlements:8000"),
        ("192.0.2.1", "https://192.0.2.1"),
        ("[2001:db8::1]:80", "https://[2001:db8::1]:80"),
        ("localhost:8000", "http://localhost:8000"),
        ("LOCALHOST", "http://LOCALHOST"),
        ("127.0.0.1:1", "http://127.0.0.1:1"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("localhost.example.com", "https://localhost.example.com"),
    ],
)
def test_a_plain_name_is_taken(host: str, base: str) -> None:
    """The address is https, and on this machine alone http."""
    assert base_of([host]) == base


@pytest.mark.parametrize(
    "host",
    [
        *("", " ", "a b", "a/b", "a@b", "a?b", "a#b", "a\\b", "a:b", "a:", "a:123456", "-a", "a."),
        *('a"b', "a<b", "é", "a,b", "[::1", "::1", "[g::1]", "x" * 255, "https://a", "a\n"),
    ],
)
def test_any_other_is_refused(host: str) -> None:
    """What is put into an address cannot say more than a name and a port."""
    with pytest.raises(BadRequest, match="Host header"):
        base_of([host])


def test_one_name_is_needed() -> None:
    """Two are a way to be taken for another, and HTTP/1.0 may have none."""
    for hosts in ([], ["a.test", "b.test"]):
        with pytest.raises(BadRequest, match="one Host header"):
            base_of(hosts)
