"""One life through one core in one way: every answer compared with what is true."""

from collections.abc import Iterator
from typing import NamedTuple

from entitlements.absorb import Held
from entitlements.history import relived
from entitlements.model import CustomerRecord
from entitlements.policy import BUILT_IN
from entitlements.resolve import entitlement
from tests.simulation.core import NOTHING, Core, decoded, service
from tests.simulation.delivery import MODES, Arrival
from tests.simulation.life import PRODUCT, Choose, History
from tests.simulation.truth import granted, instants
from tests.support.histories import START


class Wrong(NamedTuple):
    """An answer that is not what is true: about which instant, asked after how many deliveries."""

    at: int
    answer: bool
    reason: str
    after: int


class Run(NamedTuple):
    """What came of one life."""

    history: History
    arrivals: list[Arrival]
    wrong: list[Wrong]
    asked: int
    undecided: bool
    """Whether an answer of the end is flagged as in doubt."""


def run(history: History, mode: str, choose: Choose, core: Core = service) -> Run:
    """Deliver a life and ask: in order after each change, in the other ways at the end."""
    arrivals = MODES[mode](history, choose)
    held, asked, wrong = NOTHING, 0, list[Wrong]()
    seen = set[str]()
    for n, arrival in enumerate(arrivals, start=1):
        held = core(held, decoded(arrival), arrival.at).held
        seen.add(arrival.event["id"])
        if mode == "in order" and (told := _told(history, seen)):
            probes = list(_present(told, history))
            asked += len(probes)
            wrong += _mistakes(held, told, probes, n)
    probes = list(_all(held, history))
    asked += len(probes)
    wrong += _mistakes(held, history, probes, len(arrivals))
    return Run(history, arrivals, wrong, asked, _in_doubt(held))


def _told(history: History, seen: set[str]) -> History:
    """Return the changes that have been told whole, if no event of another one has come."""
    n = next((n for n, m in enumerate(history) if not _whole(m.events, seen)), len(history))
    apart = seen == {event["id"] for moment in history[:n] for event in moment.events}
    return history[:n] if apart else ()


def _whole(events: tuple[dict[str, object], ...], seen: set[str]) -> bool:
    return all(event["id"] in seen for event in events)


def _present(told: History, history: History) -> Iterator[int]:
    """Yield instants from the latest change on, up to the next."""
    following = next((m.at for m in history[len(told) :]), None)
    for at in instants(told):
        if at >= told[-1].at and (following is None or at < following):
            yield at


def _all(held: Held, history: History) -> Iterator[int]:
    """Yield instants from as far back as is kept."""
    base = held.subscription.base
    return (at for at in instants(history) if base is None or at >= base.at)


def _mistakes(held: Held, history: History, probes: list[int], after: int) -> Iterator[Wrong]:
    """Yield each answer that is wrong, and is not said to be in doubt."""
    if _in_doubt(held):
        return
    latest = max((d.as_of for d in held.customer.decisions.values()), default=START)
    life = None
    for at in probes:
        if at < latest and life is None:
            life = relived(held.customer, {"": held.subscription}, BUILT_IN)
        record: CustomerRecord = life if life and at < latest else held.customer
        said = entitlement(record, PRODUCT, at)
        if said.granted != granted(history, at) and not _doubted(record):
            yield Wrong(at, said.granted, said.reason, after)


def _in_doubt(held: Held) -> bool:
    return _doubted(held.customer)


def _doubted(record: CustomerRecord) -> bool:
    return any("ambiguous" in decision.flags for decision in record.decisions.values())


def story(found: Run) -> str:
    """Tell a run, a line an event in the order in which it happened, and what was answered wrongly."""
    places = {a.event["id"]: n for n, a in reversed(list(enumerate(found.arrivals, start=1)))}
    lines = ["happened     came  event"]
    for moment in found.history:
        for event in moment.events:
            place = places.get(event["id"])
            came = "never" if place is None else f"{place}."
            kind = event["type"].removeprefix("customer.subscription.")
            lines.append(f"{_after(moment.at):<12} {came:<5} {kind:<8} {moment.what}")
    for wrong in found.wrong[:5]:
        truth = "denied" if wrong.answer else "granted"
        lines.append(
            f"{_after(wrong.at)}: it is {truth}, and the answer after delivery {wrong.after} is "
            f"{'granted' if wrong.answer else 'denied'} ({wrong.reason})"
        )
    return "\n".join(lines)


def _after(at: int) -> str:
    return f"+{at - START} s" if at >= START else f"{at - START} s"
