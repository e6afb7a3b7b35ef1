"""Whose answers are about to change by the clock alone: the lists of what is due, and the telling of it."""

from random import SystemRandom
from typing import Any, NamedTuple

import msgspec

from entitlements.flips import Flips, Held
from entitlements.model import Subject
from entitlements.store import keys
from entitlements.store.client import reaching
from entitlements.store.places import Span, holding
from entitlements.store.replies import script, text
from entitlements.store.store import Store
from entitlements.store.write import notice

_encode = msgspec.json.Encoder().encode
_random = SystemRandom()


class Waiting(NamedTuple):
    """One who is due, and what is held of it."""

    subject: Subject
    held: Held


class Due:
    """What is due. Commits put customers on the lists (absorb.lists); telling what the clock did moves them on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._flip = store.redis.register_script(script("flip"))

    async def waiting(self, now: int, limit: int) -> list[Waiting]:
        """Return some who are due, of some partition where there are any: chance keeps several workers apart."""
        if not (waiting := await holding(self._store, "due", Span(highest=now))):
            return []
        return await self._of(_random.choice(waiting), now, limit)

    async def _of(self, p: int, now: int, limit: int) -> list[Waiting]:
        name = keys.shared(p, "due")
        async with reaching():
            found: Any = await self._store.redis.zrange(
                name, "-inf", now, byscore=True, withscores=True, offset=0, num=limit
            )
        subjects = [keys.subject_named(text(member)) for member, _ in found]
        records = await self._store.customers(subjects)
        return [
            Waiting(subject, Held(record, int(score)))
            for subject, record, (_, score) in zip(subjects, records, found, strict=True)
        ]

    async def tell(self, one: Waiting, found: Flips) -> bool:
        """Write what the clock has changed of one, unless somebody did or wrote to it. Returns whether it did."""
        p, version = self._store.partition(str(one.subject)), one.held.record.version
        names = [
            keys.customer(p, one.subject),
            *(keys.shared(p, name) for name in ("changes", "due")),
        ]
        values = [
            version,
            "" if one.held.due is None else one.held.due,
            str(one.subject),
            "" if found.due is None else found.due,
            keys.WRITTEN,
            notice(p, version, one.subject),
            *map(_encode, found.changes),
        ]
        return await self._store.run(self._flip, p, names, values) == 1
