"""A sandbox that runs: its API on a port of this machine alone, and its deliveries on their way."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from httpx2 import AsyncClient

from entitlements.beside import beside
from entitlements.sandbox.api import create_api
from entitlements.sandbox.world import Sandbox

LOOK_EVERY = 0.02
"""Seconds between looks at which deliveries are due."""


class _Server(uvicorn.Server):
    """A server that leaves signals to its host."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(sandbox: Sandbox) -> AsyncGenerator[str]:
    """Serve a sandbox for as long as the block runs; give the address of its API."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # whoever comes before the server is up waits, and is not refused
        server = _Server(
            uvicorn.Config(
                create_api(sandbox),
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,  # the sandbox has a clock of its own
            )
        )
        serving = asyncio.create_task(server.serve([listening]))
        try:
            async with beside(_deliver(sandbox)):
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def _deliver(sandbox: Sandbox) -> None:
    async with AsyncClient(trust_env=False) as client:
        while True:
            sandbox.pass_time()
            await sandbox.deliveries.due(client, sandbox.now(), sandbox.outside())
            await asyncio.sleep(LOOK_EVERY)
