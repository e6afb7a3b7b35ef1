"""What is said of an account at Stripe, by rules alone."""

import pytest

from entitlements.decode import TYPES
from entitlements.doctor.account import PATH, SKEW, clock, mode, portal, webhooks
from entitlements.doctor.finding import Level
from entitlements.policy import BUILT_IN, Policy
from entitlements.policy_file import parse
from entitlements.stripe_api.shapes import (
    Features,
    PortalConfiguration,
    SubscriptionPause,
    WebhookEndpoint,
)
from entitlements.verify import TOLERANCE

URL = f"https://shop.example{PATH}"


@pytest.mark.parametrize(
    ("key", "chosen", "pinned", "level"),
    [
        (True, True, True, "OK"),
        (None, None, None, "OK"),
        (False, None, False, "OK"),
        (True, False, None, "FAIL"),
        (True, True, False, "FAIL"),
        (None, True, False, "FAIL"),
    ],
)
def test_key_settings_and_store_are_of_one_mode(
    key: bool | None,  # noqa: FBT001  a case of a table
    chosen: bool | None,  # noqa: FBT001  likewise
    pinned: bool | None,  # noqa: FBT001  likewise
    level: Level,
) -> None:
    """What is not said is no contradiction."""
    found = mode("acct_1", key=key, chosen=chosen, pinned=pinned)
    assert (found.level, found.detail.startswith("acct_1")) == (level, True)
    assert (level == "OK") == (found.remedy is None)


@pytest.mark.parametrize(
    ("ahead", "level"),
    [
        (0.0, "OK"),
        (SKEW - 1.0, "OK"),
        (float(SKEW), "WARN"),
        (-float(SKEW), "WARN"),
        (float(TOLERANCE), "FAIL"),
        (-float(TOLERANCE), "FAIL"),
    ],
)
def test_a_clock_that_refuses_signatures_fails(ahead: float, level: Level) -> None:
    """And one that comes near it is told before."""
    assert clock(ahead).level == level
    assert ("ahead of" in str(clock(ahead))) == (ahead > 0)


def endpoint(**fields: object) -> WebhookEndpoint:
    """Return an endpoint as it should be, but for some fields."""
    given = {
        "id": "we_1",
        "url": URL,
        "status": "enabled",
        "enabled_events": tuple(TYPES),
        "livemode": True,
        "api_version": "2026-10-28.endive",
    }
    return WebhookEndpoint(**(given | fields))  # type: ignore[arg-type]  # any field


BY_REASON = parse('[paused]\nfinal_payment_failure = "grant"\n')
BY_REASON_IN_A_SCOPE = parse(
    '[[scope]]\nproduct = "prod_1"\npaused.final_payment_failure = "grant"\n'
)


@pytest.mark.parametrize(
    ("fields", "policy", "levels", "words"),
    [
        ({}, BUILT_IN, ["OK"], "2026-10-28.endive"),
        ({"api_version": None}, BY_REASON, ["OK"], "the account's API version"),
        ({"status": "disabled"}, BUILT_IN, ["FAIL"], "is disabled"),
        (
            {"enabled_events": tuple(TYPES - {"customer.subscription.updated"})},
            BUILT_IN,
            ["FAIL"],
            "is not sent customer.subscription.updated",
        ),
        ({"enabled_events": ("*",)}, BUILT_IN, ["WARN"], "invoice.created"),
        ({"enabled_events": (*TYPES, "invoice.created")}, BUILT_IN, ["WARN"], "invoices wait"),
        ({"enabled_events": (*TYPES, "invoice.paid")}, BUILT_IN, ["OK"], "enabled"),
        ({"api_version": "2025-03-31.basil"}, BUILT_IN, ["OK"], "2025-03-31.basil"),
        ({"api_version": "2025-03-31.basil"}, BY_REASON, ["WARN"], "do not say why"),
        ({"api_version": "2025-03-31.basil"}, BY_REASON_IN_A_SCOPE, ["WARN"], "do not say why"),
        ({"status": "disabled", "enabled_events": ()}, BUILT_IN, ["FAIL", "FAIL"], "disabled"),
    ],
)
def test_an_endpoint_is_judged(
    fields: dict[str, object], policy: Policy, levels: list[Level], words: str
) -> None:
    """Whether it sends what is needed, and nothing that holds invoices up."""
    found = webhooks([endpoint(**fields)], policy)
    assert [one.level for one in found] == levels
    assert words in str(found[0])


def test_the_endpoint_is_found_by_its_address() -> None:
    """Or by its path alone, where the address is not known."""
    other = endpoint(url="https://other.example/hooks", status="disabled")
    elsewhere = endpoint(url=f"https://test.example{PATH}", status="disabled")
    assert [one.level for one in webhooks([other, endpoint()], BUILT_IN)] == ["OK"]
    assert [one.level for one in webhooks([elsewhere, endpoint()], BUILT_IN)] == ["FAIL", "OK"]
    assert [one.level for one in webhooks([elsewhere, endpoint()], BUILT_IN, URL)] == ["OK"]
    for missing in (webhooks([other], BUILT_IN), webhooks([endpoint()], BUILT_IN, f"{URL}/")):
        assert [one.level for one in missing] == ["FAIL"]
        assert "customer.subscription.resumed" in str(missing[0].remedy)


def configuration(*, pause: bool | None = True, active: bool = True) -> PortalConfiguration:
    """Return a configuration of the portal."""
    features = Features(None if pause is None else SubscriptionPause(pause))
    return PortalConfiguration("bpc_1", active, is_default=True, livemode=True, features=features)


@pytest.mark.parametrize(
    ("found", "policy", "level"),
    [
        ([], BUILT_IN, "OK"),
        ([configuration(pause=None)], BUILT_IN, "OK"),
        ([configuration(pause=False)], BUILT_IN, "OK"),
        ([configuration(active=False)], parse('[status]\npaused = "grant"\n'), "OK"),
        ([configuration()], BUILT_IN, "OK"),
        ([configuration()], parse('[status]\npaused = "grant"\n'), "WARN"),
        ([configuration()], parse('[paused]\npause_requested = "grant"\n'), "WARN"),
        (
            [configuration()],
            parse('[status]\npaused = "grant"\n[paused]\npause_requested = "revoke"\n'),
            "OK",
        ),
        (
            [configuration()],
            parse('[pause_collection]\nvoid = { access = "review", while_pending = "revoke" }\n'),
            "WARN",
        ),
        (
            [configuration()],
            parse(
                "[pause_collection.trialing]\n"
                'void = { access = "review", while_pending = "revoke" }\n'
            ),
            "WARN",
        ),
        (
            [configuration()],
            parse('[[scope]]\nproduct = "prod_1"\nstatus.paused = "grant"\n'),
            "WARN",
        ),
    ],
)
def test_pauses_that_customers_make_are_covered_by_policy(
    found: list[PortalConfiguration], policy: Policy, level: Level
) -> None:
    """Neither left to a person each time, nor given away."""
    judged = portal(found, policy)
    assert judged.level == level
    assert ("bpc_1" in str(judged)) == any(one.active and one.customers_pause for one in found)
