"""Work that is done side by side, up to so many at a time, and whose first error is everybody's."""

import asyncio
from collections.abc import Coroutine, Iterable


async def side_by_side(works: Iterable[Coroutine[object, object, None]], most: int) -> None:
    """Do all of it, `most` at a time. Where one raises, the others are ended, and the error is raised as it is."""
    waiting = iter(works)

    async def worker() -> None:
        for work in waiting:
            await work

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(most):
                tasks.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        for work in waiting:
            work.close()
