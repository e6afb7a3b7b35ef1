"""Stripe's requests: form-encoded, with names that nest: `items[0][price]=price_1`, `types[]=a`. Pure.

Source: https://docs.stripe.com/api (requests are form-encoded) and what stripe-python and Stripe's command line send.
"""

import re
from typing import Any
from urllib.parse import parse_qsl

from entitlements.errors import BadRequest

MOST = 1_000
"""Fields of one request."""

DEEPEST = 6

_NAME = re.compile(r"[^\[\]]+|\[[^\[\]]*\]")

Form = dict[str, Any]
"""Values are text; a nested one is a form, a list is a form whose keys are its places."""


def parsed(encoded: str) -> Form:
    """Return the fields of a query or a body. Raises BadRequest for a name that cannot be read, or too many."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MOST)
    except ValueError as error:
        raise BadRequest(f"The form cannot be read ({error}).") from error
    form: Form = {}
    for name, value in pairs:
        _put(form, _path(name), value)
    return form


def values(form: Form, name: str) -> list[Any]:
    """Return the elements of a list, in their order; none where it is not given."""
    found = form.get(name, {})
    return list(found.values()) if isinstance(found, dict) else [found]


def whole(form: Form, name: str) -> int | None:
    """Return a whole number, or null where it is not given. Raises BadRequest for anything else."""
    value = form.get(name)
    if value in {None, ""}:
        return None
    if not isinstance(value, str) or not value.isdecimal():
        raise BadRequest(f"Invalid integer: {value}")
    return int(value)


def _path(name: str) -> list[str]:
    parts = _NAME.findall(name)
    if "".join(parts) != name or not parts or len(parts) > DEEPEST:
        raise BadRequest(f"Received unknown parameter: {name[:100]}")
    return [part.strip("[]") for part in parts]


def _put(form: Form, path: list[str], value: str) -> None:
    for part in path[:-1]:
        inner = form.setdefault(part, {})
        if not isinstance(inner, dict):
            raise BadRequest(f"{part} is given as a value and as an object.")
        form = inner
    form[path[-1] or str(len(form))] = value
