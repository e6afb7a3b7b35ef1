"""The measure of freshness measures: each change once, at every reader."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from entitlements.store.embedded import EmbeddedStore
from tests.bench import freshness, machine
from tests.bench.stage import Service


@pytest.mark.asyncio
async def test_a_change_is_timed_at_every_reader(short_path: Path) -> None:
    """Queries and feeds, of the process that took it and of another."""
    with EmbeddedStore.start(short_path / "store") as store, ExitStack() as stopping:
        served = [Service(short_path / name, machine.ANYWHERE, store) for name in ("a", "b")]
        for one in served:
            one.start()
            stopping.callback(one.stop)
        found = await freshness.measured([freshness.url(one) for one in served], 3)

    assert [len(took) for took in found.values()] == [3] * 4
