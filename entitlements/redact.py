"""Bodies for people's eyes: as they were sent, but for secrets."""

import json
import re
from typing import Any

REDACTED = "[redacted]"

_NAMES = re.compile(r"secret|password|access_token|refresh_token", re.IGNORECASE)
_VALUES = re.compile(r"(?:sk|rk|ek)_(?:live|test)_|whsec_|_secret_")
"""Keys to the API, signing secrets, and the form of client secrets."""


def shown(body: bytes) -> str:
    """Return a body as JSON for people's eyes, in ASCII, with secrets left out, by name or by form.

    Stripe puts client secrets into some objects (https://docs.stripe.com/api/payment_intents/object), and metadata is
    anybody's.
    """
    try:
        value = _without_secrets(json.loads(body, parse_constant=str))
        return json.dumps(value, indent=2)
    except (ValueError, RecursionError) as error:
        return json.dumps(f"{len(body)} bytes that cannot be shown: {error}")


def _without_secrets(value: Any) -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return {
            key: REDACTED if inner and _NAMES.search(key) else _without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return REDACTED if isinstance(value, str) and _VALUES.search(value) else value
