"""The queue of reads from Stripe that would heal a doubt: which subscriptions, and when each is to be read."""

from typing import NamedTuple

from entitlements.model import Subject
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.places import Span, holding
from entitlements.store.replies import script, text
from entitlements.store.store import Store

GIVEN_UP = "+inf"
"""When a read is due that nobody will make any more: it stays on the list, for a person."""

WINDOW = 5
"""Seconds after which a count of calls is forgotten."""


class Doubt(NamedTuple):
    """A subscription whose latest second could not be put in order, and how often it was tried to be read."""

    subject: Subject
    subscription: str
    tries: int

    @property
    def member(self) -> str:
        """Return its name on the list."""
        return f"{self.subject} {self.subscription}"


class Reads:
    """What is to be read. Commits put subscriptions on it and take them off (absorb.lists)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._claim = store.redis.register_script(script("claim"))

    async def claim(self, now: int, lease: int, limit: int) -> list[Doubt]:
        """Take up to `limit` that are due, for `lease` seconds: then they are due again, unless healed or put off."""
        found: list[Doubt] = []
        for p in await holding(self._store, "reads", Span(highest=now)):
            names = [keys.shared(p, "reads"), keys.shared(p, "read-tries")]
            async with reaching():
                taken = await self._claim(keys=names, args=[now, now + lease, limit - len(found)])
            pairs = zip(taken[::2], taken[1::2], strict=True)
            found += [_doubt(text(member), int(tries)) for member, tries in pairs]
            if len(found) >= limit:
                break
        return found

    async def put_off(self, doubt: Doubt, until: int | None) -> None:
        """Let one be due at an instant again, if it still is in doubt; null gives it up, for a person to see."""
        p = self._store.partition(str(doubt.subject))
        at = GIVEN_UP if until is None else until
        async with reaching():
            await self._store.redis.zadd(keys.shared(p, "reads"), {doubt.member: at}, xx=True)
        if until is None:
            await self.forget(doubt)

    async def forget(self, doubt: Doubt) -> None:
        """Forget how often one was tried."""
        p = self._store.partition(str(doubt.subject))
        async with reaching():
            await self._store.redis.hdel(keys.shared(p, "read-tries"), doubt.member)

    async def permit(self, second: int, limit: int) -> bool:
        """Ask for one of the calls that all processes together may make within a second."""
        name = keys.calls(second)
        async with reaching():
            pipeline = self._store.redis.pipeline(transaction=False)
            pipeline.incr(name)
            pipeline.expire(name, WINDOW)
            count, _ = await pipeline.execute()
        return int(count) <= limit

    async def counts(self) -> tuple[int, int]:
        """Return how many subscriptions are in doubt, and how many of them were given up."""
        pipeline = self._store.redis.pipeline(transaction=False)
        for p in range(self._store.partitions):
            pipeline.zcard(keys.shared(p, "reads"))
            pipeline.zcount(keys.shared(p, "reads"), GIVEN_UP, GIVEN_UP)
        async with reaching():
            found = await pipeline.execute()
        return sum(found[::2]), sum(found[1::2])


def _doubt(member: str, tries: int) -> Doubt:
    subject, _, subscription = member.rpartition(" ")
    return Doubt(keys.subject_named(subject), subscription, tries)
