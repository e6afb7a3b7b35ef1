"""How the process is: for load balancers, orchestrators and Prometheus. No token."""

import math

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from entitlements import metrics
from entitlements.errors import StoreError
from entitlements.http.state import State
from entitlements.store import quarantine


async def healthz(_: Request[State]) -> Response:
    """Say that the process runs."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request[State]) -> Response:
    """Say whether to send requests here, how the store is, and by which policy this process decides.

    A store that is out of reach or unsafe does not make it unready: that would take every process out at once.
    """
    draining = request.state["readiness"].draining
    try:
        waiting: int | None = await quarantine.count(request.state["store"])
        store = {"reachable": True, **request.state["watch"].told()}
    except StoreError:  # without its words, which name the store's address
        store, waiting = {"reachable": False, "durable": None}, None
    in_force, configured = request.state["ingest"].policy, request.state["configured"]
    policy = {"in_force": in_force.digest, "configured": configured.digest}
    said = {
        "status": "draining" if draining else "ready",
        "store": store,
        "policy": policy,
        "quarantine": {"waiting": waiting},
    }
    return JSONResponse(said, 503 if draining else 200)


async def exposition(request: Request[State]) -> Response:
    """Give the counters to Prometheus, with how many events wait at this moment."""
    try:
        metrics.quarantined(await quarantine.count(request.state["store"]))
    except StoreError:
        metrics.quarantined(math.nan)
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]
