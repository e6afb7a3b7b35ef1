"""Is a store safe to use: the rules as rows, and real servers that break them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from entitlements.errors import StoreUnavailable, StoreUnsafe
from entitlements.store.client import connect
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.safety import UNKNOWN, Durability, Server, ask, not_yet, remarks, unsafe
from entitlements.store.store import Store
from tests.support.servers import client, replicate
from tests.support.stores import opened

SAFE = Server(
    version="7.0.15",
    appendonly="yes",
    appendfsync="always",
    no_appendfsync_on_rewrite="no",
    maxmemory_policy="noeviction",
)
SILENT = replace(SAFE, appendfsync=UNKNOWN, no_appendfsync_on_rewrite=UNKNOWN)


@pytest.mark.parametrize(
    ("server", "durability", "said"),
    [
        (SAFE, "fsync", []),
        (SAFE, "memory", []),
        (SAFE, "replica", ["no replica is connected"]),
        (replace(SAFE, connected_replicas=1), "replica", []),
        (replace(SAFE, version="6.2.14"), "memory", ["it is version 6.2.14"]),
        (replace(SAFE, version="10.0.0"), "fsync", []),
        (replace(SAFE, version="7.2"), "fsync", []),
        (replace(SAFE, maxmemory_policy="allkeys-lru"), "memory", ["is allkeys-lru"]),
        (replace(SAFE, maxmemory_policy="volatile-ttl"), "fsync", ["is volatile-ttl"]),
        (replace(SAFE, maxmemory_policy=UNKNOWN), "memory", ["maxmemory-policy is unknown"]),
        (replace(SAFE, appendonly="no"), "fsync", ["appendonly is no and must be yes"]),
        (replace(SAFE, appendonly="no"), "memory", []),
        (replace(SAFE, appendfsync="everysec"), "fsync", ["appendfsync is everysec"]),
        (replace(SAFE, appendfsync="everysec"), "memory", []),
        (replace(SAFE, no_appendfsync_on_rewrite="yes"), "fsync", ["on-rewrite is yes"]),
        (SILENT, "fsync", ["appendfsync is unknown", "on-rewrite is unknown"]),
        (SILENT, "memory", []),
        (replace(SAFE, role="slave"), "memory", ["it is a replica"]),
        (replace(SAFE, loading=True), "memory", ["it is still loading"]),
        (replace(SAFE, aof_last_write_status="err"), "fsync", ["its last write"]),
        (replace(SAFE, aof_last_write_status="err"), "memory", []),
        (replace(SAFE, aof_last_bgrewrite_status="err", full=True, rewriting=True), "fsync", []),
        (
            replace(SILENT, connected_replicas=1),
            "replica",
            ["appendfsync is unknown", "on-rewrite is unknown"],
        ),
    ],
)
def test_what_speaks_against_a_server(
    server: Server, durability: Durability, said: list[str]
) -> None:
    """Each thing that is wrong is named, and nothing else is."""
    found = unsafe(server, durability)
    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True))


def test_what_an_operator_should_see_to() -> None:
    """A server that fills up is worth a word, and still keeps what it acknowledges."""
    assert remarks(SAFE) == []
    assert [words[:15] for words in remarks(replace(SAFE, full=True))] == ["its memory is f"]
    (said,) = remarks(replace(SAFE, aof_last_bgrewrite_status="err"))
    assert "rewrite" in said


def test_what_was_unsafe_is_trusted_once_its_file_is_written() -> None:
    """While the file is first written, what it is to hold is lost with the process; in memory nothing is promised."""
    assert not_yet(SAFE, "fsync") == []
    assert not_yet(replace(SAFE, rewriting=True), "memory") == []
    (said,) = not_yet(replace(SAFE, rewriting=True), "fsync")
    assert "still being written" in said


@pytest.mark.asyncio
async def test_a_server_that_is_set_up_safely_says_so(redis_url: str) -> None:
    """What is asked is what the server is really set to."""
    async with connect(redis_url, "test") as redis:
        found = await ask(redis)
    alone = replace(found, version="7.0.15", connected_replicas=0, replica_lag=None)
    assert alone == SAFE
    assert unsafe(found, "fsync") == []


async def refusal(url: str, durability: Durability = "fsync") -> str:
    """Return what the store says when it refuses to open; fail if it opens."""
    with pytest.raises(StoreUnsafe) as refused:
        await Store.open(url, name="test", durability=durability)
    return str(refused.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
    ],
)
async def test_a_server_that_would_lose_decisions_is_refused(
    own_store: EmbeddedStore, parameter: str, value: str
) -> None:
    """Nothing is acknowledged that might vanish; the refusal names the parameter."""
    with client(own_store.url) as plain:
        plain.config_set(parameter, value)
        assert parameter in await refusal(own_store.url)
        assert plain.keys() == []


@pytest.mark.asyncio
async def test_memory_takes_a_server_that_does_not_sync(own_store: EmbeddedStore) -> None:
    """Who asks for no durability gets none, and is not stopped."""
    with client(own_store.url) as plain:
        plain.config_set("appendfsync", "everysec")
    async with opened(own_store.url, durability="memory") as store:
        await store.ping()


@pytest.mark.asyncio
async def test_what_a_server_does_not_tell_is_unknown(own_store: EmbeddedStore) -> None:
    """Where CONFIG is denied INFO has to do; under fsync what stays unknown is refused."""
    with client(own_store.url) as plain:
        plain.acl_setuser(
            "app",
            enabled=True,
            passwords=["+secret"],
            keys=["ent:*"],
            commands=["+@all", "-config"],
        )
    url = own_store.url.replace("unix://", "unix://app:secret@")
    said = await refusal(url)
    assert "appendfsync is unknown" in said
    assert "maxmemory-policy" not in said
    assert "appendonly" not in said
    with client(own_store.url) as plain:
        plain.config_set("appendonly", "no")
    assert "appendonly is no" in await refusal(url)
    async with opened(url, durability="memory") as store:
        await store.ping()


@pytest.mark.asyncio
async def test_a_wrong_password_is_unavailable_and_not_repeated(own_store: EmbeddedStore) -> None:
    """Whoever reads the message does not learn what was tried."""
    url = own_store.url.replace("unix://", "unix://app:secret@")
    with pytest.raises(StoreUnavailable) as refused:
        await Store.open(url, name="test")
    assert "secret" not in str(refused.value)


@pytest.mark.asyncio
async def test_replica_needs_one(own_store: EmbeddedStore, short_path: Path) -> None:
    """Without a replica there is nobody to confirm; with one the store opens."""
    assert "no replica is connected" in await refusal(own_store.url, "replica")
    with EmbeddedStore.start(short_path / "replica") as replica:
        replicate(own_store, replica)
        async with opened(own_store.url, durability="replica") as store:
            await store.ping()
