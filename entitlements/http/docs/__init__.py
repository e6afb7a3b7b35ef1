"""`GET /docs`: the description of the calls as a page for people, made of the same document as `/openapi.json`.

One answer of plain HTML: no script, nothing from outside, and a policy that lets none in.
"""

from base64 import b64encode
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from entitlements.http.docs.page import page
from entitlements.http.docs.style import STYLE
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.openapi import described
from entitlements.http.state import State

_STYLE_DIGEST = b64encode(sha256(STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def docs(request: Request[State]) -> Response:
    """Show this description as a page."""
    return HTMLResponse(page(described(request.app), STYLE), headers=_HEADERS)


routes = routed(
    "health",
    Endpoint(
        method="GET", path="/docs", handler=docs, answers={200: {"text/html": str}}, refusals=()
    ),
)
