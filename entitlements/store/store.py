"""The only door to what is held: reads of a customer's records, and atomic writes of them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Self

import msgspec
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from entitlements.absorb import Absorbed, Held, Lists
from entitlements.model import Change, CustomerRecord, Outcome, Subject, SubscriptionRecord
from entitlements.policy import DAY
from entitlements.redecide import Whole
from entitlements.store import cold, keys
from entitlements.store.client import connect, disconnect, reaching
from entitlements.store.dial import Command
from entitlements.store.entry import Entry, Value, outcome_of
from entitlements.store.lane import Asking, lane
from entitlements.store.meta import Meta
from entitlements.store.replica import replicated, run_replicated
from entitlements.store.replies import script, text
from entitlements.store.safety import Durability, Server, ask, refuse_half, refuse_unsafe, unsafe
from entitlements.store.topology import primaries, walk
from entitlements.store.write import Write, of_event, of_policy
from entitlements.words import NOTHING_SAID, Words

KEEP_MARK = 35 * DAY
"""Seconds for which an ignored or quarantined event is known again: longer than Stripe keeps events (30 days)."""

BATCH = 500
"""Keys looked through at a time when all customers are walked."""

_customer = msgspec.json.Decoder(CustomerRecord)

_words = msgspec.json.Decoder(Words)

NOBODY = CustomerRecord(version=0)


class Spoken(NamedTuple):
    """What is held of a customer, and all that people said over policy about it."""

    record: CustomerRecord
    words: Words
    due: int | None
    """When an answer changes by the clock: what has not been told yet begins there."""


class Store(Meta):
    """Everything that knows how decisions are laid out in Redis.

    `redis`, `asking`, `partitions`, `partition` and `run` are for the modules of this room alone.
    """

    def __init__(
        self, redis: Redis, asking: Asking, partitions: int, durability: Durability
    ) -> None:
        super().__init__(asking)
        self.redis = redis
        self.partitions = partitions
        self._durability = durability
        self._on_written: list[Callable[[Subject, int], object]] = []
        self._commit = redis.register_script(script("commit"))
        self._keep = redis.register_script(script("keep"))

    @classmethod
    async def open(cls, url: str, *, name: str, durability: Durability = "fsync") -> Self:
        """Connect, and refuse a store that would lose what it acknowledges.

        Raises StoreUnavailable or StoreUnsafe.
        """
        redis = connect(url, name)
        try:
            await refuse_unsafe(redis, durability)
            await refuse_half(redis)
            asking = lane(url, name, redis, replicated=durability == "replica")
            return cls(redis, asking, await Meta(asking).pin_partitions(), durability)
        except BaseException:
            await disconnect(redis)
            raise

    @classmethod
    async def looked_at(cls, url: str, *, name: str, durability: Durability) -> Self:
        """Connect to a store as it is, safe or not, and write nothing to it: for whoever examines it.

        Raises StoreUnavailable.
        """
        redis = connect(url, name)
        try:
            asking = lane(url, name, redis, replicated=durability == "replica")
            partitions = await Meta(asking).partitions_held() or keys.PARTITIONS
            return cls(redis, asking, partitions, durability)
        except BaseException:
            await disconnect(redis)
            raise

    async def refuse_half(self) -> None:
        """Raise StoreUnsafe where an import into it has not come to its end."""
        await refuse_half(self.redis)

    async def close(self) -> None:
        """Close every connection."""
        await self.asking.close()
        await disconnect(self.redis)

    async def ping(self) -> None:
        """Ask for a sign of life. Raises StoreUnavailable."""
        async with reaching():
            await self.redis.ping()

    async def server(self) -> Server:
        """Ask the server how it is set up; of a cluster, the least safe primary. Raises StoreUnavailable."""
        found = [await ask(self.redis, primary) for primary in await primaries(self.redis)]
        return next((server for server in found if unsafe(server, self._durability)), found[0])

    async def customer(self, subject: Subject) -> CustomerRecord:
        """Return the hot record of a customer: empty, with version 0, where nothing is held."""
        (record,) = await self.customers([subject])
        return record

    async def customers(self, subjects: Sequence[Subject | str]) -> list[CustomerRecord]:
        """Return the hot records of many customers, or of whoever is called so, in their order, in one round trip."""
        names = [keys.customer(self.partition(name), name) for name in map(str, subjects)]
        raws = await self.asking.ask(*[("GET", name) for name in names])
        return [_customer.decode(raw) if raw else NOBODY for raw in raws]

    async def held(self, subject: Subject, subscription: str) -> Held:
        """Return the records that an event about a subscription is to be absorbed into."""
        p = self.partition(str(subject))
        (hot, old), due = await self.asking.ask(*_asking_for(p, subject, subscription))
        return _held(hot, old, due)

    async def subscriptions(self, subject: Subject, names: list[str]) -> list[SubscriptionRecord]:
        """Return the cold records of a customer's subscriptions, in the order of their names."""
        if not names:
            return []  # of no key MGET has none
        p = self.partition(str(subject))
        async with reaching():
            raws = await self.redis.mget([keys.subscription(p, subject, name) for name in names])
        return [cold.decode(raw) for raw in raws]

    async def words(self, subjects: Sequence[Subject]) -> list[Words]:
        """Return what people said over policy about some customers, in one round trip."""
        pipeline = self.redis.pipeline(transaction=False)
        for subject in subjects:
            pipeline.get(keys.words(self.partition(str(subject)), subject))
        async with reaching():
            raws = await pipeline.execute()
        return [_words.decode(raw) if raw else NOTHING_SAID for raw in raws]

    async def spoken(self, subject: Subject) -> Spoken:
        """Return what a person's word about a customer is to be written to, in one round trip."""
        p = self.partition(str(subject))
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.get(keys.customer(p, subject))
        pipeline.get(keys.words(p, subject))
        pipeline.zscore(keys.shared(p, "due"), str(subject))
        async with reaching():
            hot, said, due = await pipeline.execute()
        return Spoken(
            _customer.decode(hot) if hot else NOBODY,
            _words.decode(said) if said else NOTHING_SAID,
            _due(due),
        )

    async def commit(self, held: Held, absorbed: Absorbed, subject: Subject, entry: Entry) -> bool:
        """Write all that follows from one event, if nobody wrote to the customer since `held` was read.

        Returns false where somebody did. Raises StoreUnavailable, or NotDurable where it was written and not confirmed.
        """
        return await self.write(subject, of_event(held, absorbed, subject, entry))

    async def rewrite(
        self, before: Whole, after: Whole, lists: Mapping[str, Lists], changes: Sequence[Change]
    ) -> bool:
        """Write a customer's records decided anew, if nobody wrote since `before` was read. No event, no log entry."""
        return await self.write(before.subject, of_policy(before, after, lists, changes))

    def on_written(self, tell: Callable[[Subject, int], object]) -> None:
        """Let something be told of every write through this store, and the version written, before its writer is."""
        self._on_written.append(tell)

    async def write(self, subject: Subject, write: Write) -> bool:
        """Write to a customer's records, if nobody did since what it is made of was read."""
        p = self.partition(str(subject))
        done = await self.run(self._commit, p, write.keys(p, subject), write.values(p, subject))
        if done == 1:
            for tell in self._on_written:
                tell(subject, write.record.version)
        return done == 1

    async def keep(self, entry: Entry) -> tuple[Outcome, str]:
        """Keep an event that moves no subscription. Returns the outcome and delivery that are held for its id."""
        p = self.partition(entry.subject if entry.outcome == "stale" else entry.event)
        held = await self.run(
            self._keep,
            p,
            [
                keys.event(p, entry.event),
                *(keys.shared(p, name) for name in ("log", "quarantine")),
                keys.waiting(p, entry.event),
            ],
            [
                f"{entry.outcome} {entry.delivery}",
                KEEP_MARK,
                entry.received_ms if entry.outcome == "quarantined" else "",
                entry.event,
                *entry.fields(),
            ],
        )
        outcome, _, delivery = text(held).partition(" ")
        return outcome_of(outcome), delivery

    async def confirmed(self, held: Held, subject: Subject, subscription: str) -> Held:
        """Return what `held` says, confirmed to the configured durability: an earlier write may not have been.

        Nothing to do under `fsync`: what can be read is on disk. Under `replica` it is read anew where it is confirmed:
        after a failover that is another server, which may hold less. Raises NotDurable.
        """
        if self._durability != "replica":
            return held
        p = self.partition(str(subject))
        async with reaching():
            (hot, old), due = await replicated(
                self.redis, p, *_asking_for(p, subject, subscription)
            )
        return _held(hot, old, due)

    async def subjects(self) -> AsyncIterator[tuple[float, list[Subject]]]:
        """Yield every customer held, in batches, with the share of the store that has been looked through.

        A customer may come twice, as SCAN has it; one that is there all the time comes at least once.
        """
        async for share, names in walk(self.redis, keys.CUSTOMERS, BATCH):
            yield share, [keys.subject_of(text(name)) for name in names]

    async def wholes(self, subjects: list[Subject]) -> list[Whole]:
        """Return all that is held of some customers, in two round trips."""
        records = await self.customers(subjects)
        pipeline = self.redis.pipeline(transaction=False)
        for subject, record in zip(subjects, records, strict=True):
            p = self.partition(str(subject))
            for name in record.decisions:
                pipeline.get(keys.subscription(p, subject, name))
            pipeline.zscore(keys.shared(p, "due"), str(subject))
        async with reaching():
            found = iter(await pipeline.execute())
        return [
            Whole(
                subject,
                record,
                {n: cold.decode(next(found)) for n in record.decisions},
                _due(next(found)),
            )
            for subject, record in zip(subjects, records, strict=True)
        ]

    async def run(
        self, script: AsyncScript, p: int, names: Sequence[str], values: Sequence[Value]
    ) -> object:
        """Run a script, to the configured durability: also where a retry finds that the first try has written."""
        if self._durability == "replica":
            async with reaching():
                return await run_replicated(self.redis, p, script, names, values)
        return await self.asking.run(script, names, values)

    async def send(self, p: int, command: Sequence[Value]) -> object:
        """Send one command about a partition, to the configured durability."""
        if self._durability == "replica":
            (found,) = await replicated(self.redis, p, command)
            return found
        execute: Callable[..., Awaitable[object]] = self.redis.execute_command
        return await execute(*command)

    def partition(self, name: str) -> int:
        """Return the partition of a subject or of an event id."""
        return keys.partition(name, self.partitions)


def _due(score: float | bytes | None) -> int | None:
    return None if score is None else int(float(score))


def _asking_for(p: int, subject: Subject, subscription: str) -> tuple[Command, Command]:
    """Return how to ask for what `_held` is made of: both records, and when the customer is due."""
    records = keys.customer(p, subject), keys.subscription(p, subject, subscription)
    return ("MGET", *records), ("ZSCORE", keys.shared(p, "due"), str(subject))


def _held(hot: bytes | str | None, old: bytes | str | None, due: float | bytes | None) -> Held:
    return Held(_customer.decode(hot) if hot else NOBODY, cold.decode(old), _due(due))
