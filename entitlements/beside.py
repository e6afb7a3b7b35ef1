"""Work that goes on beside a block, and no longer."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def beside(*works: Coroutine[object, object, None]) -> AsyncGenerator[None]:
    """Let some work go on beside a block, and end it with the block."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
