"""A bar for long work, on a terminal's standard error; nothing anywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(doing: str) -> Iterator[Callable[[float | None, str], None]]:
    """Show how far some work is; give what is told the share done (0 to 1, null if nobody knows) and a word on it."""
    if not sys.stderr.isatty():
        yield lambda _share, _said: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(doing),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(doing, total=1.0, said="")
        yield lambda share, said: bar.update(
            task, total=None if share is None else 1.0, completed=share or 0.0, said=said
        )
