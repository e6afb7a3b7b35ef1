"""However deeply a body is nested, at whichever door: a clear refusal, and the same one wherever it is read."""

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import DecodeError
from msgspec.json import decode as json_of

from entitlements.http.endpoint import Described, Endpoint
from entitlements.http.nesting import NESTED, pruned, shallow
from tests.support.service import OPERATE, READ, Service, bearer, serving

TOO_DEEP = f"nested more than {NESTED} levels"
HOLDING = b'{"context":{"targetingKey":"cus_1"},"checks":[],"evaluations":[],"page":{},"more":%b}'
"""JSON that holds other JSON where a reader passes over it."""


def doors(service: Service) -> Iterator[Endpoint]:
    """Yield every call that takes JSON, but for Stripe's."""
    for route in service.app.routes:
        if isinstance(route, Described) and route.tag != "webhooks":
            yield from (one for one in route.endpoints if isinstance(one.body, type))


def nested(levels: int) -> bytes:
    """Return arrays in arrays."""
    return b"[" * levels + b"]" * levels


@pytest.mark.asyncio
@pytest.mark.parametrize("levels", [NESTED, 900, 990, 100_000])
async def test_a_body_that_is_nested_too_deeply_is_a_400_at_every_door(
    store_url: str, levels: int
) -> None:
    """Whole or as a part that nobody asked for, closed or not."""
    async with serving(store_url) as service:
        asked = 0
        for door in doors(service):
            token = bearer(OPERATE if door.scope == "operate" else READ)
            headers = token | {"Content-Type": "application/json"}
            for body in (nested(levels + 1), HOLDING % nested(levels), b"[" * (levels + 1)):
                path = re.sub(r"{.*?}", "x_1", door.path)
                said = await service.http.request(door.method, path, content=body, headers=headers)
                told = TOO_DEEP in said.text or door.path == "/v1/checks"  # each check is by itself
                assert (said.status_code, told) == (400, True), said.text
                asked += 1
        assert asked > 20


def depth(value: object) -> int:
    """Count levels as a reader does."""
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0


texts = st.text(st.sampled_from('[]{}"\\,: \n\ud83d\u20ac'), max_size=6)
values = st.recursive(
    texts | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(values, st.integers(NESTED - 8, NESTED + 2), st.booleans())
def test_levels_are_counted_as_a_reader_counts_them(value: object, more: int, pad: bool) -> None:  # noqa: FBT001  hypothesis gives it
    """Whatever brackets stand in strings."""
    for _ in range(more):
        value = {"[": value, '"]}': []} if pad else [value]
    raw = json.dumps(value).encode()
    if depth(value) > NESTED:
        with pytest.raises(DecodeError, match=TOO_DEEP):
            shallow(raw)
    else:
        assert shallow(raw) == raw


def cut(value: object, levels: int = NESTED) -> object:
    """Return a value with null in the place of what is deeper than so many levels."""
    if not isinstance(value, list | dict):
        return value
    if not levels:
        return None
    if isinstance(value, list):
        return [cut(one, levels - 1) for one in value]
    return {key: cut(one, levels - 1) for key, one in value.items()}


@given(st.lists(values, max_size=3), values, st.integers(NESTED - 8, NESTED + 2))
def test_what_is_nested_too_deeply_is_cut_out_and_nothing_else(
    before: list[object], value: object, levels: int
) -> None:
    """As a reader would that counts its calls, whatever stands beside it and in its strings."""
    for _ in range(levels):
        value = [value, *before]
    raw = json.dumps([*before, {"[": value}, *before]).encode()
    assert json.loads(pruned(raw)) == cut(json.loads(raw))


@given(st.text(st.sampled_from('[{"\\\\,: x')).map(str.encode), st.integers(1, NESTED + 2))
def test_what_is_never_closed_stays_unreadable(raw: bytes, levels: int) -> None:
    """Whether something is cut out of it or not."""
    with pytest.raises(DecodeError):
        json_of(pruned(b"[" * levels + raw))
