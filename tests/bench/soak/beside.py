"""What goes on beside the deliveries, each in a thread; and the questions of product services."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from entitlements.errors import EntitlementsError
from entitlements.sandbox.peer import Peer, Question, connect
from tests.bench.soak.findings import Findings
from tests.simulation.life import PRODUCT

Work = Callable[[threading.Event], None]
"""Goes on until it is told to stop."""


@contextmanager
def beside(*works: Work) -> Iterator[None]:
    """Let work go on for as long as the block runs, each in a thread."""
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=[stop]) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def questions(
    peers: Sequence[Peer], customers: Sequence[str], rate: float, findings: Findings
) -> Work:
    """Return work that asks so often a second, now one service and now the other; each must answer."""

    def ask(stop: threading.Event) -> None:
        rng = random.Random(1)  # noqa: S311  a test's own
        with ExitStack() as open_:
            services = [open_.enter_context(connect(peer)) for peer in peers]
            while not stop.wait(1 / rate):
                question = Question(rng.choice(customers), PRODUCT)
                began = time.perf_counter_ns()
                try:
                    reply = rng.choice(services).ask(question)
                except EntitlementsError as error:
                    findings.is_wrong(f"a query had no answer: {error}")
                    continue
                findings.answered(time.perf_counter_ns() - began)
                if not reply.ok or reply.body.get("stale"):
                    findings.is_wrong(f"a query was answered {reply.status}: {reply.body}")

    return ask
