"""The measurement of replays works: everything that it fills a store with is held, and found to be."""

import pytest

from tests.bench.replayed import main


def test_a_small_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for the log and one for the file, with a rate and the memory."""
    assert main(["--customers", "60", "--rounds", "1"]) == 0
    log, file = capsys.readouterr().out.splitlines()
    assert log.startswith("log   600 events")
    assert file.startswith("file  600 events")
    assert "MiB" in log
