"""What every test shares: hypothesis profiles, and real servers."""

import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from entitlements import logs
from entitlements.store.embedded import EmbeddedStore
from tests.support.clusters import Group, cluster, sentinel
from tests.support.servers import client, server

settings.register_profile(
    "quick", deadline=None, max_examples=100, print_blob=True, derandomize=True
)
settings.register_profile("long", deadline=None, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

REDIS = shutil.which("redis-server")
SERVERS = ["valkey", "cluster", "sentinel", *(["redis"] if REDIS else [])]
"""What the store's contract is held against: the embedded Valkey, a cluster and a primary behind Sentinels of the same
binary, and a Redis where the machine has one."""


ALONE = ["valkey", *(["redis"] if REDIS else [])]
"""Those that are one process, which a test can look into."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, whatever the order of the rest: at the end no process waits for another."""
    items.sort(key=lambda item: item.get_closest_marker("acceptance") is None)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give an empty directory whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="ent-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], str]]:
    """Give a function from the name of a server to its URL, which starts it when it is first asked for."""
    with ExitStack() as running, tempfile.TemporaryDirectory(prefix="ent-") as home:
        found: dict[str, str] = {}

        def url_of(name: str) -> str:
            if name not in found:
                found[name] = running.enter_context(_started(name, Path(home)))
            return found[name]

        yield url_of


@pytest.fixture
def store_url(servers: Callable[[str], str]) -> str:
    """Return the URL of an empty embedded store, which many tests share one after the other."""
    return _emptied(servers("valkey"))


@pytest.fixture(params=SERVERS)
def redis_url(servers: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """Return the URL of each kind of server in turn, emptied."""
    return _emptied(servers(request.param))


@pytest.fixture(params=ALONE)
def process_url(servers: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """Return the URL of each server that is one process, emptied."""
    return _emptied(servers(request.param))


@pytest.fixture
def own_store(short_path: Path) -> Iterator[EmbeddedStore]:
    """Give an embedded store that a test may set up wrongly, freeze or stop."""
    with EmbeddedStore.start(short_path / "own") as store:
        yield store


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """Give the stream that the service logs to, in JSON lines, as in production."""
    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure("json", stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before[0]
    root.setLevel(before[1])


def _started(name: str, home: Path) -> AbstractContextManager[str]:
    if name == "redis":
        assert REDIS
        return server(REDIS, home)
    return _valkey(home / name) if name == "valkey" else _group(GROUPS[name], home / name)


GROUPS = {"cluster": cluster, "sentinel": sentinel}


@contextmanager
def _group(start: Callable[[Path], AbstractContextManager[Group]], home: Path) -> Iterator[str]:
    home.mkdir()
    with start(home) as group:
        yield group.url


@contextmanager
def _valkey(home: Path) -> Iterator[str]:
    with EmbeddedStore.start(home) as store:
        yield store.url


def _emptied(url: str) -> str:
    with client(url) as found:
        found.flushall()
    return url
