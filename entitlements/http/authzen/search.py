"""AuthZEN's searches: which features a customer may use, which customers may use a feature, and whether at all.

A page's token says where the next one begins, and of which search; it holds no secret, and opens nothing. Each page is
judged at its own present. https://openid.net/specs/authorization-api-1_0.html, "Search APIs".
"""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from entitlements import metrics
from entitlements.errors import BeyondRetention, StoreUnavailable
from entitlements.http.asking import one_record
from entitlements.http.authzen.pages import Place, place_of, token_of
from entitlements.http.authzen.walk import permitted
from entitlements.http.authzen.words import (
    CUSTOMER,
    FEATURE,
    USE,
    Action,
    Context,
    Entity,
    Kind,
    Page,
    call,
    foreign,
    read,
)
from entitlements.http.endpoint import routed
from entitlements.http.state import State
from entitlements.resolve import entitlement, entitlements
from entitlements.wire import id_of


class SubjectSearch(Struct, frozen=True):
    """The question of which subjects may do this to this resource."""

    subject: Kind
    action: Action
    resource: Entity
    context: Context | None = None
    page: Page | None = None


class ResourceSearch(Struct, frozen=True):
    """The question of which resources this subject may do this to."""

    subject: Entity
    action: Action
    resource: Kind
    context: Context | None = None
    page: Page | None = None


class ActionSearch(Struct, frozen=True):
    """The question of what this subject may do to this resource."""

    subject: Entity
    resource: Entity
    context: Context | None = None
    page: Page | None = None


class PageInfo(Struct, frozen=True):
    """How much is here, and where it goes on: at the end an empty token."""

    next_token: str
    count: int


class Results(Struct, frozen=True):
    """A page of what was found."""

    page: PageInfo
    results: list[dict[str, str]]


_subject = msgspec.json.Decoder(SubjectSearch)
_resource = msgspec.json.Decoder(ResourceSearch)
_action = msgspec.json.Decoder(ActionSearch)
_encode = msgspec.json.Encoder().encode


async def search_subject(request: Request[State]) -> Response:
    """Name customers who may use a feature. There is no index of them: every customer held is walked past."""
    asked, raw = await read(request, _subject)
    if foreign(asked.subject.type, asked.action.name, asked.resource.type):
        return _said([], None)
    feature = id_of(asked.resource.id, "resource.id")
    place = place_of(request, raw, asked.page)
    found, following = await permitted(request, feature, _at(asked.context), place)
    metrics.answered("authzen_search_subject", len(found))
    return _said([{"type": CUSTOMER, "id": name} for name in found], following)


async def search_resource(request: Request[State]) -> Response:
    """Name the features that a customer may use, in the order of their names."""
    asked, raw = await read(request, _resource)
    if foreign(asked.subject.type, asked.action.name, asked.resource.type):
        return _said([], None)
    customer = id_of(asked.subject.id, "subject.id")
    place = place_of(request, raw, asked.page)
    record, at = await one_record(request, customer, _at(asked.context))
    granted = [e.feature for e in entitlements(record, at) if e.granted]
    found, following = _from(granted, place)
    metrics.answered("authzen_search_resource", len(found))
    return _said([{"type": FEATURE, "id": name} for name in found], following)


async def search_action(request: Request[State]) -> Response:
    """Name what a customer may do with a feature: use it, or nothing."""
    asked, raw = await read(request, _action)
    if foreign(asked.subject.type, USE, asked.resource.type):
        return _said([], None)
    customer = id_of(asked.subject.id, "subject.id")
    feature = id_of(asked.resource.id, "resource.id")
    place = place_of(request, raw, asked.page)
    record, at = await one_record(request, customer, _at(asked.context))
    granted = [USE] if entitlement(record, feature, at).granted else []
    found, following = _from(granted, place)
    metrics.answered("authzen_search_action", len(found))
    return _said([{"name": name} for name in found], following)


def _at(context: Context | None) -> int | None:
    return context.at if context else None


def _from(names: Sequence[str], place: Place) -> tuple[Sequence[str], Place | None]:
    """Return the next of some sorted names, and the place after them; null where there are no more."""
    start = bisect_right(names, place.after)
    found = names[start : start + place.limit]
    if start + len(found) == len(names):
        return found, None
    after = found[-1] if found else place.after
    return found, msgspec.structs.replace(place, after=after)


def _said(results: list[dict[str, str]], following: Place | None) -> Response:
    page = PageInfo(token_of(following) if following else "", len(results))
    return Response(_encode(Results(page, results)), media_type="application/json")


_SUBJECT = {"type": CUSTOMER, "id": "cus_demo"}
_RESOURCE = {"type": FEATURE, "id": "pro"}

routes = routed(
    "AuthZEN",
    call(
        "search/subject",
        search_subject,
        SubjectSearch,
        {"subject": {"type": CUSTOMER}, "action": {"name": USE}, "resource": _RESOURCE},
        Results,
        StoreUnavailable,
    ),
    call(
        "search/resource",
        search_resource,
        ResourceSearch,
        {"subject": _SUBJECT, "action": {"name": USE}, "resource": {"type": FEATURE}},
        Results,
        BeyondRetention,
        StoreUnavailable,
    ),
    call(
        "search/action",
        search_action,
        ActionSearch,
        {"subject": _SUBJECT, "resource": _RESOURCE},
        Results,
        BeyondRetention,
        StoreUnavailable,
    ),
)
