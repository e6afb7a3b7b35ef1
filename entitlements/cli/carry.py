"""`entitlements export` and `entitlements import`: a store from one server to another, whatever their versions."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import typer

if TYPE_CHECKING:
    from entitlements.settings import Settings
    from entitlements.store.lines import End, Header, Part, Sums
    from entitlements.store.store import Store


def export(
    file: Annotated[Path, typer.Argument(help="The file to make, or - for standard output.")],
) -> None:
    """Write all that the store holds to a file of JSON lines, which any other server can import.

    The service may run meanwhile: what it is sent after the export began may be missing from the file. Let it serve no
    webhooks until the import is done (Stripe sends them again), or replay the log afterwards.
    """
    from entitlements.cli import running

    settings = running.settings_from_environment()
    with running.any_store_url(settings) as url, _made(file) as out:
        sums = asyncio.run(_export(settings, url, out))
    _report(sums.keys)


def import_(
    file: Annotated[Path, typer.Argument(help="A file that export made, or - for standard input.")],
    *,
    confirmed: Annotated[
        bool, typer.Option("--apply", help="Write; without it only look.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an import that was stopped.")
    ] = False,
) -> None:
    """Fill an empty store with what was exported, after checking the whole file.

    Without --apply nothing is written. Stopped in the middle, it goes on with --resume and the same file; until it has
    ended, no service starts on that store.
    """
    from entitlements.cli import running

    settings = running.settings_from_environment()
    with _opened(file) as source:
        found = _checked(source)
        _report(found.end.keys)
        with running.any_store_url(settings) as url:
            asyncio.run(_import(settings, url, found, confirmed=confirmed, resume=resume))


class _File(NamedTuple):
    """A file that was checked, and its first and last lines."""

    source: BinaryIO
    header: "Header"
    end: "End"


async def _export(settings: "Settings", url: str, out: BinaryIO) -> "Sums":
    from entitlements.cli.progress import progress
    from entitlements.store import dump
    from entitlements.store.lines import Sums, written
    from entitlements.store.store import Store

    sums = Sums()
    store = await Store.open(url, name="entitlements-export", durability=settings.durability)
    try:
        with progress("exporting") as bar:
            out.write(written(sums, await dump.header(store, int(time.time()))))
            async for step in dump.dump(store):
                out.writelines(written(sums, part) for part in step.found)
                bar(step.share, f"{sums.keys.total()} keys")
            out.write(written(sums, sums.end()))
    finally:
        await store.close()
    return sums


async def _import(
    settings: "Settings", url: str, file: _File, *, confirmed: bool, resume: bool
) -> None:
    from entitlements.errors import Conflict
    from entitlements.store import load

    async with load.opened(url, file.header.partitions, settings.durability) as store:
        last = await load.progress(store, file.end.sha256)
        if last and not resume:
            raise Conflict(
                f"An import of this file stopped at line {last}. Go on with --resume, or empty the store."
            )
        if not confirmed:
            typer.echo("Nothing is written. Import it with --apply.", err=True)
            return
        await _load(store, file, last)
    typer.echo(f"{sum(file.end.keys.values())} keys are in the store.")


async def _load(store: "Store", file: _File, last: int) -> None:
    from entitlements.cli.progress import progress
    from entitlements.store import load

    size = file.source.seek(0, os.SEEK_END)
    file.source.seek(0)
    with progress("importing") as bar:
        async for line in load.load(store, file.end.sha256, _parts(file.source), last):
            bar(file.source.tell() / size, f"line {line}")


def _parts(source: BinaryIO) -> "Iterator[tuple[int, Part]]":
    from entitlements.store.lines import Part, read

    return ((n, value) for n, value in read(source) if isinstance(value, Part))


def _checked(source: BinaryIO) -> _File:
    """Read a whole file. Raises BadRequest."""
    from entitlements.cli.progress import progress
    from entitlements.store.lines import End, Header, read

    header, end, size = None, None, source.seek(0, os.SEEK_END)
    source.seek(0)
    with progress("checking") as bar:
        for n, value in read(source):
            header = value if isinstance(value, Header) else header
            end = value if isinstance(value, End) else end
            bar(source.tell() / size, f"line {n}")
    assert header, "read() begins with one"
    assert end, "read() ends with one"
    return _File(source, header, end)


@contextmanager
def _made(file: Path) -> Generator[BinaryIO]:
    """Give a file for its owner's eyes only, which has its name once it is whole."""
    from entitlements.errors import BadRequest

    if str(file) == "-":
        yield sys.stdout.buffer
        return
    if file.exists():
        raise BadRequest(f"{file} is there already. Name another file, or remove it.")
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        partial.rename(file)
    except OSError as error:
        raise BadRequest(f"{file} cannot be written ({error.strerror}).") from error


@contextmanager
def _opened(file: Path) -> Generator[BinaryIO]:
    """Give a file that can be read twice: standard input goes through a private one that has no name."""
    from entitlements.errors import BadRequest

    try:
        if str(file) != "-":
            with file.open("rb") as source:
                yield source
            return
        with tempfile.TemporaryFile() as source:
            shutil.copyfileobj(sys.stdin.buffer, source)
            yield source
    except OSError as error:
        raise BadRequest(f"{file} cannot be read ({error.strerror}).") from error


def _report(keys: Mapping[str, int]) -> None:
    from entitlements.cli import tables

    rows = [(kind, str(count)) for kind, count in keys.items()]
    tables.show(("type", "keys"), rows, err=True)
