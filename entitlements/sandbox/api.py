"""Stripe's API over HTTP, for whatever speaks to Stripe: its libraries, its command line, this service.

Source: https://docs.stripe.com/api (authentication, errors, idempotent requests).
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from entitlements.errors import BadRequest, NotFound
from entitlements.sandbox.calls import ROUTES, Asked, Handler
from entitlements.sandbox.forms import parsed
from entitlements.sandbox.shapes import Body
from entitlements.sandbox.world import Sandbox

LARGEST = 1 << 20
"""Bytes of one request."""


def create_api(sandbox: Sandbox) -> Starlette:
    """Return the ASGI application of a sandbox."""
    return Starlette(
        routes=[
            Route(path, _endpoint(sandbox, handler), methods=[method])
            for method, path, handler in ROUTES
        ]
    )


def _endpoint(sandbox: Sandbox, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        status, body = _answered(sandbox, handler, request, raw)
        headers = {
            "Request-Id": sandbox.account.ids("req"),
            "Date": formatdate(sandbox.now(), usegmt=True),
        }
        return JSONResponse(body, status, headers)

    return endpoint


def _answered(sandbox: Sandbox, handler: Handler, request: Request, raw: bytes) -> tuple[int, Body]:
    account = request.headers.get("stripe-account", sandbox.name)
    found = sandbox.connected.get(account, sandbox)
    return _refused(sandbox, request, account, raw) or _done(found, handler, request, raw)


def _refused(
    sandbox: Sandbox, request: Request, account: str, raw: bytes
) -> tuple[int, Body] | None:
    if not _is_known(request.headers.get("authorization", "")):
        return 401, _error(
            "invalid_request_error", "Send a secret key of test mode: sk_test_… or rk_test_…."
        )
    if sandbox.refuse > 0 and not request.url.path.startswith("/_"):
        sandbox.refuse -= 1
        return 429, _error(
            "rate_limit_error", "Too many requests hit the API too quickly.", "rate_limit"
        )
    if account not in {sandbox.name, *sandbox.connected}:
        return 403, _error(
            "invalid_request_error",
            f"The provided key does not have access to account '{account}' (or that account does not exist).",
            "account_invalid",
        )
    if len(raw) > LARGEST:
        return 413, _error("invalid_request_error", "The request is too large.")
    return None


def _done(sandbox: Sandbox, handler: Handler, request: Request, raw: bytes) -> tuple[int, Body]:
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    said = f"{request.url.path}?{request.url.query} {raw!r}"

    def do() -> tuple[int, Body]:
        form = parsed(request.url.query) | parsed(raw.decode(errors="replace"))
        return 200, handler(
            sandbox, Asked(request.url.path, dict(request.path_params), form, sandbox.now())
        )

    try:
        return sandbox.once(key, said, do)
    except NotFound as error:
        return 404, _error("invalid_request_error", str(error), "resource_missing")
    except BadRequest as error:
        kind = "idempotency_error" if "idempotent" in str(error) else "invalid_request_error"
        return 400, _error(kind, str(error))


def _is_known(header: str) -> bool:
    kind, _, value = header.partition(" ")
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return False
    return value.startswith(("sk_test_", "rk_test_"))


def _error(kind: str, message: str, code: str | None = None) -> Body:
    return {"error": {"type": kind, "message": message} | ({"code": code} if code else {})}
