"""An application that listens on a port of this machine, for as long as a block runs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from entitlements.http.server import HttpServer


@asynccontextmanager
async def listening(app: Starlette) -> AsyncGenerator[str]:
    """Serve an application; give its address."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop, server = asyncio.Event(), HttpServer(host="127.0.0.1", port=0, ready=ready.set_result)
    serving = asyncio.create_task(server.serve(app, stop))
    try:
        yield await ready
    finally:
        stop.set()
        await serving
