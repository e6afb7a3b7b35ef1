"""What the load generator is told, and what it tells: one of each for a measurement."""

from typing import Literal

from msgspec import Struct

Address = tuple[str, int] | str
"""Host and port, or the path of a socket."""


class Job(Struct, frozen=True, kw_only=True):
    """A load: what to send where, how, and for how long. Times are in seconds."""

    addresses: list[Address]
    """Connections are shared out among them."""
    requests: list[bytes]
    once: bool = False
    """Each request is sent once, and the load ends with the last of them; otherwise they go round."""
    expects: bytes
    """What is in every answer, so many `times`."""
    times: int = 1
    wire: Literal["http", "resp"] = "http"
    connections: int
    depth: int = 1
    """Requests on each connection that wait for their answers."""
    rate: float | None = None
    """Requests a second, sent on time whether or not earlier ones are answered; null: as soon as one is."""
    forgives: bool = False
    """A 503 is counted, and not wrong: the machine has too much else to do."""
    warm: float
    """Before it counts."""
    seconds: float
    watched: dict[str, int]
    """Processes whose use of the processor is told, by what they are called."""


class Latency(Struct, frozen=True, kw_only=True):
    """How long answers took, in seconds. Under a `rate` from when the request was due, not from when it was sent."""

    p50: float
    p90: float
    p99: float
    p999: float
    longest: float


class Result(Struct, frozen=True, kw_only=True):
    """What came of a load, after it was warm."""

    answers: int
    seconds: float
    latency: Latency
    late: float
    """Under a `rate`: by how much the generator itself sent too late, at the 99th percentile."""
    refused: int
    """Answers that were a 503."""
    wrong: list[str]
    """What was not as expected; the first few of it. Any makes the measurement void."""
    used: dict[str, float]
    """Seconds of processor time of each watched process and of the `generator`; empty where the system does not say."""
    others: float
    """The share of one processor that other processes used."""

    @property
    def rate(self) -> float:
        """Return answers a second."""
        return self.answers / self.seconds

    def each(self, process: str) -> float | None:
        """Return the microseconds of processor time that a process used for each answer, if that is known."""
        used = self.used.get(process)
        return None if used is None else used / max(1, self.answers) * 1e6
