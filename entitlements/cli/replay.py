"""`entitlements replay`: see what events would change if they were taken in again, and do exactly that."""

import asyncio
import csv
import inspect
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from entitlements.cli import deeds
from entitlements.cli import replay_shown as shown
from entitlements.cli.replay_options import Options, asked
from entitlements.errors import BadRequest

if TYPE_CHECKING:
    from entitlements.redecide import Difference
    from entitlements.rehearse import Consequence
    from entitlements.replay.sources import Source
    from entitlements.settings import Settings
    from entitlements.store.replays import Asked, Run
    from entitlements.store.store import Store

SHOWN = 20
"""Answers that change, shown of one replay; --csv prints all."""

Bar = Callable[[float | None, str], None]


def replay(**given: Any) -> None:  # noqa: ANN401  options are of every type
    """Show what events would change if they were taken in again; with --apply, do exactly that.

    The events come from the log, from Stripe or from a file. Without --apply nothing is written. Ctrl-C stops after
    the batch at hand and says how to go on. Exit code 1 if something stays ambiguous, quarantined or unreadable.
    """
    options = Options(**given)
    settings = deeds.settings()
    if options.listed or options.show or options.cancel:
        deeds.with_store(settings, "replay", lambda store: _look(store, options))
        return
    told = _Talk(options)
    run = deeds.with_store(
        settings, "replay", lambda store: _replay(settings, store, options, told)
    )
    shown.report(run, options)
    told.end()
    if run.unreadable and not run.events:
        raise BadRequest("Nothing of it could be read. Give JSON events, as Stripe's API has them.")
    if run.status != "done" or shown.left(run):
        raise typer.Exit(1)


replay.__dict__["__signature__"] = inspect.signature(Options)


class _Talk:
    """Tells of a run: a bar on a terminal, what cannot be read, and every difference as CSV if that is asked for."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._csv = csv.writer(sys.stdout) if options.csv else None
        self._began = time.monotonic()
        self._phase = ""
        self._shown: list[Difference] = []
        self.bar: Bar = lambda _share, _said: None
        if self._csv:
            from entitlements.rehearse import COLUMNS

            self._csv.writerow(COLUMNS)

    def progress(self, run: "Run") -> None:
        """Move the bar."""
        if run.phase != self._phase:
            self._phase, self._began = run.phase, time.monotonic()
        rate = run.events / max(0.001, time.monotonic() - self._began)
        self.bar(run.share, f"{run.phase}: {run.events:,} events, {rate:,.0f}/s")

    def unreadable(self, why: str) -> None:
        """Name it, once."""
        if self._phase != "applying":
            typer.echo(f"Left out: {why}", err=True)

    def consequence(self, run: "Run", found: "Consequence") -> None:
        """Print or remember whose answers change: of what is applied, as it became."""
        if run.phase == "previewing" and not run.dry_run:
            return
        if self._csv:
            from entitlements.rehearse import row

            self._csv.writerows(map(row, found.differences))
        else:
            self._shown += found.differences[: SHOWN - len(self._shown)]

    def end(self) -> None:
        """Print what was remembered."""
        if self._shown and not self._options.json:
            shown.table(self._shown)


async def _replay(settings: "Settings", store: "Store", options: Options, told: _Talk) -> "Run":
    """Make a run, until its end or the first Ctrl-C."""
    from entitlements.cli.progress import progress
    from entitlements.ingest import Ingest
    from entitlements.policy_load import load
    from entitlements.replay.run import Replay, new

    resumes = await _resumed(store, options)
    wanted = resumes.asked if resumes else asked(options, int(time.time()))
    dry_run = not options.confirmed
    deed = deeds.deed(options.actor, options.reason or ("previewed" if dry_run else ""))
    policy = await store.policy(load(settings.policy_file))  # a store that was lost has none
    ingest = Ingest(store, policy, livemode=settings.livemode)
    run = new(wanted, deed, dry_run=dry_run, resumes=resumes)
    async with _source(settings, store, wanted) as source:
        made = Replay(ingest, source, run, time.time, told)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, made.stop)
        try:
            await made.begin()
            with progress("replaying") as told.bar:
                return await made.go()
        finally:
            loop.remove_signal_handler(signal.SIGINT)


async def _resumed(store: "Store", options: Options) -> "Run | None":
    from entitlements.store import replays

    if options.resume is None:
        return None
    found = await replays.one(store, options.resume, time.time())
    if found.asked.source == "file" and not found.upto:
        raise BadRequest(
            f"{found.id} read a pipe. Give the same input with --apply: what is held already is passed over."
        )
    if found.status == "running":
        raise BadRequest(f"{found.id} still runs. Cancel it first, or let it end.")
    return found


@asynccontextmanager
async def _source(
    settings: "Settings", store: "Store", wanted: "Asked"
) -> AsyncGenerator["Source"]:
    from entitlements.replay.sources import FromFile, of_service

    if wanted.source != "file":
        yield of_service(settings, store, wanted, time.time)
    elif wanted.path == "-":
        yield FromFile(sys.stdin.buffer, wanted)
    else:
        with _opened(str(wanted.path)) as file:
            size = file.seek(0, 2) if file.seekable() else None  # a pipe may have a name as well
            yield FromFile(file, wanted, size=size)


def _opened(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise BadRequest(f"{path} cannot be read ({error.strerror}). Name another file.") from error


async def _look(store: "Store", options: Options) -> None:
    """List, show or cancel."""
    from entitlements.store import replays

    now = time.time()
    if options.show:
        run = await replays.one(store, options.show, now)
        shown.report(run, options)
        found = await replays.differences(store, run.id, 0, replays.LISTED)
        shown.differences(found, options)
    elif options.cancel:
        run = await replays.one(store, options.cancel, now)
        await replays.cancel(store, run, deeds.deed(options.actor, options.reason or ""))
        typer.echo(f"{run.id} ends after the batch at hand.", err=True)
    else:
        shown.listing(await replays.latest(store, now), options)
