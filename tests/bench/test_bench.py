"""The parts of the benchmark: wrong answers are found, numbers are what they say, customers as deliveries make them."""

import asyncio
import io
import itertools
import os
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from entitlements.ingest import Ingest
from entitlements.policy import BUILT_IN
from entitlements.verify import verify
from tests.bench import machine, plots, preload
from tests.bench.cases import CASES, Case, Target, closure
from tests.bench.comparing import Part, series
from tests.bench.errand import Errand, timed
from tests.bench.figures import Spread, latency, percentile, slope
from tests.bench.generator import run
from tests.bench.job import Job, Latency, Result
from tests.bench.loads import some
from tests.bench.readers import BEGINS, CHANGE, HEARD, Reader
from tests.bench.report import rows, show
from tests.bench.rounds import DIRTY
from tests.bench.subscriptions import SECRET, Kind, created, customer, renewed
from tests.bench.wire import WIRES, Wrong, command, get
from tests.support.servers import client
from tests.support.stores import opened

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@given(st.integers(0, len(OK)), st.binary(max_size=20))
def test_an_answer_ends_where_its_length_says(cut: int, more: bytes) -> None:
    """However it comes: a part of it is not whole, and what follows it is not part of it."""
    http = WIRES["http"]
    assert http.end(OK[:cut]) == (len(OK) if cut == len(OK) else 0)
    assert http.end(OK + more) == len(OK)


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        ("http", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("resp", b"-NOSCRIPT No matching script.\r\n"),
    ],
)
def test_an_answer_that_is_an_error_is_wrong(wire: str, answer: bytes) -> None:
    """No load goes on over errors."""
    with pytest.raises(Wrong):
        WIRES[wire].end(answer)


def test_a_reply_of_the_store_ends_with_its_line() -> None:
    """An integer, and nothing else."""
    resp = WIRES["resp"]
    assert [resp.end(b":"), resp.end(b":1\r\n"), resp.end(b":1\r\n:1\r\n")] == [0, 4, 4]


def test_a_command_is_what_redis_reads() -> None:
    """Words of any kind, by their length in bytes."""
    assert (
        command(["GET", "ü", 1, b"x"])
        == b"*4\r\n$3\r\nGET\r\n$2\r\n\xc3\xbc\r\n$1\r\n1\r\n$1\r\nx\r\n"
    )


@given(st.lists(st.integers(1, 10**12), min_size=1))
def test_percentiles_are_values_that_came(values: list[int]) -> None:
    """Each no less than the one before, the last the longest, and so many values do not exceed it."""
    found = latency(values)
    ordered = [found.p50, found.p90, found.p99, found.p999, found.longest]
    assert ordered == sorted(ordered)
    assert found.longest == max(values) / 1e9
    assert sum(v / 1e9 <= found.p90 for v in values) >= 0.9 * len(values)
    assert percentile([], 0.5) == 0


def test_a_slope_is_that_of_the_line() -> None:
    """By so much for each one."""
    assert slope([(0, 1), (1, 3), (2, 5)]) == 2
    assert slope([(0, 1), (2, 1)]) == 0


def test_what_a_case_needs_is_measured_before_it() -> None:
    """A ratio needs the other rate of its round, and half of a load the whole one."""
    for case in CASES:
        names = [each.name for each in closure({case.name})]
        assert names[-1] == case.name
        assert case.needs <= set(names)
    assert [case.name for case in closure({"batch-100"})] == ["hello", "one-hot", "batch-100"]
    assert closure(set()) == list(CASES)


def test_a_delivery_is_what_the_service_verifies() -> None:
    """Each body is another customer's, and signed."""
    now = int(time.time())
    kind = Kind(each=2)
    for shape in (created(now, kind), renewed(now, 3, kind)):
        first, second = shape.deliveries(range(2, 4), now)
        assert first != second
        head, _, body = second.partition(b"\r\n\r\n")
        (header,) = [line for line in head.split(b"\r\n") if line.startswith(b"Stripe-Signature: ")]
        assert verify(body, header.partition(b": ")[2], [SECRET], now).at == now
        assert msgspec.json.decode(body)["data"]["object"]["customer"] == customer(1, kind)
        assert len(body) > 6_000


def held(url: str) -> dict[bytes, object]:
    """Return what a store holds of customers, but for when it came, and by which delivery."""
    found: dict[bytes, object] = {}
    plain: Any  # redis-py's own types are not precise
    with client(url) as plain:
        for key in plain.keys("ent:*"):
            match plain.type(key):
                case b"string":
                    found[key] = re.sub(rb'\d{13},"[^"]*"', b"", plain.get(key))
                case b"stream":
                    found[key] = [_without(fields) for _, fields in plain.xrange(key)]
                case b"zset":
                    found[key] = plain.zrange(key, 0, -1, withscores=True)
                case _:
                    found[key] = plain.hgetall(key)
    return found


def _without(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {k: v for k, v in fields.items() if k not in {b"received_ms", b"delivery"}}


async def deliver(url: str, bodies: Sequence[bytes], now: int) -> None:
    """Take in bodies one after the other."""
    async with opened(url) as store:
        ingest = Ingest(store, await store.policy(BUILT_IN))
        for body in bodies:
            await ingest.deliver(body, now)


def test_customers_in_bulk_are_as_deliveries_leave_them(store_url: str) -> None:
    """Every key is the same, the log included."""
    now = int(time.time())
    shape = created(now, Kind(family="b", features=3, each=2, cancel_at=now + 60))
    preload.fill(store_url, (shape, range(4)))
    bulk = held(store_url)
    with client(store_url) as plain:
        plain.flushall()
    asyncio.run(deliver(store_url, [shape.body(n) for n in range(4)], now))
    assert held(store_url) == bulk
    assert len(bulk) > 4 + 2 * 3


def test_a_renewal_is_a_renewal(store_url: str) -> None:
    """Of a customer who was taken in before, time and again: nothing about the answer changes, and that is said."""
    now = int(time.time())
    preload.fill(store_url, (created(now - 5, Kind()), range(1)))

    async def outcomes() -> list[str]:
        async with opened(store_url) as store:
            ingest = Ingest(store, await store.policy(BUILT_IN))
            bodies = [renewed(now + n, n, Kind()).body(0) for n in range(3)]
            return [(await ingest.deliver(body, now + 5)).outcome for body in bodies]

    assert asyncio.run(outcomes()) == ["unchanged"] * 3


@asynccontextmanager
async def answering(*answers: bytes, after: float = 0) -> AsyncGenerator[tuple[str, int]]:
    """Serve these answers in turn, each so many seconds after its request; give the address."""
    turn, talks = itertools.cycle(answers), list[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(after)
                writer.write(next(turn))
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(talk(reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[:2]
        await asyncio.gather(*talks)


def loaded(*answers: bytes, after: float = 0, **given: Any) -> Result:  # noqa: ANN401  any field of a job
    """Return what a short load comes to, against these answers."""

    async def measured() -> Result:
        async with answering(*answers, after=after) as address:
            plain: dict[str, Any] = {"connections": 2, "warm": 0.05, "seconds": 0.2, "watched": {}}
            plain |= {"requests": [get("/", "token")], "expects": b"{}"}
            return await run(Job(addresses=[address], **plain | given))

    return asyncio.run(measured())


def test_a_load_is_counted() -> None:
    """Answers within the time, and how long they took."""
    found = loaded(OK, after=0.01)
    assert found.wrong == []
    assert 2 <= found.answers <= 2 * (0.25 / 0.01)
    assert 0.01 <= found.latency.p50 <= found.latency.longest
    assert found.rate == pytest.approx(found.answers / found.seconds)


def test_what_is_due_is_timed_from_when_it_was_due() -> None:
    """A server that answers ten times too slowly is not asked less: what waits for it has waited."""
    found = loaded(OK, after=0.05, rate=200.0, connections=1)
    assert found.wrong == []
    assert found.answers >= 200 * 0.2 * 0.8
    assert found.latency.longest > 1


@pytest.mark.parametrize(
    ("answers", "given", "said"),
    [
        ((OK,), {"expects": b"granted"}, "HTTP/1.1 200"),
        ((OK,), {"times": 2}, "HTTP/1.1 200"),
        ((OK, BUSY), {}, "HTTP/1.1 503"),
        ((OK,), {"once": True}, "too few requests"),
        ((OK,), {"once": True, "rate": 1000.0}, "too few requests"),
    ],
)
def test_whatever_is_wrong_is_told(
    answers: tuple[bytes, ...], given: dict[str, Any], said: str
) -> None:
    """An answer without what it must hold, or with too much of it; a refusal; a load that is over too soon."""
    assert said in "\n".join(loaded(*answers, **given).wrong)


def test_a_refusal_can_be_forgiven_and_is_counted() -> None:
    """Where the machine has too much else to do."""
    found = loaded(OK, BUSY, forgives=True)
    assert (found.wrong, found.refused > 0, found.answers > 0) == ([], True, True)


def result(rate: float, p99: float = 0.001, **given: Any) -> Result:  # noqa: ANN401  any field of a result
    """Return what a load of one second came to."""
    took = Latency(p50=p99, p90=p99, p99=p99, p999=p99, longest=p99)
    plain: dict[str, Any] = {"answers": int(rate), "seconds": 1.0, "latency": took, "late": 0.0}
    plain |= {"refused": 0, "wrong": [], "used": {"server": 0.5}, "others": 0.0}
    return Result(**plain | given)


def case(name: str, **given: Any) -> Case:  # noqa: ANN401  any field of a case
    """Return a case that is never run."""
    return Case(name=name, title=name, job=lambda *_: pytest.fail("it is not run"), **given)


def test_ratios_are_those_of_each_round() -> None:
    """A machine that is twice as fast in one round is that for both: the ratio stays."""
    cases = [case("floor"), case("mine", answers=10, targets=(Target("floor", 5.0),), p99=0.002)]
    slow, fast = result(100), result(200, others=2 * DIRTY)
    results = {"floor": [slow, fast], "mine": [result(60), result(120, p99=0.004)]}
    floor, mine = rows(cases, results)
    assert (floor.rate, floor.dirty, floor.met) == (Spread(150, 100, 200), 1, None)
    assert mine.ratios[0].times == Spread(6, 6, 6)
    assert (mine.ratios[0].met, mine.met) == (True, False)
    assert mine.ratios[0].by_cpu == pytest.approx(6)
    assert mine.cpu == {"server": pytest.approx(0.5 / 90 * 1e6, rel=0.2)}
    out = io.StringIO()
    show([floor, mine], Console(file=out, width=120))
    assert "1 dirty" in out.getvalue()
    assert "mine, times floor" in out.getvalue()
    assert "missed" in out.getvalue()


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_reader_counts_each_change_once(cut: int) -> None:
    """However its words are cut up on their way; what came before the first heartbeat was before it joined."""
    reader = Reader(b"")
    came = BEGINS + b"OK\r\n\r\n" + HEARD + (CHANGE + b"id: 1\ndata: {}\n\n") * 3
    for n in range(0, len(came), cut):
        reader.data_received(came[n : n + cut])
    assert (reader.told, reader.joined.is_set(), reader.lost) == (3, True, False)


def test_a_reader_who_is_refused_is_lost() -> None:
    """It does not wait for a feed that does not come."""
    reader = Reader(b"")
    reader.data_received(BUSY)
    assert (reader.joined.is_set(), reader.lost) == (True, True)


def test_a_part_is_drawn(tmp_path: Path) -> None:
    """As text, with how each value compares with the first, and as a picture."""
    rates = series(
        "queries", "a second", {1_000: [90, 100, 110], 100_000: [40, 50, 60]}, {1_000: 2}
    )
    part = Part("customers", "as customers grow", "customers", [rates])
    said = plots.text(part)
    assert "100,000 customers" in said
    assert "0.50 times  (40 to 60)" in said
    assert "(90 to 110, 2 dirty)" in said
    plots.draw(part, tmp_path / "part.png")
    assert (tmp_path / "part.png").read_bytes().startswith(b"\x89PNG")


def test_customers_are_chosen_once_each() -> None:
    """As many as are asked for, or all there are; the same ones every time."""
    assert sorted(some(5, 5, seed=1)) == [0, 1, 2, 3, 4]
    assert some(3, 100, seed=1) == some(3, 100, seed=1)
    assert len(set(some(50, 100, seed=2))) == 50


def errand(outcomes: dict[str, int], **settings: str) -> Result:
    """Return what a replay of a file of two events comes to, of which the second is no news any more."""
    command = ["replay", settings.pop("file"), "--apply", "--reason", "a test", "--json"]
    asked = Errand(command=command, settings=settings, outcomes=outcomes, store=os.getpid())
    return timed(asked, machine.ANYWHERE.server)


def test_an_errand_is_timed_and_must_do_what_it_is_for(store_url: str, tmp_path: Path) -> None:
    """A command that ends otherwise, or made something else of the events, is wrong."""
    shape, file = created(int(time.time()), Kind(family="x")), tmp_path / "events.jsonl"
    bodies = [msgspec.json.format(shape.body(n), indent=-1) for n in (1, 2)]
    file.write_bytes(b"\n".join(bodies))
    given = {"file": str(file), "ENTITLEMENTS_REDIS_URL": store_url}
    found = errand({"applied": 2}, **given)
    assert (found.wrong, found.answers) == ([], 2)
    assert found.seconds > 0
    (said,) = errand({"applied": 2}, **given).wrong
    assert "{'duplicate': 2}" in said
    (said,) = errand({"applied": 2}, **given | {"file": str(tmp_path / "nowhere")}).wrong
    assert "ended with 2" in said
