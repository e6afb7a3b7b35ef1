"""What each call of Stripe's API does to a sandbox.

Source: https://docs.stripe.com/api.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from entitlements.errors import BadRequest, NotFound
from entitlements.sandbox.account import OVER
from entitlements.sandbox.forms import Form, values, whole
from entitlements.sandbox.shapes import Body
from entitlements.sandbox.world import Sandbox

KINDS = {
    "customers": ("customer", "cus"),
    "products": ("product", "prod"),
    "prices": ("price", "price"),
}

SHOWN = 10
"""Items of a subscription that its own list shows."""


class Asked(Struct, frozen=True):
    """One request: its address and what stands in that, its fields, and the present."""

    url: str
    path: dict[str, str]
    form: Form
    now: int


Handler = Callable[[Sandbox, Asked], Any]


def paged(
    objects: Iterable[Body], asked: Asked, fits: Callable[[Body], bool] = lambda _: True
) -> Body:
    """Return one page of those that fit, of objects that come oldest first, the newest first.

    The page begins at any of the objects, whether it fits or not, as Stripe's recipe for lost events has it:
    https://docs.stripe.com/webhooks/process-undelivered-events.
    """
    newest = list(objects)[::-1]
    limit = whole(asked.form, "limit") or 10
    if limit > 100:  # noqa: PLR2004  Stripe's own
        raise BadRequest("Limit cannot exceed 100.")
    names = [one["id"] for one in newest]
    if after := asked.form.get("starting_after"):
        newest = newest[_place(names, after) + 1 :]
    before = asked.form.get("ending_before")
    if before:
        newest = newest[: _place(names, before)]
    found = list(filter(fits, newest))
    page = found[-limit:] if before else found[:limit]
    return _list(page, len(found) > limit, asked.url)


def _place(names: list[str], name: str) -> int:
    if name not in names:
        raise NotFound(f"No such object: '{name}'")
    return names.index(name)


def _list(data: list[Body], has_more: bool, url: str) -> Body:  # noqa: FBT001  a field of it
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _create(sandbox: Sandbox, asked: Asked) -> Body:
    kind, prefix = KINDS[asked.url.split("/")[2]]
    if kind == "price":
        return sandbox.account.create_price(asked.form, asked.now)
    plain = {k: v for k, v in asked.form.items() if k in {"id", "name", "email", "metadata"}}
    return sandbox.account.add(kind, prefix, asked.now, **plain)


def _read(sandbox: Sandbox, asked: Asked) -> Body:
    return sandbox.account.find(KINDS[asked.url.split("/")[2]][0], asked.path["id"])


def _all(sandbox: Sandbox, asked: Asked) -> Body:
    held = sandbox.account.held[KINDS[asked.url.split("/")[2]][0]].values()
    keys = set(values(asked.form, "lookup_keys"))
    return paged(held, asked, lambda one: not keys or one.get("lookup_key") in keys)


def _subscriptions(sandbox: Sandbox, asked: Asked) -> Body:
    status, customer = asked.form.get("status"), asked.form.get("customer")
    held = sandbox.account.held["subscription"].values()
    page = paged(held, asked, lambda s: _has(s, status) and customer in {None, s["customer"]})
    return page | {"data": [_shown(one) for one in page["data"]]}


def _shown(subscription: Body) -> Body:
    """Return a subscription as the API shows it: the first of its items, and whether there are more."""
    items = subscription["items"]
    more = len(items["data"]) > SHOWN
    return subscription | {"items": items | {"data": items["data"][:SHOWN], "has_more": more}}


def _items(sandbox: Sandbox, asked: Asked) -> Body:
    subscription = sandbox.account.find("subscription", asked.form.get("subscription", ""))
    return paged(subscription["items"]["data"][::-1], asked)


def _has(subscription: Body, status: str | None) -> bool:
    """Tell whether a subscription is listed under a status; under none, what is over is left out."""
    over = subscription["status"] in OVER
    if status in {None, "all", "ended"}:
        return status == "all" or over == (status == "ended")
    return bool(subscription["status"] == status)


def _events(sandbox: Sandbox, asked: Asked) -> Body:
    kinds = values(asked.form, "types") or [asked.form.get("type", "*")]
    if len(kinds) > 20:  # noqa: PLR2004  Stripe's own
        raise BadRequest("Up to 20 types.")
    delivered = asked.form.get("delivery_success")

    def fits(one: Body) -> bool:
        return (
            any(_is_kind(one["type"], kind) for kind in kinds)
            and _is_within(one["created"], asked.form.get("created"))
            and delivered in {None, str(not sandbox.deliveries.undelivered(one["id"])).lower()}
        )

    return paged(sandbox.account.held["event"].values(), asked, fits)


def _is_kind(name: str, kind: str) -> bool:
    return name.startswith(kind[:-1]) if kind.endswith("*") else name == kind


def _is_within(created: int, asked: Any) -> bool:  # noqa: ANN401  as it came
    if not isinstance(asked, dict):
        return asked is None or created == int(asked)
    at = {name: whole(asked, name) for name in ("gt", "gte", "lt", "lte")}
    least = max((at["gt"] or -1) + 1, at["gte"] or 0)
    most = min(math.inf if at["lt"] is None else at["lt"] - 1, at["lte"] or math.inf)
    return least <= created <= most


def _retry(sandbox: Sandbox, asked: Asked) -> Body:
    event = sandbox.account.find("event", asked.path["id"])
    if endpoint := asked.form.get("webhook_endpoint"):  # else only listening command lines get it
        sandbox.deliveries.again(event["id"], endpoint, asked.now)
    return event


def _register(sandbox: Sandbox, asked: Asked) -> Body:
    if not asked.form.get("url"):
        raise BadRequest("Missing required param: url.")
    types = values(asked.form, "enabled_events")
    return sandbox.deliveries.register(asked.form["url"], types, asked.now)


def _endpoints(sandbox: Sandbox, asked: Asked) -> Body:
    return paged(sandbox.deliveries.endpoints.values(), asked)


def _change_endpoint(sandbox: Sandbox, asked: Asked) -> Body:
    found = sandbox.deliveries.find(asked.path["id"])
    if "disabled" in asked.form:
        found["status"] = "disabled" if asked.form["disabled"] == "true" else "enabled"
    found["url"] = asked.form.get("url", found["url"])
    found["enabled_events"] = values(asked.form, "enabled_events") or found["enabled_events"]
    return found


def _remove_endpoint(sandbox: Sandbox, asked: Asked) -> Body:
    sandbox.deliveries.remove(asked.path["id"])
    return {"id": asked.path["id"], "object": "webhook_endpoint", "deleted": True}


def _portal_session(sandbox: Sandbox, asked: Asked) -> Body:
    customer = sandbox.account.find("customer", asked.form.get("customer", ""))
    name = sandbox.account.ids("bps")
    return {
        "id": name,
        "object": "billing_portal.session",
        "configuration": asked.form.get("configuration"),
        "created": asked.now,
        "customer": customer["id"],
        "flow": asked.form.get("flow_data"),
        "livemode": False,
        "return_url": asked.form.get("return_url"),
        "url": f"https://billing.stripe.com/p/session/test_{name}",
    }


def _configure(sandbox: Sandbox, asked: Asked) -> Body:
    name = sandbox.account.ids("bpc")
    sandbox.configurations[name] = {
        "id": name,
        "object": "billing_portal.configuration",
        "active": True,
        "created": asked.now,
        "features": asked.form.get("features", {}),
        "is_default": not sandbox.configurations,
        "livemode": False,
        "metadata": {},
    }
    return sandbox.configurations[name]


def _clock(sandbox: Sandbox, asked: Asked) -> Body:
    ahead, until = whole(asked.form, "advance"), whole(asked.form, "to")
    if until is not None or ahead is not None:
        sandbox.advance(asked.now + (ahead or 0) if until is None else until)
    now = sandbox.now()
    return {"object": "sandbox.clock", "now": now, "due": sandbox.deliveries.count_due(now)}


def _refuse(sandbox: Sandbox, asked: Asked) -> Body:
    sandbox.refuse = whole(asked.form, "times") or 0
    return {"object": "sandbox.refusal", "times": sandbox.refuse}


def _silence(sandbox: Sandbox, asked: Asked) -> Body:
    sandbox.account.silent = whole(asked.form, "times") or 0
    return {"object": "sandbox.silence", "times": sandbox.account.silent}


def _retries(sandbox: Sandbox, asked: Asked) -> Body:
    given = ({"waits": one} for one in values(asked.form, "waits"))
    sandbox.deliveries.waits = tuple(whole(one, "waits") or 0 for one in given)
    return {"object": "sandbox.retries", "waits": list(sandbox.deliveries.waits)}


def _subscription(what: str) -> Handler:
    return lambda sandbox, asked: sandbox.account.act(asked.path["id"], what, asked.now)


_ONE = "/v1/subscriptions/{id}"
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1/account", lambda s, _: {"id": s.name, "object": "account"}),
    ("POST", "/v1/subscriptions", lambda s, a: s.account.subscribe(a.form, a.now)),
    ("GET", "/v1/subscriptions", _subscriptions),
    ("GET", _ONE, lambda s, a: _shown(s.account.find("subscription", a.path["id"]))),
    ("POST", _ONE, lambda s, a: _shown(s.account.update(a.path["id"], a.form, a.now))),
    ("GET", "/v1/subscription_items", _items),
    ("DELETE", _ONE, _subscription("cancel")),
    ("POST", f"{_ONE}/pause", _subscription("pause")),
    ("POST", f"{_ONE}/resume", _subscription("resume")),
    ("GET", "/v1/events", _events),
    ("GET", "/v1/events/{id}", lambda s, a: s.account.find("event", a.path["id"])),
    ("POST", "/v1/events/{id}/retry", _retry),
    ("POST", "/v1/webhook_endpoints", _register),
    ("GET", "/v1/webhook_endpoints", _endpoints),
    ("GET", "/v1/webhook_endpoints/{id}", lambda s, a: s.deliveries.find(a.path["id"])),
    ("POST", "/v1/webhook_endpoints/{id}", _change_endpoint),
    ("DELETE", "/v1/webhook_endpoints/{id}", _remove_endpoint),
    ("POST", "/v1/billing_portal/sessions", _portal_session),
    ("POST", "/v1/billing_portal/configurations", _configure),
    (
        "GET",
        "/v1/billing_portal/configurations",
        lambda s, a: paged(s.configurations.values(), a),
    ),
    *(("POST", f"/v1/{kind}", _create) for kind in KINDS),
    *(("GET", f"/v1/{kind}", _all) for kind in KINDS),
    *(("GET", f"/v1/{kind}/{{id}}", _read) for kind in KINDS),
    ("POST", "/_sandbox/clock", _clock),
    ("GET", "/_sandbox/clock", _clock),
    ("POST", "/_sandbox/refuse", _refuse),
    ("POST", "/_sandbox/silence", _silence),
    ("POST", "/_sandbox/retries", _retries),
    *(
        ("POST", f"/_sandbox/subscriptions/{{id}}/{what}", _subscription(what))
        for what in ("past_due", "unpaid", "activate")
    ),
)
