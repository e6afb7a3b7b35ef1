"""One soak, from the first delivery to the judgement."""

import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack

from entitlements.sandbox.shapes import Body
from tests.bench.figures import latency
from tests.bench.machine import ANYWHERE
from tests.bench.readers import Readers, reading
from tests.bench.soak.beside import beside, questions
from tests.bench.soak.duties import MEANWHILE, again, at_the_end, do
from tests.bench.soak.ending import Ending
from tests.bench.soak.findings import Findings
from tests.bench.soak.judge import lost, mistakes, probes
from tests.bench.soak.memory import Watch
from tests.bench.soak.report import Report
from tests.bench.soak.stripe import ends, untold
from tests.bench.soak.traffic import traffic
from tests.bench.soak.world import World
from tests.bench.stage import entries
from tests.crash.load import Ledger, Load, sending

READERS = 20
"""Of each service."""

ENDING = 5.0
"""Seconds between two customers whose access the clock ends."""

SETTLING = 2.0
"""Seconds for the last changes to reach the readers."""

TICK = 0.05


class Soak:
    """A soak of a world for so many seconds, at so many deliveries a second."""

    def __init__(self, world: World, seconds: float, rate: float, seed: int) -> None:
        self._world = world
        self._seconds = seconds
        self._rate = rate
        self._seed = seed
        self._traffic = traffic(int(seconds * rate), seconds, seed)
        self._findings = Findings()
        self._watch = Watch(world.processes)
        self._rng = random.Random(seed)  # noqa: S311  a test's own
        self._ends: list[Ending] = []
        self._open: list[Ending] = []
        """Of these, those that are not over yet."""

    def run(self) -> Report:
        """Do it all; return the report."""
        world, findings = self._world, self._findings
        before, began = entries(world.url, "changes"), time.time()
        with ExitStack() as open_:
            readers = [
                open_.enter_context(reading(READERS, service, ANYWHERE.load))
                for service in world.services
            ]
            load = open_.enter_context(sending(world.peers, self._seed))
            customers = list(self._traffic.lives)
            with beside(
                self._watch.until,
                questions(world.peers, customers, self._rate, findings),
                again(MEANWHILE, world.settings, findings),
            ):
                world.stripe.holds(*ends(self._traffic.lives))
                self._deliver(load)
                load.until_acknowledged()
            self._reconcile()
            self._judge_ledger(load.ledger)
            time.sleep(SETTLING)
            self._judge_readers(readers, entries(world.url, "changes") - before)
        self._judge_answers()
        return Report(
            minutes=(time.time() - began) / 60,
            seed=self._seed,
            counted=dict(findings.counted),
            query=latency(findings.took),
            memory=self._watch.growth(),
            wrong=findings.wrong + self._watch.wrong(),
        )

    def _reconcile(self) -> None:
        """Nothing in the log is news, and every subscription is held as it is at Stripe."""
        subscriptions = len(self._traffic.lives) + len(self._ends)
        events, left = entries(self._world.url, "log"), untold(self._traffic.lives)
        for duty in at_the_end(events, subscriptions, left):
            do(duty, self._world.settings, self._findings)

    def _deliver(self, load: Load) -> None:
        """Send what is due when it is due, and now and then a customer whose access the clock will end."""
        began, next_end = time.monotonic(), 0.0
        rest = deque(self._traffic.deliveries)
        while rest or self._open:
            at, some = time.monotonic() - began, list[Body]()
            while rest and rest[0].at <= at:
                some.append(rest.popleft().event)
            if rest and at >= next_end:
                next_end = at + ENDING
                some.append(self._begin_to_end())
            some += self._over()
            if some:
                load.put(some)
            time.sleep(TICK)

    def _begin_to_end(self) -> Body:
        ending = Ending(len(self._ends), self._rng.randint(5, 20))
        self._ends.append(ending)
        self._open.append(ending)
        return ending.created

    def _over(self) -> Iterator[Body]:
        """Yield the events of those that have ended; from then on they are over at Stripe as well."""
        for ending in [ending for ending in self._open if ending.is_told()]:
            self._open.remove(ending)
            self._world.stripe.holds(ending.body)
            yield ending.deleted

    def _judge_ledger(self, ledger: Ledger) -> None:
        findings = self._findings
        findings.counted += ledger.counted
        for what in ledger.wrong:
            findings.is_wrong(what)
        for what in ("refused", "no answer"):
            if ledger.counted[what]:
                findings.is_wrong(f"{ledger.counted[what]} deliveries: {what}")
        for what in lost(self._world.url, ledger.outcomes):
            findings.is_wrong(what)

    def _judge_readers(self, readers: list[Readers], made: int) -> None:
        """Every reader was told every change, those of the clock included."""
        self._findings.count("changes", made)
        for each in readers:
            told = each.end()
            if told.lost or told.changes != [made]:
                self._findings.is_wrong(f"of {made} changes readers were told {told}")

    def _judge_answers(self) -> None:
        asked = probes(self._traffic.lives, self._seed)
        asked += [probe for ending in self._ends for probe in ending.probes]
        for peer in self._world.peers:
            for what in mistakes(peer, asked):
                self._findings.is_wrong(what)
            self._findings.count("answers compared with the truth", len(asked))
