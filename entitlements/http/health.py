"""How the process is: for load balancers, orchestrators and Prometheus. No token."""

import math
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from entitlements import metrics
from entitlements.errors import StoreError
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.state import State
from entitlements.store import quarantine
from entitlements.store.safety import Durability


class Alive(Struct, frozen=True):
    """The process runs."""

    status: Literal["ok"] = "ok"


class StoreHealth(Struct, frozen=True, kw_only=True):
    """How the store is, as far as it can be asked. `durable` is null where the server could not or would not tell."""

    reachable: bool
    durability: Durability | UnsetType = UNSET
    durable: bool | None = None
    lag: int | UnsetType | None = UNSET
    unsafe: list[str] | UnsetType = UNSET
    remarks: list[str] | UnsetType = UNSET


class PolicyHealth(Struct, frozen=True):
    """Digests: of the policy that decides, and of the one that the environment names."""

    in_force: str
    configured: str


class QuarantineHealth(Struct, frozen=True):
    """How many events wait for a person; null where the store could not be asked."""

    waiting: int | None


class Health(Struct, frozen=True):
    """Whether to send requests here, and how things are."""

    status: Literal["ready", "draining"]
    store: StoreHealth
    policy: PolicyHealth
    quarantine: QuarantineHealth


async def healthz(_: Request[State]) -> Response:
    """Say that the process runs."""
    return _answer(Alive())


async def readyz(request: Request[State]) -> Response:
    """Say whether to send requests here, how the store is, and by which policy this process decides.

    A store that is out of reach or unsafe does not make it unready: that would take every process out at once.
    """
    draining = request.state["readiness"].draining
    try:
        waiting: int | None = await quarantine.count(request.state["store"])
        store = msgspec.convert({"reachable": True, **request.state["watch"].told()}, StoreHealth)
    except StoreError:  # without its words, which name the store's address
        store, waiting = StoreHealth(reachable=False), None
    in_force, configured = request.state["ingest"].policy, request.state["configured"]
    said = Health(
        status="draining" if draining else "ready",
        store=store,
        policy=PolicyHealth(in_force.digest, configured.digest),
        quarantine=QuarantineHealth(waiting),
    )
    return _answer(said, 503 if draining else 200)


async def exposition(request: Request[State]) -> Response:
    """Give the counters to Prometheus, with how many events wait at this moment."""
    try:
        metrics.quarantined(await quarantine.count(request.state["store"]))
    except StoreError:
        metrics.quarantined(math.nan)
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


def _answer(said: Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(said), status, media_type="application/json")


routes = routed(
    "health",
    Endpoint(method="GET", path="/healthz", handler=healthz, answers={200: Alive}, refusals=()),
    Endpoint(
        method="GET",
        path="/readyz",
        handler=readyz,
        answers={200: Health, 503: Health},
        refusals=(),
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        handler=exposition,
        answers={200: {"text/plain": str}},
        refusals=(),
    ),
)
