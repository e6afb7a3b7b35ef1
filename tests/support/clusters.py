"""Real clusters and real Sentinels on free ports of this machine, from the embedded store's binary."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from entitlements.store.embedded import binary, launcher
from tests.support.servers import SAFE, until

HOST = "127.0.0.1"
SERVICE = "main"

LAG = 1_000
"""Milliseconds without a sign of life until a cluster calls a node dead; real ones wait for 15,000."""

DOWN = 500
"""Likewise for Sentinels; real ones wait for 30,000."""


class Node:
    """One server, its data in a directory of its own: it may be killed, and started again as it was."""

    def __init__(self, home: Path, port: int, options: list[str], executable: str) -> None:
        home.mkdir()
        self.home, self.port, self._options = home, port, options
        self._executable = executable
        self.start()

    def start(self, *options: str) -> None:
        """Start it, and return at once. Options come after its own, and win."""
        where = ["--port", str(self.port), "--bind", HOST, "--dir", str(self.home)]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*launcher(), self._executable, *self._options, *where, *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it as a power cut would, but for what the kernel still writes."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it, whatever state it is in."""
        self.process.kill()
        self.process.wait()

    def client(self) -> "redis.Redis":
        """Return a client of this server alone."""
        return redis.Redis(host=HOST, port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def ask(self, *command: str | int) -> Any:  # noqa: ANN401  whatever the server replies
        """Ask it something; nothing where it does not answer."""
        with suppress(redis.ConnectionError, redis.TimeoutError), self.client() as found:
            return found.execute_command(*command)
        return None

    def role(self) -> str:
        """Return `master`, `slave`, or nothing where it does not answer."""
        said = self.ask("ROLE")
        return said[0].decode() if said else ""


class Group:
    """Servers that belong together, and the URL under which a store finds them."""

    def __init__(self, url: str, nodes: list[Node]) -> None:
        self.url = url
        self.nodes = nodes

    def primaries(self) -> list[Node]:
        """Return the servers that take writes."""
        return [node for node in self.nodes if node.role() == "master"]

    def bring_back(self, dead: Node) -> None:
        """Start a primary that was killed and has been replaced: as the replica of the one that has its place.

        The nodes of a cluster see to that themselves; Sentinels do too, ten seconds later.
        """
        if self.url.startswith("redis+cluster"):
            dead.start()
        else:
            (primary,) = (node for node in self.primaries() if node is not dead)
            dead.start("--replicaof", HOST, str(primary.port))


@contextmanager
def cluster(home: Path, executable: str | None = None) -> Iterator[Group]:
    """Run three primaries with a replica each; the first three are the primaries."""
    ports = free_ports(12)
    with ExitStack() as running:
        nodes: list[Node] = []
        for n, (port, bus) in enumerate(zip(ports[::2], ports[1::2], strict=True)):
            options = [*_data_options(), "--cluster-enabled", "yes", "--cluster-port", str(bus)]
            options += [
                "--cluster-node-timeout",
                str(LAG),
                "--cluster-replica-validity-factor",
                "0",
            ]
            nodes.append(
                _run(running, Node(home / f"node{n}", port, options, executable or binary()))
            )
        _join(nodes, ports[1::2])
        yield Group("redis+cluster://" + _hosts(nodes[:3]), nodes)


@contextmanager
def sentinel(home: Path, executable: str | None = None) -> Iterator[Group]:
    """Run a primary, its replica, and three Sentinels that watch them."""
    ports = free_ports(5)
    with ExitStack() as running:
        data = [
            _run(running, Node(home / f"data{n}", port, _data_options(), executable or binary()))
            for n, port in enumerate(ports[:2])
        ]
        until(lambda: all(node.role() for node in data))
        data[1].ask("REPLICAOF", HOST, ports[0])
        until(lambda: _in_step(data[1]))
        watchers = [
            _run(
                running, _sentinel(home / f"sentinel{port}", port, ports[0], executable or binary())
            )
            for port in ports[2:]
        ]
        until(lambda: all(_informed(watcher) for watcher in watchers), 20)
        yield Group(f"redis+sentinel://{_hosts(watchers)}/{SERVICE}/0", data)


def _sentinel(home: Path, port: int, primary: int, executable: str) -> Node:
    config = home.with_suffix(".conf")
    config.write_text(
        f"sentinel monitor {SERVICE} {HOST} {primary} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} {DOWN}\n"
        f"sentinel failover-timeout {SERVICE} 4000\n"
    )
    return Node(home, port, [str(config), "--sentinel"], executable)


def _informed(watcher: Node) -> bool:
    """Return whether a Sentinel knows the replica and the other two."""
    known = watcher.ask("SENTINEL MASTERS")
    return (
        bool(known)
        and known[SERVICE]["num-slaves"] == 1
        and known[SERVICE]["num-other-sentinels"] == 2
    )


def _join(nodes: list[Node], buses: list[int]) -> None:
    until(lambda: all(node.role() for node in nodes))
    primaries, replicas = nodes[:3], nodes[3:]
    for n, node in enumerate(primaries):
        node.ask("CLUSTER ADDSLOTSRANGE", *_slots(n))
    for n, node in enumerate(nodes):
        node.ask("CLUSTER SET-CONFIG-EPOCH", n + 1)
        nodes[0].ask("CLUSTER MEET", HOST, node.port, buses[n])
    until(lambda: all(_know(node, len(nodes)) for node in nodes))
    for primary, replica in zip(primaries, replicas, strict=True):
        replica.ask("CLUSTER REPLICATE", _text(primary.ask("CLUSTER MYID")))
    until(lambda: all(_in_step(replica) for replica in replicas))
    until(lambda: all(_whole(node) for node in nodes))


def _slots(n: int) -> tuple[int, int]:
    return (16384 * n) // 3, (16384 * (n + 1)) // 3 - 1


def _know(node: Node, others: int) -> bool:
    known = node.ask("CLUSTER NODES")
    return len(known) == others and not any("handshake" in said["flags"] for said in known.values())


def _whole(node: Node) -> bool:
    said = node.ask("CLUSTER INFO")
    shards = node.ask("CLUSTER SLOTS")  # each: first slot, last slot, primary, replicas
    return said["cluster_state"] == "ok" and all(len(shard) > 3 for shard in shards)


def _in_step(replica: Node) -> bool:
    said = replica.ask("INFO", "replication") or {}
    return said.get("master_link_status") == "up"


def _run(running: ExitStack, node: Node) -> Node:
    running.callback(node.stop)
    return node


def _data_options() -> list[str]:
    return [*SAFE, "--save", "", "--repl-diskless-sync-delay", "0"]


def _hosts(nodes: list[Node]) -> str:
    return ",".join(f"{HOST}:{node.port}" for node in nodes)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now: all of them are held at once, so that none comes twice."""
    with ExitStack() as held:
        found = []
        for _ in range(count):
            probe = held.enter_context(socket.socket())
            probe.bind((HOST, 0))
            found.append(probe.getsockname()[1])
        return found


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
