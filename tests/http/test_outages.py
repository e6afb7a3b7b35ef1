"""A store that fails, in each of the ways in which it can: a 503 soon, a line of the log, and then all well again."""

import asyncio
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from random import Random
from string import ascii_letters
from typing import Any

import pytest

from entitlements.model import Subject
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from entitlements.store.embedded import EmbeddedStore, binary
from tests.support.bodies import event, subscription, update
from tests.support.servers import SOON, Breakable, breakable, client, frozen, until
from tests.support.service import Service, serving

PLAIN = subscription()
FIRST = event(PLAIN)
NOISE = {f"key_{n}": "".join(Random(n).choices(ascii_letters, k=400)) for n in range(20)}  # noqa: S311  no secret
"""Metadata that no packing makes smaller than a block of a disk, in whose last one a full disk has room."""

MOVES = update(PLAIN, PLAIN | {"status": "unpaid", "metadata": NOISE})
IGNORED = event({}, "invoice.paid", id="evt_5")
OFTEN = 0.05
STATES = {"store_unreachable", "store_unsafe", "store_remarks", "feed_interrupted"}
RECOVERY = 10.0
"""Seconds within which it is all well again: for the slowest of servers on the busiest of machines."""

GONE = ("Connection refused", "connection was lost", "ConnectionError")
"""How a server that is not there any more is told of."""

Breaking = Callable[[EmbeddedStore], AbstractContextManager[str]]


@contextmanager
def read_only(store: EmbeddedStore) -> Iterator[str]:
    """Make a server the replica of one that is not there, as a failover leaves an old primary."""
    with client(store.url) as plain:
        plain.replicaof("127.0.0.1", 1)
        yield store.url
        plain.replicaof("NO", "ONE")


@contextmanager
def set_to(parameter: str, bad: str, store: EmbeddedStore) -> Iterator[str]:
    """Set a parameter that keeps a server from writing, and back."""
    with client(store.url) as plain:
        before = plain.config_get(parameter)[parameter]
        plain.config_set(parameter, bad)
        yield store.url
        plain.config_set(parameter, str(before))


def full(store: EmbeddedStore) -> AbstractContextManager[str]:
    """Leave no memory."""
    return set_to("maxmemory", "1", store)


def without_replicas(store: EmbeddedStore) -> AbstractContextManager[str]:
    """Ask for a replica that is not there."""
    return set_to("min-replicas-to-write", "1", store)


@contextmanager
def misconfigured(store: EmbeddedStore) -> Iterator[str]:
    """Have a snapshot fail that the server was told to make: it takes no writes until one succeeds."""
    with client(store.url) as plain:
        place = Path(str(plain.config_get("dir")["dir"])) / "dump.rdb"
        place.mkdir()
        plain.config_set("save", "3600 1")
        plain.bgsave()
        until(lambda: plain.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield store.url
        place.rmdir()
        plain.bgsave()


@contextmanager
def hung(store: EmbeddedStore) -> Iterator[str]:
    """Stop a server where it stands."""
    with frozen(store.pid):
        yield store.url


@contextmanager
def killed(store: Breakable) -> Iterator[str]:
    """End a server, and start it again."""
    store.kill()
    yield store.url
    store.start()


@contextmanager
def loading(store: Breakable) -> Iterator[str]:
    """Restart a server whose file takes long to read: what it has read so far is no answer yet."""
    with client(store.url) as plain:
        plain.config_set("rdbcompression", "no")
        plain.mset({f"filler:{n}": "x" * 4096 for n in range(1_000)})
        plain.bgrewriteaof()  # into the form whose loading can be slowed down, key by key
        until(lambda: plain.info("persistence")["aof_rewrite_in_progress"] == 0)
    store.kill()
    store.start("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
    with client(store.url) as plain:
        yield store.url
        assert plain.info("persistence")["loading"] == 1
        plain.config_set("key-load-delay", 0)


@contextmanager
def disk_full(store: Breakable) -> Iterator[str]:
    """Fill the disk of a server, which under `always` ends rather than acknowledge what it could not write."""
    with (store.home / "filler").open("wb") as filler:
        free = os.statvfs(store.home)
        os.posix_fallocate(filler.fileno(), 0, free.f_bavail * free.f_frsize)
    yield store.url
    until(store.ended)
    (store.home / "filler").unlink()
    store.start()


def facts(url: str) -> list[str]:
    """Return the events that the log and the records hold of the customer, and of nobody."""
    with client(url) as plain:
        held: list[Any] = [
            plain.xrange(keys.shared(keys.partition(name, keys.PARTITIONS), "log"))
            for name in (str(Subject("cus_1")), "evt_5")
        ]
    return sorted({fields[b"event"].decode() for log in held for _, fields in log})


async def refused(service: Service, body: Body) -> None:
    """Deliver; fail unless it is refused soon, and for Stripe to send again."""
    began = time.monotonic()
    response = await service.deliver(body)
    assert time.monotonic() - began < SOON
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"].endswith(".")


async def taken(service: Service, body: Body) -> str:
    """Deliver until it is taken; return the outcome."""
    deadline = time.monotonic() + RECOVERY
    while (response := await service.deliver(body)).status_code == 503:
        assert time.monotonic() < deadline, response.json()
        await asyncio.sleep(0.01)
    return str(response.json()["outcome"])


def told(lines: io.StringIO, *said: str) -> None:
    """Fail unless the log has one line for each of two refusals, which names the cause, and of the store what it is."""
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    about = [line for line in logged if line["event"] == "webhook_refused"]
    assert len(about) == 2
    assert all(any(word in line["detail"] for word in said) for line in about)
    states = [line["event"] for line in logged if line["event"] != "webhook_refused"]
    assert len(states) == len(set(states))
    assert set(states) <= STATES


async def endures(
    service: Service,
    lines: io.StringIO,
    broken: AbstractContextManager[str],
    *said: str,
    reads: bool = False,
) -> None:
    """Fail unless what is sent during an outage is refused with its cause, and applied once after it.

    `reads` tells whether the store still answers questions.
    """
    assert await taken(service, FIRST) == "applied"
    lines.truncate(0)
    lines.seek(0)
    with broken as url:
        await refused(service, MOVES)
        await refused(service, IGNORED)
        told(lines, *said)
        answer = await service.ask("/v1/customers/cus_1/entitlements/pro")
        assert answer.status_code == (200 if reads else 503)
    assert await taken(service, MOVES) == "applied"
    assert await taken(service, IGNORED) in {"ignored", "duplicate"}  # a write may wait in a socket
    assert facts(url) == ["evt_1", "evt_2", "evt_5"]
    assert [await taken(service, body) for body in (FIRST, MOVES, IGNORED)] == ["duplicate"] * 3


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (read_only, ("READONLY", "it is a replica")),
        (full, ("OOM",)),
        (without_replicas, ("NOREPLICAS",)),
        (misconfigured, ("MISCONF",)),
        (hung, ("Timeout", "connecting", "in time")),
    ],
)
async def test_a_store_that_cannot_write(
    own_store: EmbeddedStore, log_lines: io.StringIO, broken: Breaking, said: tuple[str, ...]
) -> None:
    """A replica, a full one, one whose replicas are missing, one that refuses by itself, one that hangs."""
    async with serving(own_store.url, watch_every=OFTEN) as service:
        reads = broken is not hung
        await endures(service, log_lines, broken(own_store), *said, reads=reads)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("broken", "said"),
    [(killed, GONE), (loading, ("loading",)), (disk_full, GONE)],
)
async def test_a_store_that_ends(
    short_path: Path,
    log_lines: io.StringIO,
    broken: Callable[[Breakable], AbstractContextManager[str]],
    said: tuple[str, ...],
) -> None:
    """A server that is gone, one that is back and still reads its file, one that ended rather than lie."""
    disk = small_disk(short_path) if broken is disk_full else nullcontext()
    with disk, breakable(binary(), short_path) as store:
        async with serving(store.url, watch_every=OFTEN) as service:
            await endures(service, log_lines, broken(store), *said)


@contextmanager
def small_disk(home: Path) -> Iterator[None]:
    """Mount a disk of a few megabytes; skip where that is denied."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("this machine has no mount")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", home], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine lets no disk be mounted: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run([umount, "-l", home], check=True)
