"""At the end: every answer is the true one, and every delivery that was acknowledged is in the log once."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from httpx2 import Client

from entitlements.sandbox.peer import Peer
from tests.crash.check import Log
from tests.simulation.life import PRODUCT, History
from tests.simulation.truth import granted, instants

ASKED = 40
"""Instants of each life, at most."""

TOGETHER = 500
"""Questions in a batch."""


class Probe(NamedTuple):
    """A question, and the true answer."""

    customer: str
    feature: str
    at: int
    granted: bool


def probes(lives: Mapping[str, History], seed: int) -> list[Probe]:
    """Return questions around the instants at which the promise of each life may change."""
    rng = Random(seed)  # noqa: S311  a test's own
    found = list[Probe]()
    for customer, history in lives.items():
        all_ = list(instants(history))
        chosen = rng.sample(all_, min(ASKED, len(all_)))
        found += [Probe(customer, PRODUCT, at, granted(history, at)) for at in chosen]
    return found


def mistakes(peer: Peer, asked: Sequence[Probe]) -> Iterator[str]:
    """Ask a service; yield each answer that is not the true one, or is in doubt although every event came."""
    headers = {"Authorization": f"Bearer {peer.token}"}
    with Client(base_url=peer.url, headers=headers, timeout=60, trust_env=False) as http:
        for n in range(0, len(asked), TOGETHER):
            some = asked[n : n + TOGETHER]
            checks = [{"customer": p.customer, "feature": p.feature, "at": p.at} for p in some]
            reply = http.post("/v1/checks", json={"checks": checks})
            answers: list[Any] = reply.json().get("data", [])
            if len(answers) != len(some):
                yield f"{peer.url} answered {reply.status_code}: {reply.text[:300]}"
                continue
            yield from (_mistake(p, a) for p, a in zip(some, answers, strict=True) if _wrong(p, a))


def _wrong(probe: Probe, answer: Mapping[str, Any]) -> bool:
    return answer.get("granted") != probe.granted or "ambiguous" in answer.get("flags", ())


def _mistake(probe: Probe, answer: Mapping[str, Any]) -> str:
    true = "granted" if probe.granted else "denied"
    return f"{probe.customer} at {probe.at} is {true}, and the answer is {answer}"


def lost(url: str, acknowledged: Mapping[str, str]) -> list[str]:
    """Return which acknowledged events are not in the log exactly once."""
    log = Log()
    return [*log.read(url), *log.missing(acknowledged)]
