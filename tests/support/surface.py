"""What schemathesis has to be told to call this service: how Stripe signs, what TOML is, which numbers are whole."""

import json
import time
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, SerializationContext

from tests.support.bodies import SECRET, signed


@schemathesis.serializer("application/toml")
def toml(_: SerializationContext, value: Any) -> bytes:  # noqa: ANN401  schemathesis's own
    """Send text as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], **__: Any) -> None:  # noqa: ANN401  schemathesis's own
    """Make a body one that is meant to be accepted: whole numbers as such, deliveries signed."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    case.body = whole(case.body)
    if case.path == "/webhooks/stripe":
        sent = b"null" if case.body is None else json.dumps(case.body, allow_nan=False).encode()
        case.headers.update(signed(sent, SECRET, int(time.time())))


def whole(value: Any) -> Any:  # noqa: ANN401  any JSON
    """Return JSON with 1.0 as 1: to JSON Schema both are whole numbers; here instants are written without a point."""
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
