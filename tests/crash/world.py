"""The real thing, to be killed: `entitlements serve` as processes, on a store of their own or on one they share."""

import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from entitlements.cli.token import digest
from entitlements.sandbox.peer import Peer
from entitlements.store.embedded import EmbeddedStore, running_url
from tests.support.bodies import SECRET
from tests.support.command import environment, running, serving, store_pid
from tests.support.servers import until
from tests.support.service import READ


class Process:
    """A service at an address that stays the same from one start to the next."""

    def __init__(self, home: Path, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.peer = Peer(f"http://127.0.0.1:{port}", SECRET, READ)
        self._home = home
        self._starts = 0
        self._env = environment(
            PORT=str(port),
            ENTITLEMENTS_WEBHOOK_SECRETS=SECRET,
            ENTITLEMENTS_TOKENS=f"crash:read:{digest(READ).hex()}",
            **settings,
        )
        self._running = ExitStack()

    def start(self) -> None:
        """Return once it answers. What each start says goes to a directory of its own."""
        home = self._home / str(self._starts)
        home.mkdir(parents=True)
        self._starts += 1
        serving(self._running.enter_context(running("serve", home=home, env=self._env)))

    def kill(self) -> None:
        """Send SIGKILL, and wait until it is gone."""
        self._running.close()


class World(Protocol):
    """One store and the services on it."""

    @property
    def services(self) -> Sequence[Process]:
        """Return those that deliveries go to."""

    @property
    def victims(self) -> Mapping[str, Callable[[], None]]:
        """Return what can be killed: by name, what kills it and starts it again."""

    @property
    def url(self) -> str:
        """Return where the store is."""

    def close(self) -> None:
        """End everything."""


class Shared:
    """Two services on one store."""

    def __init__(self, home: Path) -> None:
        self._home = home / "store"
        self._store = EmbeddedStore.start(self._home)
        url = {"ENTITLEMENTS_REDIS_URL": self.url}
        self.services = [Process(home / name, **url) for name in ("a", "b")]
        for service in self.services:
            service.start()

    @property
    def url(self) -> str:
        """Return where the store is."""
        return self._store.url

    @property
    def victims(self) -> Mapping[str, Callable[[], None]]:
        """Either service, the store, or everything at once."""
        first, second = self.services
        return {
            "service": lambda: self._restart(first),
            "other service": lambda: self._restart(second),
            "store": self._restart_store,
            "all": lambda: self._restart(first, second, with_store=True),
        }

    def _restart(self, *services: Process, with_store: bool = False) -> None:
        for service in services:
            service.kill()
        if with_store:
            self._restart_store()
        for service in services:
            service.start()

    def _restart_store(self) -> None:
        os.kill(self._store.pid, signal.SIGKILL)
        self._store.stop()
        self._store = EmbeddedStore.start(self._home)

    def close(self) -> None:
        """End everything."""
        for service in self.services:
            service.kill()
        self._store.stop()


class Embedded:
    """One service with a store of its own."""

    def __init__(self, home: Path) -> None:
        self._data = home / "data"
        self.services = [Process(home / "serve", ENTITLEMENTS_DATA_DIR=str(self._data))]
        self.services[0].start()

    @property
    def url(self) -> str:
        """Return where the embedded store is."""
        url = running_url(self._data)
        assert url
        return url

    @property
    def victims(self) -> Mapping[str, Callable[[], None]]:
        """The service, whose store then ends in order; the store, whose service then ends; or both."""
        return {"service": self._service, "store": self._store, "all": self._all}

    def _service(self) -> None:
        (service,) = self.services
        service.kill()
        service.start()

    def _store(self) -> None:
        os.kill(store_pid(self._data), signal.SIGKILL)
        self._service()

    def _all(self) -> None:
        pid = store_pid(self._data)
        self.services[0].kill()
        _end(pid)
        self.services[0].start()

    def close(self) -> None:
        """End everything."""
        url = running_url(self._data)
        self.services[0].kill()
        until(lambda: url is None or running_url(self._data) is None)


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it had heard of its owner's end


KINDS: Mapping[str, Callable[[Path], World]] = {"shared": Shared, "embedded": Embedded}


@contextmanager
def started(kind: str, home: Path) -> Iterator[World]:
    """Run a world for as long as the block runs."""
    found = KINDS[kind](home)
    try:
        yield found
    finally:
        found.close()
