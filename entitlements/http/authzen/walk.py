"""Which customers may use a feature: nobody keeps a list of them, so every customer held is come past.

A page comes past a bounded number of keys. It may therefore be short, or empty, and still not be the last.
"""

from msgspec.structs import replace
from starlette.requests import Request

from entitlements.http.asking import answerable, records
from entitlements.http.authzen.pages import Place
from entitlements.http.parameters import account_of
from entitlements.http.state import State
from entitlements.resolve import entitlement
from entitlements.store.walk import walk

STEPS = 10
"""Steps of a walk that a page makes at most."""

LEAST, BATCH = 50, 500
"""Keys of a step. A small page begins with few, so that not many customers are left for its token to carry."""


async def permitted(
    request: Request[State], feature: str, at: int | None, place: Place
) -> tuple[list[str], Place | None]:
    """Return the next customers who may use a feature, and the place after them; null at the end.

    None is named twice on a page. On two pages one may be, since a walk can come past the same customer again.
    """
    found = dict[str, None]()
    count, steps = max(LEAST, min(BATCH, place.limit)), 0
    while len(found) < place.limit and (place.waiting or (place.cursor and steps < STEPS)):
        if not place.waiting:
            place = await _step(request, place, count)
            count, steps = min(BATCH, 2 * count), steps + 1
        granted = await _granted(request, place.waiting, feature, at)
        fresh = [name for name in granted if name not in found]
        room = place.limit - len(found)
        found.update(dict.fromkeys(fresh[:room]))
        place = replace(place, waiting=tuple(fresh[room:]))
    over = place.cursor is None and not place.waiting
    return list(found), None if over else place


async def _step(request: Request[State], place: Place, count: int) -> Place:
    """Return the place after another step: the account's customers that it came past are waiting."""
    store, account = request.state["store"], account_of(request)
    subjects, following = await walk(store, int(place.cursor or 0), count)
    names = dict.fromkeys(s.customer for s in subjects if s.account == account)
    return replace(
        place, waiting=tuple(names), cursor=None if following is None else str(following)
    )


async def _granted(
    request: Request[State], names: tuple[str, ...], feature: str, at: int | None
) -> list[str]:
    found = map(answerable, await records(request, [(name, at) for name in names]))
    return [
        name
        for name, (record, instant) in zip(names, found, strict=True)
        if entitlement(record, feature, instant).granted
    ]
