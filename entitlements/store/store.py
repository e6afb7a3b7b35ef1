"""The only door to what is held: reads of a customer's records, and atomic writes of them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.resources import files
from typing import Self

import msgspec
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from entitlements.absorb import Absorbed, Held, Lists
from entitlements.errors import NotDurable, StoreError, StoreUnsafe
from entitlements.model import Change, CustomerRecord, Outcome, Subject, SubscriptionRecord
from entitlements.policy import Policy
from entitlements.redecide import Whole
from entitlements.store import cold, keys
from entitlements.store.client import connect, reaching
from entitlements.store.entry import Entry, Value
from entitlements.store.safety import Durability, ask, unsafe
from entitlements.store.write import Write, of_event, of_policy

KEEP_MARK = 35 * 86_400
"""Seconds for which an ignored or quarantined event is known again: longer than Stripe keeps events (30 days)."""

REPLICA_WAIT_MS = 150
"""The server looks at its clock ten times a second, and must have answered within the client's TIMEOUT."""

BATCH = 500
"""Keys looked through at a time when all customers are walked."""

_encode = msgspec.json.Encoder().encode
_customer = msgspec.json.Decoder(CustomerRecord)
_policy = msgspec.json.Decoder(Policy)

NOBODY = CustomerRecord(version=0)


class Store:
    """Everything that knows how decisions are laid out in Redis.

    `redis`, `partitions`, `partition` and `run` are for the modules of this room alone.
    """

    def __init__(self, redis: Redis, partitions: int, durability: Durability) -> None:
        self.redis = redis
        self.partitions = partitions
        self._durability = durability
        self._commit = redis.register_script(script("commit"))
        self._keep = redis.register_script(script("keep"))

    @classmethod
    async def open(cls, url: str, *, name: str, durability: Durability = "fsync") -> Self:
        """Connect, and refuse a store that would lose what it acknowledges.

        Raises StoreUnavailable or StoreUnsafe.
        """
        redis = connect(url, name)
        try:
            await _refuse_unsafe(redis, durability)
            return cls(redis, await _partitions(redis), durability)
        except BaseException:
            await redis.aclose()
            raise

    async def close(self) -> None:
        """Close every connection."""
        await self.redis.aclose()

    async def ping(self) -> None:
        """Ask for a sign of life. Raises StoreUnavailable."""
        async with reaching():
            await self.redis.ping()

    async def customer(self, subject: Subject) -> CustomerRecord:
        """Return the hot record of a customer: empty, with version 0, where nothing is held."""
        async with reaching():
            raw = await self.redis.get(keys.customer(self.partition(str(subject)), subject))
        return _customer.decode(raw) if raw else NOBODY

    async def customers(self, subjects: list[Subject]) -> list[CustomerRecord]:
        """Return the hot records of many customers, in their order, in one round trip."""
        pipeline = self.redis.pipeline(
            transaction=False
        )  # not MGET: a cluster has them in many slots
        for subject in subjects:
            pipeline.get(keys.customer(self.partition(str(subject)), subject))
        async with reaching():
            raws = await pipeline.execute()
        return [_customer.decode(raw) if raw else NOBODY for raw in raws]

    async def held(self, subject: Subject, subscription: str) -> Held:
        """Return the records that an event about a subscription is to be absorbed into."""
        p = self.partition(str(subject))
        names = keys.customer(p, subject), keys.subscription(p, subject, subscription)
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.mget(names)
        pipeline.zscore(keys.shared(p, "due"), str(subject))
        async with reaching():
            (hot, old), due = await pipeline.execute()
        return Held(
            _customer.decode(hot) if hot else NOBODY,
            cold.decode(old),
            _due(due),
        )

    async def subscriptions(self, subject: Subject, names: list[str]) -> list[SubscriptionRecord]:
        """Return the cold records of a customer's subscriptions, in the order of their names."""
        p = self.partition(str(subject))
        async with reaching():
            raws = await self.redis.mget([keys.subscription(p, subject, name) for name in names])
        return [cold.decode(raw) for raw in raws]

    async def commit(self, held: Held, absorbed: Absorbed, subject: Subject, entry: Entry) -> bool:
        """Write all that follows from one event, if nobody wrote to the customer since `held` was read.

        Returns false where somebody did. Raises StoreUnavailable, or NotDurable where it was written and not confirmed.
        """
        return await self._write(subject, of_event(held, absorbed, subject, entry))

    async def rewrite(
        self, before: Whole, after: Whole, lists: Mapping[str, Lists], changes: Sequence[Change]
    ) -> bool:
        """Write a customer's records decided anew, if nobody wrote since `before` was read. No event, no log entry."""
        return await self._write(before.subject, of_policy(before, after, lists, changes))

    async def _write(self, subject: Subject, write: Write) -> bool:
        p = self.partition(str(subject))
        return (
            await self.run(self._commit, p, write.keys(p, subject), write.values(p, subject)) == 1
        )

    async def keep(self, entry: Entry) -> tuple[Outcome, str]:
        """Keep an event that moves no subscription. Returns the outcome and delivery that are held for its id."""
        p = self.partition(entry.event)
        held = await self.run(
            self._keep,
            p,
            [keys.event(p, entry.event), keys.shared(p, "log"), keys.shared(p, "quarantine")],
            [
                f"{entry.outcome} {entry.delivery}",
                KEEP_MARK,
                int(entry.outcome == "quarantined"),
                *entry.fields(),
            ],
        )
        outcome, _, delivery = text(held).partition(" ")
        return msgspec.convert(outcome, Outcome), delivery

    async def confirm(self, name: str) -> None:
        """Confirm to the configured durability what was read of a subject or event: an earlier write may not have been.

        Nothing to do under `fsync`: what can be read is on disk. A replica confirms only what the asking connection
        wrote, so one small write stands for all that came before it. Raises NotDurable.
        """
        await self._confirm(self.partition(name))

    async def trim(self, before_ms: int) -> int:
        """Drop what the log and the change feed hold from before an instant. Returns how many entries went.

        A mass of old entries is dropped in whole nodes, so a few may stay a little longer. The last old change of each
        partition stays as well: it shows whoever has read it that nothing was missed (store/streams.py).
        """
        trimmed = 0
        for p in range(self.partitions):
            log, changes = keys.shared(p, "log"), keys.shared(p, "changes")
            async with reaching():
                trimmed += await self.redis.xtrim(log, minid=before_ms, approximate=True)
                old = await self.redis.xrevrange(changes, f"({before_ms}-0", "-", count=1)
            if old:
                async with reaching():
                    trimmed += await self.redis.xtrim(
                        changes, minid=text(old[0][0]), approximate=True
                    )
        return trimmed

    async def pin_livemode(self, *, livemode: bool) -> bool:
        """Record the mode of the first verified event; return the mode that is recorded."""
        async with reaching():
            await self.redis.hsetnx(keys.META, "livemode", str(livemode).lower())
            held = await self.redis.hget(keys.META, "livemode")
        return text(held) == "true"

    async def policy(self, default: Policy) -> Policy:
        """Return the policy in force; where none is recorded yet, record and return `default`."""
        async with reaching():
            await self.redis.set(keys.policy(default.digest), _encode(default), nx=True)
            await self.redis.hsetnx(keys.META, "policy", default.digest)
        return await self.policy_in_force()

    async def policy_in_force(self) -> Policy:
        """Return the policy that is recorded. Raises StoreError where none is: the store is not the one it was."""
        async with reaching():
            digest = text(await self.redis.hget(keys.META, "policy"))
            raw = await self.redis.get(keys.policy(digest))
        if raw is None:
            raise StoreError("The store names no policy, as if it had been emptied. Start anew.")
        return _policy.decode(raw)

    async def enforce(self, policy: Policy) -> None:
        """Put a policy in force: every process decides by it from its next look on."""
        async with reaching():
            await self.redis.set(keys.policy(policy.digest), _encode(policy))
            await self.redis.hset(keys.META, "policy", policy.digest)

    async def subjects(self) -> AsyncIterator[tuple[float, list[Subject]]]:
        """Yield every customer held, in batches, with the share of the store that has been looked through.

        A customer may come twice, as SCAN has it; one that is there all the time comes at least once.
        """
        async with reaching():
            size = max(1, await self.redis.dbsize())
        cursor, seen = 0, 0
        while True:
            async with reaching():
                cursor, names = await self.redis.scan(cursor, match=keys.CUSTOMERS, count=BATCH)
            seen += BATCH
            yield min(1.0, seen / size), [keys.subject_of(text(name)) for name in names]
            if cursor == 0:
                return

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
        async with reaching():
            result = await script(keys=names, args=values)
        await self._confirm(p)
        return result

    async def _confirm(self, p: int) -> None:
        if self._durability != "replica":
            return
        async with reaching():
            pipeline = self.redis.pipeline(transaction=False)
            pipeline.set(keys.shared(p, "confirmed"), 1)
            pipeline.wait(1, REPLICA_WAIT_MS)
            _, replicas = await pipeline.execute()
        if not replicas:
            raise NotDurable(
                "The write was made, but no replica confirmed it in time. Send it again."
            )

    def partition(self, name: str) -> int:
        """Return the partition of a subject or of an event id."""
        return keys.partition(name, self.partitions)


def _due(score: float | None) -> int | None:
    return None if score is None else int(score)


async def _refuse_unsafe(redis: Redis, durability: Durability) -> None:
    if found := unsafe(await ask(redis), durability):
        raise StoreUnsafe("This store is not safe to use: " + "; ".join(found) + ".")


async def _partitions(redis: Redis) -> int:
    async with reaching():
        await redis.hsetnx(keys.META, "partitions", str(keys.PARTITIONS))
        held = await redis.hget(keys.META, "partitions")
    return int(held or keys.PARTITIONS)


def text(raw: object) -> str:
    """Return a reply as text, whichever way the client decodes replies."""
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def script(name: str) -> str:
    """Return the text of a script of this room."""
    return files("entitlements.store").joinpath(f"{name}.lua").read_text()
