"""Events that are offered to be taken in again, and what tells at a glance that one is held already.

Most of a replay is held already. So an event from the log is not decompressed, and none is folded, where its ids say
that it is a fact of its subscription's record.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from entitlements.decode import TYPES, Decoded, NotUnderstood, OtherEvent, decode
from entitlements.ingest import event_id
from entitlements.model import READ, Outcome, SubscriptionEvent
from entitlements.store import marks
from entitlements.store.cold import UNKNOWN, Known
from entitlements.store.entry import Logged
from entitlements.store.marks import About
from entitlements.store.replays import Asked
from entitlements.store.store import Store


class Offer(NamedTuple):
    """One authentic event."""

    event: str
    about: About | None
    """Null where it says nothing about a subscription, as far as is known without reading it."""
    read: Callable[[], bytes]
    """Returns its body."""
    logged: Logged | None = None
    """Its entry, where it comes from the log: then it is not written there again unless it moves something."""


class Load(NamedTuple):
    """Some events, and how far their source has been read with them."""

    offers: Sequence[Offer]
    cursor: str
    """Where to go on behind them."""
    share: float | None
    """How much of the source has been read (0 to 1), where that is known."""
    unreadable: Sequence[str] = ()
    """What else came and could not be read, a sentence each."""


def of_body(body: bytes, read: Decoded) -> Offer:
    """Return the offer of a body that has been decoded."""
    about = About(read.subject, read.subscription) if isinstance(read, SubscriptionEvent) else None
    return Offer(event_id(read, body), about, lambda: body)


def of_entry(entry: Logged) -> Offer:
    """Return the offer of an entry of the log; what was quarantined may be understood by now, and is read again."""
    subject, name = entry.subject, entry.subscription
    told = subject and name and entry.outcome != "quarantined"
    about = About(subject, name) if subject and name and told else None
    return Offer(entry.event, about, lambda: entry.body, entry)


def wanted(asked: Asked, read: Decoded) -> bool:
    """Tell whether a decoded event is one that is asked for."""
    if asked.event is not None and asked.event != _id(read):
        return False
    if isinstance(read, NotUnderstood):
        return not (asked.type or asked.customer or asked.subscription or asked.account)
    about: tuple[str | None, ...]
    if isinstance(read, OtherEvent):
        kind, created, about = read.type, read.created, (read.account, None, None)
    else:
        kind, created = read.fact.type, read.fact.created
        about = (read.subject.account, read.subject.customer, read.subscription)
    pairs = zip((asked.account, asked.customer, asked.subscription), about, strict=True)
    return (
        _is_of(kind, asked.type)
        and (asked.since is None or created >= asked.since)
        and (asked.until is None or created < asked.until)
        and all(wish in {None, said} for wish, said in pairs)
    )


def _id(read: Decoded) -> str | None:
    return read.fact.event if isinstance(read, SubscriptionEvent) else read.event


def _is_of(kind: str, wish: str | None) -> bool:
    """Tell whether a type is the one that is wished for: `*` at the end is any, as in Stripe's list of events."""
    if wish is None or kind == wish:
        return True
    return wish.endswith("*") and kind.startswith(wish[:-1])


async def settled(store: Store, offers: Sequence[Offer]) -> list[Outcome | None]:
    """Return of each event what would become of it where its ids tell; null where it has to be looked at.

    In one round trip. Raises StoreError.
    """
    about = {offer.about: None for offer in offers if offer.about}
    found = await marks.known(store, about)
    return [_settled(offer, found.get(offer.about, UNKNOWN)) for offer in offers]  # type: ignore[arg-type]  # None is no key


def _settled(offer: Offer, held: Known) -> Outcome | None:
    if offer.event in held.events:
        return "duplicate"
    entry = offer.logged
    if entry is None:
        return None
    if offer.about:
        gone = entry.created is not None and entry.created <= held.begins
        return "stale" if gone else None
    return "duplicate" if _moves_nothing_still(entry) else None


def _moves_nothing_still(entry: Logged) -> bool:
    """Tell whether what the log has of an event that moved nothing is all that there is to it, to this version too."""
    if entry.outcome == "quarantined":
        return isinstance(decode(entry.body), NotUnderstood)
    return entry.type not in TYPES and entry.type != READ
