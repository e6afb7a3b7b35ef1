"""A log with many entries, written at once: as deliveries to several processes would have left it."""

from random import Random

from entitlements.cursor import Position
from entitlements.model import Outcome, Subject
from entitlements.store import keys
from entitlements.store.entry import Entry, Place
from tests.support.servers import client

PARTITIONS = keys.PARTITIONS
FIRST_MS = 1_790_000_000_000
"""When the first of them came. The store has it so too."""

KINDS = ("customer.subscription.created", "customer.subscription.updated", "invoice.paid")


def fill(url: str, count: int, *, seed: int = 1, customers: int = 50) -> list[tuple[Place, Entry]]:
    """Write so many entries, a few a millisecond, and return them in the order of the log."""
    rng, ms, found = Random(seed), FIRST_MS, list[tuple[Place, Entry]]()  # noqa: S311  a test's own
    last: dict[int, Position] = {}
    for n in range(count):
        ms += rng.choice([0, 0, 1, 1_000])
        entry = _entry(rng, n, ms, customers)
        p = keys.partition(entry.subject or entry.event, PARTITIONS)
        at = Position(ms, last[p].seq + 1 if p in last and last[p].ms == ms else 0)
        last[p] = at
        found.append((Place(at, p), entry))
    with client(url) as plain:
        for n in range(0, count, 500):
            with plain.pipeline(transaction=False) as pipe:
                for place, entry in found[n : n + 500]:
                    name = keys.shared(place.partition, "log")
                    said = entry.fields()
                    pipe.xadd(name, dict(zip(said[::2], said[1::2], strict=True)), str(place.at))
                pipe.execute()
    return sorted(found, key=lambda pair: pair[0])


def _entry(rng: Random, n: int, ms: int, customers: int) -> Entry:
    kind = rng.choice(KINDS)
    about = kind != "invoice.paid"
    whose = rng.randrange(customers)
    account = "acct_1" if whose % 5 == 0 else None
    outcome: Outcome = rng.choice(("applied", "unchanged", "stale")) if about else "ignored"
    return Entry(
        event=f"evt_{n}",
        type=kind,
        outcome=outcome,
        delivery=f"delivery_{n}",
        received_ms=ms,
        body=b'{"n":%d}' % n,
        created=ms // 1000,
        subject=str(Subject(f"cus_{whose}", account)) if about else "",
        subscription=f"sub_{whose}_{n % 2}" if about else "",
    )
