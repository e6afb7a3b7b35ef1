"""`entitlements export` and `import` as their users run them: processes, files, stores, and answers that stay."""

import asyncio
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from entitlements.model import Entitlement, Subject
from entitlements.policy import BUILT_IN
from entitlements.resolve import entitlements
from entitlements.store import keys
from entitlements.store.embedded import EmbeddedStore
from tests.conftest import SERVERS
from tests.support.command import COMMAND, environment, refusal, run, running
from tests.support.customers import opened, settle
from tests.support.histories import MONTH, START
from tests.support.servers import client, until
from tests.support.stores import opened as bare

CUSTOMERS = 600


@pytest.fixture
def full(store_url: str) -> str:
    """Return a store with customers, by a policy."""

    async def begun() -> None:
        async with opened(store_url):
            pass

    asyncio.run(begun())
    settle(store_url, BUILT_IN, CUSTOMERS)
    return store_url


@pytest.fixture
def file(full: str, tmp_path: Path) -> Path:
    """Return the file of an export."""
    path = tmp_path / "store.jsonl"
    found = export(str(path), full)
    assert found.returncode == 0, found.stderr
    return path


def export(path: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Export a store."""
    return run("export", path, ENTITLEMENTS_REDIS_URL=url)


def import_(path: Path, url: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Import into a store."""
    return run("import", str(path), *options, ENTITLEMENTS_REDIS_URL=url)


def answers(url: str) -> dict[tuple[Subject, int], list[Entitlement]]:
    """Return every answer of a store, at several instants."""

    async def asked() -> dict[tuple[Subject, int], list[Entitlement]]:
        async with bare(url) as store:
            subjects = [s async for _, batch in store.subjects() for s in batch]
            records = await store.customers(subjects)
            return {
                (subject, at): entitlements(record, at)
                for subject, record in zip(subjects, records, strict=True)
                for at in (START, START + MONTH, START + 4 * MONTH)
            }

    return asyncio.run(asked())


@pytest.mark.parametrize("kind", SERVERS)
def test_answers_are_the_same_on_the_other_server(
    file: Path, full: str, own_store: EmbeddedStore, servers: Callable[[str], str], kind: str
) -> None:
    """And on the way back."""
    target = own_store.url if kind == "valkey" else servers(kind)
    with client(target) as plain:
        plain.flushall()
    before = answers(full)
    assert len(before) == CUSTOMERS * 3

    found = import_(file, target, "--apply")
    assert (found.returncode, found.stdout.split()[1:]) == (
        0,
        ["keys", "are", "in", "the", "store."],
    )
    assert answers(target) == before

    back = file.with_name("back.jsonl")
    assert export(str(back), target).returncode == 0
    with client(full) as plain:
        plain.flushall()
    assert import_(back, full, "--apply").returncode == 0
    assert answers(full) == before


def test_the_file_is_for_its_owner_and_overwrites_nothing(file: Path, full: str) -> None:
    """Events are customers' data; a file that is there may be the only one."""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "is there already" in refusal(export(str(file), full))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_that_cannot_be_made_or_read_is_named(full: str, tmp_path: Path) -> None:
    """Before the store is touched."""
    assert "no/where cannot be written" in refusal(export(str(tmp_path / "no/where"), full))
    assert "no/where cannot be read" in refusal(import_(tmp_path / "no/where", full))


def test_import_alone_only_looks(file: Path, own_store: EmbeddedStore) -> None:
    """It says what would be written."""
    found = import_(file, own_store.url)
    assert found.returncode == 0
    assert "string" in found.stderr
    assert "Nothing is written" in found.stderr
    with client(own_store.url) as plain:
        assert plain.dbsize() == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda content: content[:-300], "cut off"),
        (lambda content: content.replace(b'"granted":true', b'"granted":none', 1), "checksum"),
        (lambda content: content.replace(b"cus_1", b"cus_2", 1), "checksum"),
        (lambda _: b"", "line 1: the end is missing"),
        (lambda _: b"PK\x03\x04", "line 1: its checksum"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_before_anything_is_written(
    file: Path, own_store: EmbeddedStore, change: Callable[[bytes], bytes], complaint: str
) -> None:
    """With the line."""
    content = file.read_bytes()
    changed = change(content)
    file.write_bytes(changed if changed != content else content[:-1])
    assert "line " in (said := refusal_after_talk(import_(file, own_store.url, "--apply")))
    assert complaint in said or changed == content
    with client(own_store.url) as plain:
        assert plain.dbsize() == 0


def refusal_after_talk(finished: "subprocess.CompletedProcess[str]") -> str:
    """Return the sentence that a command ended with, whatever it said before."""
    assert finished.returncode == 2, finished
    return finished.stderr.splitlines()[-1].removeprefix("entitlements: ")


def test_a_store_that_holds_something_is_refused(file: Path, full: str) -> None:
    """Also with --resume: it is no half of this file."""
    for options in ((), ("--apply",), ("--apply", "--resume")):
        assert "not empty" in refusal_after_talk(import_(file, full, *options))


def test_it_goes_through_pipes(full: str, own_store: EmbeddedStore) -> None:
    """As a file, with nothing on the disk."""
    exported = subprocess.run(
        [*COMMAND, "export", "-"],
        env=environment(ENTITLEMENTS_REDIS_URL=full),
        capture_output=True,
        check=True,
    )
    subprocess.run(
        [*COMMAND, "import", "-", "--apply"],
        env=environment(ENTITLEMENTS_REDIS_URL=own_store.url),
        input=exported.stdout,
        capture_output=True,
        check=True,
    )
    assert answers(own_store.url) == answers(full)


def test_killed_in_the_middle_it_goes_on(
    file: Path, full: str, own_store: EmbeddedStore, tmp_path: Path
) -> None:
    """With --resume alone; the answers are the same in the end."""
    env = environment(ENTITLEMENTS_REDIS_URL=own_store.url)
    with (
        client(own_store.url) as plain,
        running("import", str(file), "--apply", home=tmp_path, env=env) as going,
    ):
        until(lambda: int(plain.hget(keys.IMPORT, "line") or 0) > 0)
        going.stop(signal.SIGKILL)
        assert plain.exists(keys.IMPORT), "it had ended already"
    assert "--resume" in refusal_after_talk(import_(file, own_store.url, "--apply"))
    assert "half of another" in refusal(run("quarantine", "list", **env_of(own_store.url)))

    assert import_(file, own_store.url, "--apply", "--resume").returncode == 0
    assert answers(own_store.url) == answers(full)


def env_of(url: str) -> dict[str, str]:
    """Return the setting that names a store."""
    return {"ENTITLEMENTS_REDIS_URL": url}


def test_an_export_that_is_killed_leaves_no_whole_file(full: str, tmp_path: Path) -> None:
    """What looks like an export is one; the next run makes it."""
    out = tmp_path / "out"
    out.mkdir()
    with running(
        "export", str(out / "store.jsonl"), home=tmp_path, env=environment(**env_of(full))
    ) as going:
        until(lambda: [*out.iterdir()])
        going.stop(signal.SIGKILL)
    assert [path.name for path in out.iterdir()] == ["store.jsonl.partial"]
    assert export(str(out / "store.jsonl"), full).returncode == 0
    assert [path.name for path in out.iterdir()] == ["store.jsonl"]
