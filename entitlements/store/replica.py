"""What a replica is to have received before it counts."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError

from entitlements.errors import NotDurable
from entitlements.store import keys
from entitlements.store.entry import Value
from entitlements.store.topology import together

REPLICA_WAIT_MS = 150
"""The server looks at its clock ten times a second, and must have answered within the client's TIMEOUT."""


async def replicated(redis: Redis, p: int, *commands: Sequence[Value]) -> list[Any]:
    """Send commands about a partition and return their replies, once a replica has received all that they saw.

    WAIT speaks of what its own connection wrote, so one small write stands for all that came before it. All of it is
    one connection's: a failover in between would have another server confirm what it never had. Raises NotDurable.
    """
    marker = keys.shared(p, "confirmed")
    wait = ("SET", marker, 1), ("WAIT", 1, REPLICA_WAIT_MS)
    *replies, _, replicas = await together(redis, marker, [*commands, *wait])
    if not replicas:
        raise NotDurable("The write was made, but no replica confirmed it in time. Send it again.")
    return replies


async def run_replicated(
    redis: Redis, p: int, script: AsyncScript, names: Sequence[str], values: Sequence[Value]
) -> object:
    """Run a script likewise. A failover takes the scripts away: EVAL leaves them with the server that it finds."""
    rest: list[Value] = [len(names), *names, *values]
    try:
        (result,) = await replicated(redis, p, ["EVALSHA", script.sha, *rest])
    except NoScriptError:
        (result,) = await replicated(redis, p, ["EVAL", str(script.script), *rest])
    return result
