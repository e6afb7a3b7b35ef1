"""Stripe under load: signed deliveries from several threads, each sent again until it is acknowledged."""

import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

from entitlements.errors import EntitlementsError
from entitlements.sandbox.peer import Peer, Reply, Service, connect
from entitlements.sandbox.shapes import Body
from tests.support.servers import until

SENDERS = 6
PAUSE = 0.02
"""Seconds before what was not acknowledged is sent again."""

PATIENCE = 60.0
"""Seconds for all of a round to be acknowledged."""


class Ledger:
    """What was sent and what came of it. Shared by the senders."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        """Of each acknowledged event: the outcome that is not `duplicate`, once one was told."""
        self.counted = Counter[str]()
        self.wrong: list[str] = []
        self.started = 0
        self.open = 0
        self._lock = threading.Lock()

    def expect(self, deliveries: int) -> None:
        """Begin a round of so many deliveries."""
        with self._lock:
            self.started, self.open = 0, self.open + deliveries

    def sends(self, event: str) -> bool:
        """Note that an event is sent; tell whether it was acknowledged before."""
        with self._lock:
            self.started += 1
            self.counted["sent"] += 1
            return event in self.outcomes

    def hears(self, event: str, reply: Reply | None, *, before: bool) -> bool:
        """Note what came back, null where nothing did; tell whether it is acknowledged."""
        with self._lock:
            if reply is None:
                self.counted["no answer"] += 1
            elif reply.status == HTTPStatus.SERVICE_UNAVAILABLE:
                self.counted["refused"] += 1
            elif reply.ok:
                self._acknowledged(event, str(reply.body["outcome"]), before=before)
                return True
            else:
                self.wrong.append(f"{event} was answered {reply.status}: {reply.why}")
            return False

    def _acknowledged(self, event: str, outcome: str, *, before: bool) -> None:
        self.open -= 1
        self.counted["acknowledged"] += 1
        self.counted[outcome] += 1
        if outcome == "duplicate":
            self.outcomes.setdefault(event, outcome)
            return
        if before:
            self.wrong.append(f"{event} was acknowledged, lost, and then {outcome} anew")
        elif self.outcomes.get(event, "duplicate") != "duplicate":
            self.wrong.append(f"{event} was {self.outcomes[event]} and also {outcome}")
        self.outcomes[event] = outcome


class Load:
    """The senders, and the queue that they share."""

    def __init__(self, peers: Sequence[Peer], seed: int) -> None:
        self.ledger = Ledger()
        self._peers = peers
        self._queue = queue.SimpleQueue[Body | None]()
        self._threads = [
            threading.Thread(target=self._send, args=[random.Random(f"{seed} {n}")])  # noqa: S311
            for n in range(SENDERS)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, deliveries: Sequence[Body]) -> None:
        """Begin to send."""
        self.ledger.expect(len(deliveries))
        for body in deliveries:
            self._queue.put(body)

    def until_started(self, deliveries: int) -> None:
        """Wait until so many were sent for the first time or again."""
        until(lambda: self.ledger.started >= deliveries or not self.ledger.open, PATIENCE)

    def until_acknowledged(self) -> None:
        """Wait until nothing is open, or something is wrong."""
        until(lambda: self.ledger.open == 0 or self.ledger.wrong, PATIENCE)

    def stop(self) -> None:
        """End the senders."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _send(self, rng: random.Random) -> None:
        with ExitStack() as stack:
            services = [stack.enter_context(connect(peer)) for peer in self._peers]
            while (body := self._queue.get()) is not None:
                before = self.ledger.sends(body["id"])
                reply = _reply(rng.choice(services), body)
                if not self.ledger.hears(body["id"], reply, before=before):
                    time.sleep(PAUSE)
                    self._queue.put(body)


def _reply(service: Service, body: Body) -> Reply | None:
    try:
        return service.deliver(body, int(time.time()))
    except EntitlementsError:
        return None


@contextmanager
def sending(peers: Sequence[Peer], seed: int) -> Iterator[Load]:
    """Run the senders for as long as the block runs."""
    load = Load(peers, seed)
    try:
        yield load
    finally:
        load.stop()
