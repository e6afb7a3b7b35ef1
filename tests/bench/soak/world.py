"""What a soak runs: two services and a worker on one store, as they are deployed, and what they take of memory."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from entitlements.sandbox.peer import Peer
from entitlements.store.embedded import EmbeddedStore
from tests.bench import machine
from tests.bench.soak.memory import STORE
from tests.bench.soak.stripe import There, serving
from tests.bench.stage import Server, Service, tokens
from tests.bench.subscriptions import SECRET
from tests.support.command import environment, running

RETAINED = 10 * 365
"""Days: lives go on for years, by clocks of their own."""


class World(NamedTuple):
    """Two services, and the processes of all."""

    url: str
    services: list[Server]
    processes: Mapping[str, int]
    settings: Mapping[str, str]
    """Of a command that is run beside them."""
    stripe: There

    @property
    def peers(self) -> list[Peer]:
        """Return how to speak to the services."""
        addresses = [address for service in self.services for address in service.addresses]
        urls = [f"http://{at[0]}:{at[1]}" for at in addresses if isinstance(at, tuple)]
        return [Peer(url, SECRET, tokens()[0]) for url in urls]


@contextmanager
def started(home: Path) -> Iterator[World]:
    """Run everything for as long as the block runs."""
    policy = home / "policy.toml"
    policy.write_text(f'log_retention = "{RETAINED}d"\n')
    given = {"ENTITLEMENTS_POLICY_FILE": str(policy)}
    with ExitStack() as open_:
        store = open_.enter_context(EmbeddedStore.start(home / "data"))
        services = []
        for name in ("a", "b"):
            service = Service(home / name, machine.ANYWHERE, store, given=given)
            service.start()
            open_.callback(service.stop)
            services.append(service.server)
        (home / "worker").mkdir()
        env = environment(ENTITLEMENTS_REDIS_URL=store.url, **given)
        worker = open_.enter_context(running("worker", home=home / "worker", env=env))
        worker.until('"working"')
        pids = [service.watched["server"] for service in services]
        processes = {"service a": pids[0], "service b": pids[1], "worker": worker.process.pid}
        there = open_.enter_context(serving())
        settings = {"ENTITLEMENTS_REDIS_URL": store.url, **given, **there.settings}
        yield World(store.url, services, {**processes, STORE: store.pid}, settings, there)
