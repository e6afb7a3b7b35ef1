"""The processes of a benchmark: the service as it is run, the floors, and a store for these; each in its place."""

import hashlib
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from entitlements.store import keys
from entitlements.store.embedded import EmbeddedStore
from tests.bench import machine
from tests.bench.floors import HOST
from tests.bench.job import Address
from tests.bench.subscriptions import SECRET
from tests.support.clusters import free_ports
from tests.support.command import COMMAND, PATIENCE, environment, running, serving, store_pid
from tests.support.servers import client, until

TOP = Path(__file__).parents[2]


NONE: Mapping[str, str] = {}


class Server(NamedTuple):
    """Something that takes requests: where, and in which processes."""

    addresses: list[Address]
    watched: Mapping[str, int]

    def beside(self, other: "Server") -> "Server":
        """Return this one and another one, as if they were one."""
        named = {
            f"{name}-2" if name in self.watched else name: p for name, p in other.watched.items()
        }
        return Server([*self.addresses, *other.addresses], {**self.watched, **named})


def tokens(count: int = 1) -> list[str]:
    """Return the bearer tokens of so many callers."""
    return [f"ent_read_of_the_benchmark_{n}" for n in range(count)]


def settings(count: int = 1) -> dict[str, str]:
    """Return the settings of a service with so many callers, all but where its store is."""
    digests = [hashlib.sha256(token.encode()).hexdigest() for token in tokens(count)]
    callers = [f"caller-{n}:read:{digest}" for n, digest in enumerate(digests)]
    return {
        "PORT": "0",
        "ENTITLEMENTS_WEBHOOK_SECRETS": SECRET,
        "ENTITLEMENTS_TOKENS": ",".join(callers),
        "ENTITLEMENTS_DURABILITY": "fsync",
        "ENTITLEMENTS_LOG_FORMAT": "json",
    }


class Service:
    """`entitlements serve`, to be started and started again: with a store of its own, or on one that runs already."""

    server: Server

    def __init__(
        self,
        home: Path,
        places: machine.Places,
        store: Path | EmbeddedStore,
        callers: int = 1,
        given: Mapping[str, str] = NONE,
    ) -> None:
        self._home = home
        self._places = places
        self._store = store
        where = (
            {"ENTITLEMENTS_DATA_DIR": str(store)}
            if isinstance(store, Path)
            else {"ENTITLEMENTS_REDIS_URL": store.url}
        )
        self._env = environment(**settings(callers), **where, **given)
        self._starts = 0
        self._running = ExitStack()

    def start(self) -> float:
        """Return once it answers; return the seconds that it took."""
        home = self._home / f"start-{self._starts}"
        home.mkdir(parents=True)
        self._starts += 1
        began = time.monotonic()
        with machine.pinned(self._places.server):
            process = self._running.enter_context(
                running("serve", home=home, command=COMMAND, env=self._env)  # as it is started
            )
        self._running.callback(process.stop)
        url = urlsplit(serving(process).url)
        took = time.monotonic() - began
        watched = {"server": process.process.pid, "store": self._pid_of_store()}
        self.server = Server([(str(url.hostname), int(url.port or 0))], watched)
        return took

    def stop(self) -> None:
        """End it, and the store that it brought."""
        self._running.close()

    def _pid_of_store(self) -> int:
        if isinstance(self._store, EmbeddedStore):
            return self._store.pid
        pid = store_pid(self._store)
        machine.move(pid, self._places.load)
        return pid


@contextmanager
def floor(name: str, home: Path, store: EmbeddedStore, places: machine.Places) -> Iterator[Server]:
    """Run a floor for as long as the block runs."""
    (home / name).mkdir()
    (port,) = free_ports(1)
    command = (sys.executable, "-m", "tests.bench.floors")
    env = environment(PYTHONPATH=str(TOP))
    with (
        machine.pinned(places.server),
        running(name, str(port), store.url, home=home / name, command=command, env=env) as process,
    ):
        until(lambda: _listens(port), PATIENCE)
        watched = {"server": process.process.pid, "store": store.pid}
        yield Server([(HOST, port)], watched)


def _listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection((HOST, port)):
        return True
    return False


def entries(url: str, stream: str) -> int:
    """Count the entries of a stream, the `log` or the `changes`, in all partitions of a store."""
    with client(url) as plain, plain.pipeline(transaction=False) as pipe:
        for p in range(keys.PARTITIONS):
            pipe.xlen(keys.shared(p, stream))
        return sum(pipe.execute())
