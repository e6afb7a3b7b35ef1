"""Where AuthZEN's calls are: public, as it says nothing of any customer and is read before a token is had.

https://openid.net/specs/authorization-api-1_0.html, "Policy Decision Point Metadata".
"""

import re

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements.errors import BadRequest
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.state import State

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?"
_HOST = re.compile(rf"({_NAME}|\[[0-9A-Fa-f:.]{{2,45}}\])(:[0-9]{{1,5}})?")
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_HEADERS = {"Cache-Control": "max-age=300", "Vary": "Host"}


class Metadata(Struct, frozen=True):
    """The addresses of this decision point. It has no registered capability, and signs nothing."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str
    search_resource_endpoint: str
    search_action_endpoint: str


async def configuration(request: Request[State]) -> Response:
    """Say where the calls are, under the name by which this service was asked."""
    base = base_of(request.headers.getlist("host"))
    calls = ("evaluation", "evaluations", "search/subject", "search/resource", "search/action")
    found = Metadata(base, *(f"{base}/access/v1/{call}" for call in calls))
    return Response(msgspec.json.encode(found), headers=_HEADERS, media_type="application/json")


def base_of(hosts: list[str]) -> str:
    """Return the service's own address, from the Host headers of a request. Raises BadRequest for no plain name.

    A decision point's address is https, as the specification has it, whatever carries the last stretch behind a proxy;
    on this machine alone it is what it is. No other header counts: a cache keeps answers apart by Host.
    """
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if found is None:
        raise BadRequest("Name this service in one Host header, as name or name:port.")
    scheme = "http" if found[1].lower() in _LOOPBACK else "https"
    return f"{scheme}://{found[0]}"


routes = routed(
    "AuthZEN",
    Endpoint(
        method="GET",
        path="/.well-known/authzen-configuration",
        handler=configuration,
        answers={200: Metadata},
        refusals=(BadRequest,),
    ),
)
