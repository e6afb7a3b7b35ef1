"""One soak, from the first delivery to the judgement."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec

from entitlements.sandbox.shapes import Body
from tests.bench.figures import latency
from tests.bench.machine import ANYWHERE
from tests.bench.readers import Readers, reading
from tests.bench.soak.beside import beside, commands, questions
from tests.bench.soak.findings import Findings
from tests.bench.soak.judge import Probe, lost, mistakes, probes
from tests.bench.soak.memory import Watch
from tests.bench.soak.report import Report
from tests.bench.soak.traffic import traffic
from tests.bench.soak.world import World
from tests.bench.stage import entries
from tests.bench.subscriptions import Kind, created, customer, feature
from tests.crash.load import Ledger, Load, sending

READERS = 20
"""Of each service."""

ENDING = 5.0
"""Seconds between two customers whose access the clock ends."""

SETTLING = 3.0
"""Seconds for the last of these ends to be told."""

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
        self._ends: list[Probe] = []

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
                commands(world.commands, world.settings, findings),
            ):
                self._deliver(load)
                load.until_acknowledged()
                self._settle()
            self._judge_ledger(load.ledger)
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

    def _deliver(self, load: Load) -> None:
        """Send what is due when it is due, and now and then a customer whose access the clock will end."""
        began, ending = time.monotonic(), self._endings()
        next_end = 0.0
        rest = iter(self._traffic.deliveries)
        due = next(rest, None)
        while due is not None:
            at = time.monotonic() - began
            some = list[Body]()
            while due is not None and due.at <= at:
                some.append(due.event)
                due = next(rest, None)
            if at >= next_end:
                some.append(next(ending))
                next_end = at + ENDING
            if some:
                load.put(some)
            time.sleep(TICK)

    def _endings(self) -> Iterator[Body]:
        """Yield creations whose access ends a few seconds later; note what is true before and after."""
        n = 0
        while True:
            now = int(time.time())
            at = now + self._rng.randint(5, 20)
            kind = Kind(family=f"end{n}x", cancel_at=at)
            self._ends.append(Probe(customer(0, kind), feature(), at - 1, granted=True))
            self._ends.append(Probe(customer(0, kind), feature(), at, granted=False))
            body: Body = msgspec.json.decode(created(now, kind).body(0))
            yield body
            n += 1

    def _settle(self) -> None:
        """Wait until the clock has ended what it will end, and that is told."""
        time.sleep(max(0.0, max(end.at for end in self._ends) + SETTLING - time.time()))

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
        asked = probes(self._traffic.lives, self._seed) + self._ends
        for peer in self._world.peers:
            for what in mistakes(peer, asked):
                self._findings.is_wrong(what)
            self._findings.count("answers compared with the truth", len(asked))
