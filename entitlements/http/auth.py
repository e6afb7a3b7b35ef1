"""Who asks: bearer tokens, known by their digests, with a scope each."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from entitlements import logs, metrics
from entitlements.errors import Forbidden, Unauthenticated
from entitlements.http.state import State
from entitlements.settings import Token

Scope = Literal["read", "operate"]
Handler = Callable[[Request[State]], Awaitable[Response]]


def authenticate(header: str | None, tokens: Sequence[Token], scope: Scope) -> Token:
    """Return the caller that an Authorization header names, if its scope covers the call.

    Raises Unauthenticated or Forbidden. `operate` includes `read`.
    """
    kind, _, secret = (header or "").partition(" ")
    if kind.lower() != "bearer" or not secret:
        raise Unauthenticated(
            'Send "Authorization: Bearer <token>", with a token from `entitlements token new`.'
        )
    caller = _known(secret.strip(), tokens)
    if caller is None:
        raise Unauthenticated(
            "This bearer token is not known here. Its digest must stand in ENTITLEMENTS_TOKENS."
        )
    if scope == "operate" and caller.scope != "operate":
        raise Forbidden(
            f"The token {caller.name!r} may only read. This call needs one with the scope operate."
        )
    return caller


def needs(scope: Scope, handler: Handler) -> Handler:
    """Return a handler that answers only callers of a scope, and names them in the log and in the metrics."""

    @wraps(handler)
    async def guarded(request: Request[State]) -> Response:
        header = request.headers.get("authorization")
        try:
            caller = authenticate(header, request.state["settings"].tokens, scope)
        except (Unauthenticated, Forbidden) as error:
            metrics.stranger(type(error).__name__)
            raise
        metrics.request(caller.name)
        logs.also(caller=caller.name)
        return await handler(request)

    return guarded


def _known(secret: str, tokens: Sequence[Token]) -> Token | None:
    """Compare with every digest, in constant time."""
    digest = hashlib.sha256(secret.encode()).digest()
    found = [token for token in tokens if hmac.compare_digest(token.digest, digest)]
    return found[0] if found else None
