"""`entitlements policy` as its users run it: a process, a file and a store."""

import asyncio
import csv
import io
import subprocess
from pathlib import Path

import pytest

from tests.support.command import refusal, run
from tests.support.customers import fill, opened

POLICY = '[pause_collection]\nvoid = "revoke"\n'


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return a policy file by which those lose who are paused with void."""
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return str(path)


@pytest.fixture
def url(store_url: str) -> str:
    """Return a store with two customers, one of them paused."""

    async def filled() -> None:
        async with opened(store_url) as store:
            await fill(store, paused=1, active=1)

    asyncio.run(filled())
    return store_url


def policy(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the group against a store."""
    return run("policy", *arguments, ENTITLEMENTS_REDIS_URL=url)


def in_force(url: str) -> str:
    """Return the digest of the policy in force."""

    async def asked() -> str:
        async with opened(url) as store:
            return (await store.policy_in_force()).digest

    return asyncio.run(asked())


def test_check_prints_the_effective_table(file: str) -> None:
    """Stated cells and built-in ones stand together; the digest is talk."""
    found = run("policy", "check", file)

    assert found.returncode == 0
    assert "pause_collection.void" in found.stdout
    assert "status.past_due" in found.stdout
    assert found.stderr.startswith("digest ")


def test_a_file_with_a_slip_is_refused_with_its_line(tmp_path: Path) -> None:
    """And the nearest valid name."""
    path = tmp_path / "policy.toml"
    path.write_text('[status]\nactiv = "grant"\n')

    found = run("policy", "check", str(path))

    assert found.returncode == 2
    assert f"{path}:2: status.activ: is not known here: did you mean active?" in found.stderr


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """It is named."""
    assert "nowhere.toml cannot be read" in refusal(
        run("policy", "check", str(tmp_path / "nowhere.toml"))
    )


def test_preview_sums_up_and_writes_nothing(file: str, url: str) -> None:
    """One customer would lose one feature."""
    before = in_force(url)
    found = policy("preview", file, url=url)

    assert found.returncode == 0
    assert [line.split() for line in found.stdout.splitlines()[1:]] == [
        ["customers", "0", "1", "0"],
        ["pro", "0", "1", "0"],
    ]
    assert "2 customers looked at" in found.stderr
    assert in_force(url) == before


def test_preview_as_csv_names_them(file: str, url: str) -> None:
    """Standard output is the table alone."""
    found = policy("preview", file, "--csv", url=url)

    (line,) = csv.DictReader(io.StringIO(found.stdout))
    assert (line["customer"], line["kind"], line["reason"]) == ("cus_0", "loses", "paused_void")


def test_apply_alone_only_previews(file: str, url: str) -> None:
    """Whoever wants it done says so."""
    before = in_force(url)
    found = policy("apply", file, url=url)

    assert (found.returncode, in_force(url)) == (0, before)
    assert "Nothing is written" in found.stderr


def test_a_loss_over_the_limit_stops_a_release(file: str, url: str) -> None:
    """Half of the customers would lose access: a person has to confirm."""
    before = in_force(url)
    found = policy("apply", file, "--max-loss", "0.4", url=url)

    assert (found.returncode, in_force(url)) == (1, before)
    assert "50.00% of the customers would lose access" in found.stderr


@pytest.mark.parametrize("how", [("--apply",), ("--max-loss", "0.5")])
def test_a_confirmed_policy_is_put_in_force(file: str, url: str, how: tuple[str, ...]) -> None:
    """By a person, or within the limit; a second run finds nothing left to do."""
    before = in_force(url)
    found = policy("apply", file, *how, url=url)

    assert found.returncode == 0, found.stderr
    assert "2 customers were decided anew" in found.stdout
    assert in_force(url) != before
    assert "0 customers were decided anew" in policy("apply", file, *how, url=url).stdout
