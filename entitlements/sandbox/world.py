"""A sandbox: an account, its webhook endpoints, and a clock that can be put forward. In memory."""

import time
from collections.abc import Callable

from entitlements.errors import BadRequest
from entitlements.sandbox.account import Account
from entitlements.sandbox.delivery import Deliveries
from entitlements.sandbox.shapes import Body

REMEMBERED = 1_000
"""Idempotency keys; the oldest are forgotten."""


class Sandbox:
    """An account, its endpoints, and a clock that can be put forward. `clock` gives Unix seconds."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        name: str = "acct_sandbox",
        ahead: int = 0,
    ) -> None:
        """`ahead` is how many seconds its time is ahead of the clock to begin with; below 0, it begins in the past."""
        self.name = name
        self._clock = clock
        self._ahead = ahead
        self.account = Account(lambda event: self.deliveries.send(event), seed)  # noqa: PLW0108  not there yet
        self.deliveries = Deliveries(self.account.held["event"], self.account.ids)
        self.refuse = 0
        """How many of the next requests are answered with 429."""
        self.configurations: dict[str, Body] = {}
        self.connected: dict[str, Sandbox] = {}
        """The accounts that are connected to this one, each with objects of its own."""
        self._answers: dict[str, tuple[str, int, Body]] = {}

    def connect(self, name: str) -> "Sandbox":
        """Connect an account, by the same clock."""
        self.connected[name] = Sandbox(self.now, name=name)
        return self.connected[name]

    def now(self) -> int:
        """Return the sandbox's time, in Unix seconds."""
        return int(self._clock()) + self._ahead

    def outside(self) -> int:
        """Return the time where it was not put forward, in Unix seconds: what those see who receive from here."""
        return int(self._clock())

    def advance(self, until: int) -> None:
        """Put the clock forward, and let happen what Stripe does by itself meanwhile."""
        if until < self.now():
            raise BadRequest("Time goes forward alone.")
        self._ahead += until - self.now()
        self.pass_time()

    def pass_time(self) -> None:
        """Let happen what Stripe does by itself up to now, here and in connected accounts."""
        for one in (self, *self.connected.values()):
            one.account.pass_time(self.now())

    def once(
        self, key: str | None, said: str, do: Callable[[], tuple[int, Body]]
    ) -> tuple[int, Body]:
        """Do something, or return what came of it before under the same idempotency key."""
        if key is None:
            return do()
        if key in self._answers:
            before, status, body = self._answers[key]
            if before != said:
                raise BadRequest(
                    "Keys for idempotent requests can only be used with the same parameters they were first used with.",
                )
            return status, body
        found = do()
        self._answers[key] = (said, *found)
        while len(self._answers) > REMEMBERED:
            del self._answers[next(iter(self._answers))]
        return found
