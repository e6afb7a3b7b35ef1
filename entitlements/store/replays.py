"""Runs of replays: who began which, when and why, how far each is; one at a time writes, and anybody can end it.

All of it lies in one slot. The run that writes holds a lease, which it renews with what it tells of itself; of one that
has died, the lease runs out.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct, field

from entitlements.errors import Conflict, NotFound
from entitlements.model import Outcome
from entitlements.redecide import Difference, Kind
from entitlements.store import audit, keys
from entitlements.store.audit import Deed
from entitlements.store.client import reaching
from entitlements.store.entry import Value
from entitlements.store.replies import script, text
from entitlements.store.store import KEEP_MARK, Store

LEASE = 15
"""Seconds without a word after which a run is taken for dead."""

KEPT = 1_000
"""Runs that are remembered: the newest."""

LISTED = 10_000
"""Differences that are kept of a run; it counts them all."""

Source = Literal["log", "stripe", "file"]
Status = Literal["running", "done", "stopped", "cancelled", "failed", "interrupted"]


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which events are replayed. Instants are Unix seconds: of receipt for the log, else of creation."""

    source: Source
    since: int | None = None
    until: int | None = None
    """Not included."""
    type: str | None = None
    """A type; with `*` at its end all that begin so."""
    customer: str | None = None
    account: str | None = None
    subscription: str | None = None
    event: str | None = None
    undelivered: bool = False
    """Of Stripe alone: only what it could not deliver to every endpoint."""
    path: str | None = None
    """Of a file alone: where it is; `-` is standard input."""


class Run(Struct, kw_only=True):
    """One run of a replay. Times are Unix seconds."""

    id: str
    asked: Asked
    by: str
    reason: str
    dry_run: bool
    started_at: int
    upto: str = ""
    """Where its window ends, which never moves: what comes later is not part of it."""
    after: str = ""
    """Where its window begins."""
    resumes: str | None = None
    """The run whose window it takes over: one that was previewed, or that stopped."""
    status: Status = "running"
    phase: Literal["previewing", "applying", "comparing"] = "previewing"
    seen_at: int = 0
    ended_at: int | None = None
    cursor: str = ""
    """Behind the last batch of what it does."""
    share: float | None = None
    """How much of its source it has read (0 to 1)."""
    events: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    unreadable: int = 0
    customers: int = 0
    """Who are concerned."""
    concerned: dict[Kind, int] = field(default_factory=dict)
    answers: dict[Kind, int] = field(default_factory=dict)
    features: dict[str, dict[Kind, int]] = field(default_factory=dict)
    ambiguous: int = 0
    """Subscriptions whose latest second is in doubt by it."""
    why: str | None = None
    """Why it failed, or who ended it."""


_encode = msgspec.json.Encoder().encode
_run = msgspec.json.Decoder(Run)
_difference = msgspec.json.Decoder(Difference)
_HOLD = script("hold")


async def begin(store: Store, run: Run) -> None:
    """Record a run; one that writes takes the lease. Raises Conflict where another one holds it, StoreError."""
    if not await _hold(store, run, LEASE):
        async with reaching():
            other = text(await store.redis.get(keys.replays("lease")))
        raise Conflict(
            f"The replay {other} is being applied, and one at a time is. Look at it with "
            f"`entitlements replay --show {other}`, end it with `entitlements replay --cancel {other}`, or wait."
        )
    async with reaching():
        names = sorted(text(name) for name in await store.redis.hkeys(keys.replays("runs")))
    if old := names[:-KEPT]:
        async with reaching():
            await store.redis.hdel(keys.replays("runs"), *old)


class Ending(NamedTuple):
    """As what a run is to end, and why."""

    status: Status
    why: str


async def tell(store: Store, run: Run) -> Ending | None:
    """Record how far a run is. Returns how it is to end, if it is: somebody cancelled it, or its lease ran out."""
    held = await _hold(store, run, LEASE)
    async with reaching():
        by = await store.redis.hget(keys.replays("cancelled"), run.id)
    if by is not None:
        return Ending("cancelled", f"cancelled by {text(by)}")
    return None if held else Ending("stopped", "its lease ran out, and another replay began")


async def end(store: Store, run: Run) -> None:
    """Record the end of a run, and let the next one begin."""
    await _hold(store, run, 0)


async def _hold(store: Store, run: Run, lease: int) -> bool:
    """Record a run, and take, renew or (with no lease) give back what is one run's. False: another one holds it."""
    names = [keys.replays("lease"), keys.replays("runs")]
    values: list[Value] = [run.id, _encode(run), -1 if run.dry_run else lease * 1000]
    hold = store.redis.register_script(_HOLD)
    async with reaching():
        return bool(await hold(keys=names, args=values))


async def cancel(store: Store, run: Run, deed: Deed) -> None:
    """Ask a run to end after its batch, with a record of who did and why. Raises Conflict where it does not run."""
    if run.status != "running":
        raise Conflict(f"{run.id} does not run any more: it is {run.status}.")
    async with reaching():
        await store.redis.hset(keys.replays("cancelled"), run.id, deed.by)
        await store.redis.expire(keys.replays("cancelled"), KEEP_MARK)
    await audit.write(store, deed.record("replay.cancel", run.id))


async def one(store: Store, name: str, now: float) -> Run:
    """Return a run as it is now (Unix seconds): one without a word for too long was interrupted. Raises NotFound."""
    async with reaching():
        raw = await store.redis.hget(keys.replays("runs"), name)
    if raw is None:
        raise NotFound(f"There is no replay {name}. `entitlements replay --list` lists them.")
    return _of(raw, now)


async def latest(store: Store, now: float) -> list[Run]:
    """Return the runs, the newest first: their names say in which order they began."""
    async with reaching():
        found = await store.redis.hgetall(keys.replays("runs"))
    return [_of(raw, now) for _, raw in sorted(found.items(), reverse=True)]


def _of(raw: bytes | str, now: float) -> Run:
    run = _run.decode(raw)
    if run.status == "running" and run.seen_at + LEASE < now:
        run.status = "interrupted"
    return run


async def list_differences(store: Store, name: str, found: Sequence[Difference]) -> None:
    """Keep differences of a run, as far as so many are kept of it."""
    if not found:
        return
    pipeline = store.redis.pipeline(transaction=False)
    pipeline.rpush(keys.replays(name), *map(_encode, found))
    pipeline.ltrim(keys.replays(name), 0, LISTED - 1)
    pipeline.expire(keys.replays(name), KEEP_MARK)
    async with reaching():
        await pipeline.execute()


async def differences(store: Store, name: str, first: int, count: int) -> list[Difference]:
    """Return differences of a run, from one on."""
    async with reaching():
        raws = await store.redis.lrange(keys.replays(name), first, first + count - 1)
    return [_difference.decode(raw) for raw in raws]


async def forget_differences(store: Store, name: str) -> None:
    """Keep none of a run any more: others take their place."""
    async with reaching():
        await store.redis.delete(keys.replays(name))
