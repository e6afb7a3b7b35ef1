"""Events that are offered to be taken in again, and what tells at a glance that one is held already.

Most of a replay is held already. So an event from the log is not decompressed, and none is folded, where its ids say
that it is a fact of its subscription's record.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from entitlements.decode import TYPES, NotUnderstood, decode, glimpse
from entitlements.ingest import event_id
from entitlements.model import READ, Outcome, Subject
from entitlements.store import marks
from entitlements.store.cold import UNKNOWN, Known
from entitlements.store.entry import Logged
from entitlements.store.marks import About
from entitlements.store.replays import Asked
from entitlements.store.store import Store

ANY = Asked(source="file")


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


def of_body(body: bytes) -> Offer:
    """Return the offer of a body."""
    seen = glimpse(body)
    if seen is None:
        return Offer(event_id(decode(body), body), None, lambda: body)
    about = _about(seen.account, seen.customer, seen.subscription)
    return Offer(seen.event, about, lambda: body)


def _about(account: str | None, customer: str | None, subscription: str | None) -> About | None:
    return About(Subject(customer, account), subscription) if customer and subscription else None


def of_entry(entry: Logged) -> Offer:
    """Return the offer of an entry of the log; what was quarantined may be understood by now, and is read again."""
    subject, name = entry.subject, entry.subscription
    told = subject and name and entry.outcome != "quarantined"
    about = About(subject, name) if subject and name and told else None
    return Offer(entry.event, about, lambda: entry.body, entry)


def wanted(asked: Asked, body: bytes) -> bool:
    """Tell whether a body is one that is asked for; what cannot be read is, unless it is asked for what is in it."""
    if asked == replace(ANY, source=asked.source, path=asked.path):
        return True
    seen = glimpse(body)
    if seen is None:
        found = decode(body)
        named = asked.event is None or asked.event == event_id(found, body)
        return named and not (asked.type or asked.customer or asked.subscription or asked.account)
    pairs = (
        (asked.event, seen.event),
        (asked.account, seen.account),
        (asked.customer, seen.customer),
        (asked.subscription, seen.subscription),
    )
    return (
        _is_of(seen.type, asked.type)
        and (asked.since is None or seen.created >= asked.since)
        and (asked.until is None or seen.created < asked.until)
        and all(wish in {None, said} for wish, said in pairs)
    )


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
