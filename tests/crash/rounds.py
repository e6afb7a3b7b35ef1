"""Rounds of load with a kill in the middle of each, and the judgement at the end."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from entitlements.resolve import entitlement
from entitlements.sandbox.peer import Peer, Question, connect
from entitlements.sandbox.shapes import Body
from tests.crash.check import Log, faults, questions
from tests.crash.load import Load, sending
from tests.crash.world import World, started
from tests.support.bodies import event
from tests.support.lives import events_of

CUSTOMERS = 3
"""New in each round, with two subscriptions each."""

STEPS = 4
AGAIN = 8
"""Deliveries of a round that repeat earlier ones, at most."""


class Figures(NamedTuple):
    """What a run did, and what it found."""

    counted: Counter[str]
    seconds: float
    wrong: list[str]


def run(kind: str, rounds: int, seed: int) -> Figures:
    """Kill so many times; return the figures. What is wrong is a sentence each, and ends the run."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ent-") as home, started(kind, Path(home)) as world:
        peers = [service.peer for service in world.services]
        with sending(peers, seed) as load:
            crash = Crash(world, load, seed)
            for _ in range(rounds):
                if not load.ledger.wrong:
                    crash.round()
        counted = crash.kills + load.ledger.counted + Counter(events=len(crash.bodies))
        wrong = load.ledger.wrong or crash.judged()
    return Figures(counted, time.monotonic() - began, wrong)


class Crash:
    """One run: the events so far, in the order in which they happened, and what is known of the log."""

    def __init__(self, world: World, load: Load, seed: int) -> None:
        self.bodies: list[Body] = []
        self.kills = Counter[str]()
        self._world = world
        self._load = load
        self._log = Log()
        self._rng = random.Random(seed)  # noqa: S311  a test's own

    def round(self) -> None:
        """Send new events and old ones, shuffled; kill at a random moment; go on until all are acknowledged."""
        rng = self._rng
        new = list(self._happened())
        old = rng.sample(self.bodies, min(len(self.bodies), AGAIN))
        work = [*new, *rng.sample(new, AGAIN), *old]
        rng.shuffle(work)
        self.bodies += new
        self._load.put(work)
        self._load.until_started(rng.randint(1, len(work)))
        time.sleep(rng.uniform(0, 0.005))  # somewhere within a delivery, not always at its start
        victim = rng.choice(sorted(self._world.victims))
        self._world.victims[victim]()
        self.kills[f"kill: {victim}"] += 1
        self._load.until_acknowledged()
        self._load.ledger.wrong += self._log.read(self._world.url)
        self._load.ledger.wrong += self._log.missing(self._load.ledger.outcomes)

    def _happened(self) -> Iterator[Body]:
        for n in range(CUSTOMERS):
            customer = f"cus_{len(self.bodies)}_{n}"
            for _ in range(2):
                yield from events_of(self._rng, customer, STEPS)
            yield event({"customer": customer}, "invoice.paid", id=f"evt_of_{customer}")

    def judged(self) -> list[str]:
        """Compare what is held, and what is answered, with an undisturbed fold."""
        wrong = asyncio.run(faults(self._world.url, self.bodies, self._log))
        for service in self._world.services:
            wrong += _answers_otherwise(service.peer, self.bodies)
        return wrong


def _answers_otherwise(peer: Peer, bodies: list[Body]) -> Iterator[str]:
    with connect(peer) as http:
        for subject, feature, at, record in questions(bodies):
            reply = http.ask(Question(subject.customer, feature, at))
            wanted = entitlement(record, feature, at)
            said = (reply.body.get("granted"), reply.body.get("reason"), reply.body.get("until"))
            if said != (wanted.granted, wanted.reason, wanted.until):
                yield f"{subject} {feature} at {at} is answered {said}, not {wanted}"
