"""Lives of subscriptions, made by hypothesis: what truly happened, and the facts that Stripe would tell of it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.model import Before, Fact, Item, PauseCollection, Snapshot

START = 1_800_000_000
MONTH = 30 * 86_400
KIND = "customer.subscription."


class Life(NamedTuple):
    """A history: the facts in the order in which they happened, and the state after the last."""

    facts: tuple[Fact, ...]
    end: Snapshot


def snapshot(status: str = "active", **fields: object) -> Snapshot:
    """Return a subscription of one item, collection not paused."""
    given = {"items": (item(),), "pause_collection": None, **fields}
    return Snapshot(status=status, **given)  # type: ignore[arg-type]  # a builder of tests takes any field


def item(
    name: str = "si_1", product: str = "pro", end: int | None = START + MONTH, quantity: int = 1
) -> Item:
    """Return an item whose period ends a month after START."""
    return Item(
        id=name, product=product, price=f"price_{product}", quantity=quantity, period_end=end
    )


def before(old: Snapshot, new: Snapshot) -> Before:
    """Return what `previous_attributes` would say of a change."""
    pairs = ((n, getattr(old, n), getattr(new, n)) for n in new.__struct_fields__)
    return Before(**{name: was for name, was, now in pairs if was != now})


def created(at: int, state: Snapshot, event: str = "evt_created") -> Fact:
    """Return the event of a creation."""
    return Fact(event=event, type=f"{KIND}created", created=at, snapshot=state)


def updated(
    at: int, old: Snapshot, new: Snapshot, event: str = "evt_updated", request: str | None = None
) -> Fact:
    """Return the event of a change."""
    return Fact(event, f"{KIND}updated", at, new, before(old, new), request or f"req_{event}")


def point(at: int, state: Snapshot, kind: str, event: str) -> Fact:
    """Return an event that says how the subscription is, not what changed."""
    return Fact(event=event, type=f"{KIND}{kind}", created=at, snapshot=state)


behaviors = st.sampled_from(["keep_as_draft", "mark_uncollectible", "void"])
pauses = st.builds(PauseCollection, behaviors, st.none() | st.integers(START, START + 4 * MONTH))
open_statuses = st.sampled_from(
    ["trialing", "active", "past_due", "unpaid", "incomplete", "paused"]
)


@st.composite
def changes(draw: st.DrawFn, old: Snapshot) -> Snapshot:
    """Draw what one change makes of a state."""
    kind = draw(st.sampled_from(["status", "pause", "renew", "cancel_at", "quantity"]))
    if kind == "status":
        return replace(old, status=draw(open_statuses))
    if kind == "pause":
        return replace(old, pause_collection=draw(st.none() | pauses))
    if kind == "renew":
        return replace(
            old,
            items=tuple(replace(i, period_end=(i.period_end or START) + MONTH) for i in old.items),
        )
    if kind == "cancel_at":
        return replace(old, cancel_at=draw(st.none() | st.integers(START, START + 4 * MONTH)))
    return replace(
        old, items=tuple(replace(i, quantity=draw(st.integers(1, 5))) for i in old.items)
    )


firsts = st.sampled_from(["active", "trialing", "incomplete"]).map(snapshot)


@st.composite
def lives(
    draw: st.DrawFn,
    *,
    most: int = 10,
    first: st.SearchStrategy[Snapshot] = firsts,
    change: Callable[[Snapshot], st.SearchStrategy[Snapshot]] = changes,
) -> Life:
    """Draw a life with same-second bursts, twins, points beside updates, and perhaps an end."""
    at, state = START, draw(first)
    facts = [created(at, state)]
    for n in range(draw(st.integers(0, most))):
        at += draw(st.sampled_from([0, 0, 1, 3600, MONTH]))
        new = draw(change(state))
        facts += draw(_told(at, state, new, n))
        state = new
    if draw(st.booleans()):
        at += draw(st.sampled_from([0, 1]))
        state = replace(state, status="canceled", pause_collection=None)
        facts.append(point(at, state, "deleted", "evt_deleted"))
    return Life(tuple(facts), state)


@st.composite
def _told(draw: st.DrawFn, at: int, old: Snapshot, new: Snapshot, n: int) -> list[Fact]:
    """Draw the events of one change: its own, perhaps a twin, perhaps the point that Stripe sends beside it."""
    told = [updated(at, old, new, f"evt_{n}", f"req_{n}")]
    if draw(st.integers(0, 4)) == 0:
        told.append(updated(at, old, new, f"evt_{n}_twin", f"req_{n}"))
    if "paused" in {old.status, new.status} and old.status != new.status:
        told.append(
            point(at, new, "paused" if new.status == "paused" else "resumed", f"evt_{n}_point")
        )
    return told


@st.composite
def deliveries(draw: st.DrawFn, facts: Sequence[Fact]) -> list[Fact]:
    """Draw an order of arrival, in which every fact arrives once."""
    return draw(st.permutations(facts))
