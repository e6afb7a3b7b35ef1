"""Who hears what is published: every word once and in order, and soon told that there is nothing more to hear."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from entitlements.errors import StoreUnavailable
from entitlements.store.client import connect
from entitlements.store.dial import Dial
from entitlements.store.ear import SILENT, Ear, Subscribed, Wired, ear
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.lane import Lane, Piped
from tests.support.servers import client, eventually, frozen

CHANNEL = "said"
KINDS = pytest.mark.parametrize("kind", [Wired, Subscribed])


class Listening:
    """What was heard, and whether anybody listens still."""

    def __init__(self, ear: Ear) -> None:
        self.heard = list[str | None]()
        self._task = asyncio.create_task(self._listen(ear))

    async def _listen(self, ear: Ear) -> None:
        with suppress(StoreUnavailable, RedisError, OSError, TimeoutError):
            await ear.listen(CHANNEL, self.heard.append)

    @property
    def over(self) -> bool:
        """Tell whether listening has come to its end."""
        return self._task.done()

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


@asynccontextmanager
async def listening(url: str, kind: type[Wired | Subscribed]) -> AsyncGenerator[Listening]:
    """Listen in one of the two ways, from the beginning on."""
    async with connect(url, "test") as redis:
        found = Listening(Wired(Dial(url, "ear")) if kind is Wired else Subscribed(redis))
        try:
            await eventually(lambda: found.heard or found.over)
            yield found
        finally:
            await found.close()


@KINDS
@pytest.mark.asyncio
async def test_every_word_is_heard_once_and_in_order(
    store_url: str, kind: type[Wired | Subscribed]
) -> None:
    """Behind the word that listening has begun; what is said elsewhere is not for this ear."""
    words = [f"{n} of cus_{'x' * n}" for n in range(200)]
    async with listening(store_url, kind) as found:
        with client(store_url) as plain, plain.pipeline(transaction=False) as pipe:
            for word in words:
                pipe.publish(CHANNEL, word)
                pipe.publish("elsewhere", word)
            pipe.execute()
        await eventually(lambda: len(found.heard) > len(words))
        assert found.heard == [None, *words]


@KINDS
@pytest.mark.asyncio
async def test_a_channel_may_be_quiet(store_url: str, kind: type[Wired | Subscribed]) -> None:
    """For longer than a server may be silent: it is asked, and answers."""
    async with listening(store_url, kind) as found:
        await asyncio.sleep(SILENT + 0.3)  # that is what it is about
        with client(store_url) as plain:
            plain.publish(CHANNEL, "late")
        await eventually(lambda: len(found.heard) > 1)
        assert found.heard == [None, "late"]
        assert not found.over


@KINDS
@pytest.mark.asyncio
async def test_a_silent_server_is_given_up(
    own_store: EmbeddedStore, kind: type[Wired | Subscribed]
) -> None:
    """Soon, although its connection stays open."""
    async with listening(own_store.url, kind) as found:
        with frozen(own_store.pid):
            await eventually(lambda: found.over)


@pytest.mark.asyncio
async def test_a_lost_connection_ends_it(store_url: str) -> None:
    """At once."""
    async with listening(store_url, Wired) as found:
        with client(store_url) as plain:
            (mine,) = [one["id"] for one in plain.client_list() if one["name"] == "ear"]
            plain.client_kill_filter(_id=mine)
        await eventually(lambda: found.over, SILENT)


@pytest.mark.asyncio
async def test_who_may_not_listen_is_told_by_the_end_of_it(own_store: EmbeddedStore) -> None:
    """With a wrong password, or without the right to the channel; with both right it is heard."""
    with client(own_store.url) as plain:
        plain.acl_setuser("deaf", enabled=True, passwords=["+s3cret"], commands=["+@all"])
        plain.acl_setuser(
            "able", enabled=True, passwords=["+s3cret"], commands=["+@all"], channels=[CHANNEL]
        )
    at = own_store.url.removeprefix("unix://")
    for login, heard in (("deaf:s3cret", []), ("able:wrong", []), ("able:s3cret", [None])):
        async with listening(f"unix://{login}@{at}", Wired) as found:
            assert (found.heard, found.over) == (heard, not heard)


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_an_error(short_path: Path) -> None:
    """Of those that whoever listens tries again after."""
    with pytest.raises(OSError, match="No such file"):
        await Wired(Dial(f"unix://{short_path}/none.sock", "ear")).listen(CHANNEL, print)


@pytest.mark.asyncio
async def test_who_listens_goes_by_who_asks(store_url: str) -> None:
    """What is asked by redis-py is listened to by it: a cluster, a server by TLS."""
    async with connect(store_url, "test") as redis:
        assert isinstance(ear(Piped(redis), redis), Subscribed)
        assert isinstance(ear(Lane(store_url, "test"), redis), Wired)
