"""More customers: the same loads, what each customer takes, how long a start takes, and what a flip costs."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from entitlements.store import keys
from entitlements.store.embedded import EmbeddedStore
from tests.bench import machine, preload
from tests.bench.comparing import Part, Run, Series, Subjects, compare, series
from tests.bench.job import Job
from tests.bench.loads import Loads, Pace, names, one, some
from tests.bench.rounds import Void
from tests.bench.stage import Service
from tests.bench.subscriptions import Kind, created
from tests.support.command import environment, running
from tests.support.servers import client, until

KIND = Kind()
ASKED, THROUGH, RENEWED = 100, 10_000, 1_000
"""Customers who are asked about again and again; about whom the store is asked; who renew in one load."""

FLIPS = 2_000
"""Customers whose access ends at one second."""

LEADS = (10, 30, 90)
"""Seconds in which these are taken in; the longer ones where a busy machine does not manage."""

BEFORE = 0.2
"""Seconds before that second from which the worker's processor time counts."""

PATIENCE = 60.0
"""Seconds for all flips to be told."""

AGO = 3_600
"""Seconds since customers subscribed."""


class Held:
    """A store that holds so many customers, and a service on it."""

    def __init__(self, home: Path, count: int, run: Run, pace: Pace) -> None:
        self.count = count
        self._home = home
        self._run = run
        self._pace = pace
        self._order = some(count, count, seed=1)
        self._renewed = 0
        self._fill()
        self._store.stop()
        self.loading = self._start_store()
        self.bytes_each = (_memory(self._store.url) - self._empty) / count
        self.starting = self._start_service()

    def _fill(self) -> None:
        self._run.say(f"taking in {self.count:,} customers")
        self._start_store()
        self._empty = _memory(self._store.url)
        shape = created(int(time.time()) - AGO, KIND)
        preload.fill(self._store.url, (shape, range(self.count)))
        self._renewed = 0

    def _start_store(self) -> float:
        began = time.monotonic()
        with machine.pinned(self._run.places.load):
            self._store = EmbeddedStore.start(self._home / "data")
        return time.monotonic() - began

    def _start_service(self) -> float:
        home = self._home / f"serve-{time.monotonic_ns()}"
        self._service = Service(home, self._run.places, self._store)
        return self._service.start()

    def close(self) -> None:
        """End both."""
        self._service.stop()
        self._store.stop()

    def hot(self) -> Job:
        """Return questions about a few customers."""
        return self._loads.ask([one(name) for name in names(KIND, self._order[:ASKED])])

    def through(self) -> Job:
        """Return questions about many customers that go to the store."""
        asked = names(KIND, self._order[:THROUGH])
        return self._loads.ask([one(name, through=True) for name in asked])

    def renewals(self) -> Job:
        """Return renewals of customers who have not renewed before; a store that has none left is filled anew."""
        if self._renewed + RENEWED > self.count:
            self.close()
            shutil.rmtree(self._home / "data")
            self._fill()
            self._start_service()
        numbers = self._order[self._renewed : self._renewed + RENEWED]
        self._renewed += RENEWED
        return self._loads.renewals(KIND, numbers)

    @property
    def _loads(self) -> Loads:
        return Loads(self._service.server, self._pace)

    @contextmanager
    def working(self) -> Iterator[Callable[[int], tuple[float, float]]]:
        """Run a worker for as long as the block runs; give what lets flips come due (see `_flips`), by a number."""
        home = self._home / "worker"
        home.mkdir()
        env = environment(ENTITLEMENTS_REDIS_URL=self._store.url)
        with (
            machine.pinned(self._run.places.server),
            running("worker", home=home, env=env) as worker,
        ):
            worker.until('"working"')
            yield lambda n: self._flips(worker.process.pid, n)

    def _flips(self, worker: int, n: int) -> tuple[float, float]:
        """Let many answers change at one second; return the worker's processor time for each (µs), and how late (s)."""
        ends = self._will_end(n)
        time.sleep(ends - BEFORE - time.time())
        before = machine.used({"worker": worker})
        until(lambda: time.time() > ends and not _due(self._store.url, ends), PATIENCE)
        late = time.time() - ends
        used = machine.used({"worker": worker})["worker"] - before["worker"]
        return used / FLIPS * 1e6, late

    def _will_end(self, n: int) -> int:
        """Take in customers whose access ends a little later, all at the second that is returned."""
        for lead in LEADS:
            ends = int(time.time()) + lead
            kind = Kind(family=f"f{n}l{lead}x", cancel_at=ends)
            preload.fill(self._store.url, (created(ends - AGO, kind), range(FLIPS)))
            if time.time() < ends - BEFORE:
                return ends
        raise Void(f"{FLIPS} customers could not be taken in within {lead} s")


def growth(home: Path, sizes: Sequence[int], run: Run, pace: Pace) -> Part:
    """Measure at each number of customers."""
    with ExitStack() as open_:
        held = {count: _held(home, count, run, pace, open_) for count in sizes}
        subjects: Subjects = {
            count: {
                "queries, hot": each.hot,
                "queries, from the store": each.through,
                "webhooks, renewals": each.renewals,
            }
            for count, each in held.items()
        }
        found = compare(subjects, run)
        found += _once(held)
        found += _flipping(held, run)
    return Part("customers", "as customers grow", "customers", found)


def _held(home: Path, count: int, run: Run, pace: Pace, open_: ExitStack) -> Held:
    found = Held(home / str(count), count, run, pace)
    open_.callback(found.close)
    return found


def _once(held: dict[int, Held]) -> list[Series]:
    return [
        series("store, each customer", "bytes", {n: [h.bytes_each] for n, h in held.items()}),
        series("start of the store", "s", {n: [h.loading] for n, h in held.items()}),
        series("start of the service", "s", {n: [h.starting] for n, h in held.items()}),
    ]


def _flipping(held: dict[int, Held], run: Run) -> list[Series]:
    costs, delays = dict[int, list[float]](), dict[int, list[float]]()
    for count, each in held.items():
        run.say(f"flips, at {count:,}")
        with each.working() as flip:
            found = [flip(n) for n in range(run.rounds)]
        costs[count], delays[count] = [c for c, _ in found], [d for _, d in found]
    return [
        series("flip: CPU of the worker", "µs", costs),
        series(f"flip: the last of {FLIPS:,} told after", "s", delays),
    ]


def _memory(url: str) -> int:
    with client(url) as plain:
        return int(plain.info("memory")["used_memory"])


def _due(url: str, now: int) -> int:
    """Count those of whom something is due."""
    with client(url) as plain, plain.pipeline(transaction=False) as pipe:
        for p in range(keys.PARTITIONS):
            pipe.zcount(keys.shared(p, "due"), "-inf", now)
        return sum(pipe.execute())
