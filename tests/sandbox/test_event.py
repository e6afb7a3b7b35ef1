"""Events as an endpoint receives them, read by Stripe's own library."""

import json
import time

import pytest
import stripe

from entitlements.sandbox import subscription as life
from entitlements.sandbox.event import Endpoint, encoded, events, signed
from entitlements.sandbox.ids import Ids
from entitlements.sandbox.shapes import LATEST, Body, Terms
from entitlements.sandbox.subscription import Change

NOW = 1_801_353_600
SECRET, OTHER_SECRET = "whsec_test", "whsec_other"


def counting() -> Ids:
    """Return a maker of ids that count up: the same in every run."""
    made: list[str] = []

    def make(prefix: str) -> str:
        made.append(prefix)
        return f"{prefix}_{len(made)}"

    return make


CREATED = life.create(Terms("cus_1", "prod_1", "price_1"), NOW, counting())
PAUSED = life.pause_collection(CREATED.after, "void", NOW + 60)


@pytest.mark.parametrize("version", [LATEST, "2025-12-15.clover", "2024-06-20"])
def test_stripes_library_accepts_body_and_signature(version: str) -> None:
    """Body and header pass `construct_event`, and the fields are where the library looks for them."""
    found = _received(PAUSED, version)
    assert (found.type, found.api_version) == ("customer.subscription.updated", version)
    assert found.data.object.pause_collection.behavior == "void"
    assert found.data.object.status == "active"
    previous = found.data.previous_attributes
    assert previous is not None
    assert "pause_collection" in previous


def test_a_wrong_secret_is_refused_by_stripes_library() -> None:
    """The signature is a real one."""
    with pytest.raises(stripe.SignatureVerificationError):
        _received(PAUSED, LATEST, secret=OTHER_SECRET)


def test_an_event_has_stripes_envelope() -> None:
    """Nothing of the envelope is missing; `previous_attributes` is there for updates only."""
    [created] = events(CREATED, NOW, counting())
    assert list(created) == [
        *("id", "object", "api_version", "created", "data", "livemode"),
        *("pending_webhooks", "request", "type"),
    ]
    assert (created["object"], created["created"], created["livemode"]) == ("event", NOW, False)
    assert created["data"] == {"object": CREATED.after}


def test_two_events_of_one_change_share_its_request_and_state() -> None:
    """`paused` and `updated` differ in id and type; only the update says what was before."""
    paused, updated = events(life.pause(CREATED.after, NOW + 60), NOW + 60, counting())
    assert paused["id"] != updated["id"]
    assert paused["request"] == updated["request"]
    assert paused["data"]["object"] == updated["data"]["object"]
    assert paused["data"].keys() == {"object"}
    assert updated["data"]["previous_attributes"]["status"] == "active"


def test_what_stripe_does_by_itself_has_no_request() -> None:
    """A renewal was asked for by nobody; a pause was, with an idempotency key."""
    [renewed] = events(life.renew(CREATED.after, "in_2"), NOW, counting())
    [paused] = events(PAUSED, NOW, counting())
    assert renewed["request"] == {"id": None, "idempotency_key": None}
    assert paused["request"]["id"] == "req_1"
    assert len(paused["request"]["idempotency_key"]) == 36


def test_in_an_old_version_the_period_was_the_subscriptions() -> None:
    """What a renewal replaced is said in the shape of the endpoint's version."""
    [event] = events(
        life.renew(CREATED.after, "in_2"), NOW, counting(), Endpoint(api_version="2024-06-20")
    )
    before: Body = event["data"]["previous_attributes"]
    assert before.keys() == {"current_period_start", "current_period_end", "latest_invoice"}
    assert (before["current_period_start"], before["current_period_end"]) == life.period(
        CREATED.after
    )


def test_an_event_of_a_connected_account_names_it() -> None:
    """The key is missing, not null, on the platform's own events."""
    [event] = events(PAUSED, NOW, counting(), Endpoint(account="acct_1"))
    assert event["account"] == "acct_1"
    assert "account" not in events(PAUSED, NOW, counting())[0]


def test_the_same_arguments_make_the_same_bytes() -> None:
    """Nothing inside asks a clock or for randomness."""
    one, other = (events(PAUSED, NOW, counting()) for _ in range(2))
    assert encoded(one[0]) == encoded(other[0])
    assert json.loads(encoded(one[0])) == one[0]


def _received(change: Change, version: str, secret: str = SECRET) -> stripe.Event:
    [event] = events(change, NOW, counting(), Endpoint(api_version=version))
    body = encoded(event)
    headers = signed(body, secret, int(time.time()))
    found = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], SECRET)
    assert isinstance(found, stripe.Event)
    return found
