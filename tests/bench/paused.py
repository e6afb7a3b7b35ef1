"""How long the report of paused collection takes, and how much memory: `python -m tests.bench.paused`.

Fills an embedded store with subscriptions whose collection is paused, then runs `entitlements paused --csv` on it.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from entitlements.absorb import Held, absorb
from entitlements.decode import decode
from entitlements.model import Subject, SubscriptionEvent
from entitlements.policy import BUILT_IN
from entitlements.sandbox.event import encoded
from entitlements.sandbox.shapes import Body
from entitlements.store import keys
from entitlements.store.cold import NOTHING, encode
from entitlements.store.embedded import EmbeddedStore
from entitlements.store.store import NOBODY
from tests.support.bodies import event, pausing, subscription, update
from tests.support.command import COMMAND, environment
from tests.support.customers import opened
from tests.support.servers import client

BEHAVIORS = ("keep_as_draft", "mark_uncollectible", "void")
BATCH, LIVES = 2_000, 300
DAY = 86_400

_encode = msgspec.json.Encoder().encode


def fill(url: str, count: int, now: int) -> None:
    """Write so many paused subscriptions as their events leave them, paused within the last hundred days."""
    asyncio.run(_policy(url))
    lives = [_life(n, now) for n in range(LIVES)]
    with client(url) as store:
        for first in range(0, count, BATCH):
            pipe = store.pipeline(transaction=False)
            for n in range(first, min(first + BATCH, count)):
                subject, name = Subject(f"cus_{n:014}"), f"sub_{n:024}"
                life = lives[n % LIVES]
                p = keys.partition(str(subject), keys.PARTITIONS)
                pipe.set(keys.customer(p, subject), life.hot.replace(b"sub_x", name.encode()))
                pipe.set(keys.subscription(p, subject, name), life.cold)
                pipe.zadd(keys.shared(p, "paused"), {f"{subject} {name}": life.since})
            pipe.execute()


async def _policy(url: str) -> None:
    async with opened(url):
        pass


class _Life(NamedTuple):
    """What is held of a subscription, whose name is another one each time."""

    hot: bytes
    cold: bytes
    since: int


def _life(n: int, now: int) -> _Life:
    since = now - 10 - n * 7_919 % (100 * DAY)
    found = _lived(_events(n, "cus_x", "sub_x", since), now)
    return _Life(_encode(found.customer), encode(found.subscription), since)


def _lived(events: Iterator[Body], now: int) -> Held:
    held = Held(NOBODY, NOTHING)
    for body in events:
        told = decode(encoded(body))
        assert isinstance(told, SubscriptionEvent)
        found = absorb(held, told, BUILT_IN, now)
        held = Held(found.customer, found.subscription)
    return held


def _events(n: int, customer: str, name: str, since: int) -> Iterator[Body]:
    """Yield the events of a subscription: created, paused, and perhaps renewed while it is paused."""
    plain = subscription(id=name, customer=customer)
    plain["items"]["data"][0]["current_period_end"] = since + n % 30 * DAY
    paused = plain | pausing(BEHAVIORS[n % 3])
    yield event(plain, id=f"evt_{n:024}_a", created=since - 10)
    yield update(plain, paused, id=f"evt_{n:024}_b", created=since)
    if n % 2:
        renewed = paused | {"latest_invoice": f"in_{n:024}"}
        yield update(paused, renewed, id=f"evt_{n:024}_c", created=since + 1)


def measured(url: str) -> tuple[int, float, float, float]:
    """Run the report as a process. Returns its rows, its seconds, those of its processor, and the most MiB it took."""
    began = time.monotonic()
    env = environment(ENTITLEMENTS_REDIS_URL=url)
    with subprocess.Popen(
        [*COMMAND, "paused", "--csv"], env=env, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout
        rows = sum(1 for _ in running.stdout) - 1
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode == 0
    return rows, time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Fill, run, and print what was measured."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--subscriptions", type=int, default=100_000)
    count = asked.parse_args().subscriptions
    with (
        tempfile.TemporaryDirectory(prefix="ent-") as home,
        EmbeddedStore.start(Path(home)) as store,
    ):
        fill(store.url, count, int(time.time()))
        rows, seconds, busy, size = measured(store.url)
    assert rows == count
    sys.stdout.write(
        f"{rows} rows in {seconds:.1f} s ({busy:.1f} s of its processor), {size:.0f} MiB at most\n"
    )


if __name__ == "__main__":
    main()
