"""The walk of Stripe's subscriptions that a worker makes by itself, again and again: one worker at a time.

It heals what is missing or stale, and leaves the rest to people: what is gone there, and putting a policy in force.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing

import structlog
from msgspec.structs import replace

from entitlements import metrics
from entitlements.drift import Drift
from entitlements.errors import EntitlementsError, StoreError
from entitlements.ingest import Ingest
from entitlements.reconcile import Reconciliation, Scope
from entitlements.store import walks
from entitlements.store.audit import Deed
from entitlements.store.walks import Walk
from entitlements.stripe_api import StripeApi

BY, REASON = "worker", "by the schedule of ENTITLEMENTS_RECONCILE_EVERY"

NAMED = 10
"""Subscriptions of a page that are named in the log."""

log = structlog.get_logger()


class Scheduled:
    """Begins a walk when one is due, and goes on with one that nobody goes on with."""

    def __init__(
        self,
        api: StripeApi,
        ingest: Ingest,
        every: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`every` is in seconds, from the beginning of one walk to the next."""
        self._api = api
        self._store = ingest.store
        self._ingest = ingest
        self._every = every
        self._clock = clock
        self._holder = secrets.token_hex(8)

    async def once(self) -> bool:
        """Walk to the end, if a walk is due and nobody else is at it. Returns whether it did. Raises StoreError.

        Where Stripe does not let it go on, it goes on at the next call, from where it was.
        """
        walk = self._due(await walks.latest(self._store))
        if walk is None or not await walks.hold(self._store, self._holder, walk):
            return False
        try:
            return await self._go(walk)
        except StoreError:
            raise
        except EntitlementsError as error:
            log.warning("reconcile_interrupted", detail=str(error))
            return False

    def _due(self, last: Walk | None) -> Walk | None:
        """Return the walk to make, from its beginning or from where it stopped; null where none is due."""
        now = int(self._clock())
        if last and last.ended_at is None:
            return last
        return Walk(began_at=now) if last is None or last.began_at + self._every <= now else None

    async def _go(self, walk: Walk) -> bool:
        self._ingest.policy = await self._store.policy_in_force()
        made = Reconciliation(
            self._api,
            self._ingest,
            Scope(),
            deed=Deed(BY, REASON, int(self._clock())),
            thorough=False,
            clock=self._clock,
        )
        async with aclosing(made.go(walk.cursor)) as pages:
            async for found in pages:
                _tell(found.drift)
                now = _onward(walk, made)
                if not await walks.hold(self._store, self._holder, now):
                    log.warning("reconcile_taken_over", looked=now.looked)
                    return False
        now = replace(_onward(walk, made), ended_at=int(self._clock()))
        for why in made.why:
            log.warning("reconcile_not_understood", detail=why)
        await walks.release(self._store, self._holder, now)
        log.info("reconciled", looked=now.looked, healed=now.healed, **now.drift)
        return True


def _tell(drift: Sequence[Drift]) -> None:
    """Count what was found in a page, and name the first of it."""
    for cause, count in Counter(one.cause for one in drift).items():
        metrics.drift(cause, count)
        named = [one.subscription for one in drift if one.cause == cause][:NAMED]
        log.info("reconcile_drift", cause=cause, count=count, subscriptions=named)


def _onward(walk: Walk, made: Reconciliation) -> Walk:
    """Return how far a walk is with what was just made of it."""
    sums = made.sums
    return replace(
        walk,
        cursor=sums.cursor,
        looked=walk.looked + sums.looked,
        healed=walk.healed + sums.healed,
        drift={cause: walk.drift[cause] + count for cause, count in sums.drift.items()},
    )
