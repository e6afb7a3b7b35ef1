"""Customers whose access the clock ends during a soak: Stripe deletes the subscription then, and tells of it later."""

import time

import msgspec

from entitlements.sandbox import subscription as life
from entitlements.sandbox.event import Envelope, event
from entitlements.sandbox.shapes import Body
from tests.bench.soak.judge import Probe
from tests.bench.subscriptions import Kind, created, customer, feature

AFTER = 3
"""Seconds after the end at which its event comes."""


class Ending:
    """One of them, by a number, who subscribes now and whose access ends after so many seconds."""

    def __init__(self, number: int, seconds: int) -> None:
        now = int(time.time())
        self.at = now + seconds
        kind = Kind(family=f"end{number}x", cancel_at=self.at)
        self.created: Body = msgspec.json.decode(created(now, kind).body(0))
        change = life.delete(self.created["data"]["object"], self.at)
        self.body = change.after
        """The subscription at its end."""
        (deleted,) = change.types
        self.deleted = event(change, deleted, Envelope(f"evt_end{number}x", self.at, None))
        named = customer(0, kind), feature()
        self.probes = (
            Probe(*named, self.at - 1, granted=True),
            Probe(*named, self.at, granted=False),
        )

    def is_told(self) -> bool:
        """Tell whether its last event may come."""
        return time.time() >= self.at + AFTER
