"""OpenFeature's protocol: a flag for each feature, errors with the protocol's codes, and its public provider."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from httpx2 import Response
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    GeneralError,
    InvalidContextError,
    OpenFeatureError,
    TargetingKeyMissingError,
)
from openfeature.flag_evaluation import Reason

from entitlements.http.body import LIMIT
from entitlements.policy import BUILT_IN
from entitlements.sandbox.shapes import Body
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import event, pausing, subscription, update
from tests.support.doors import post, target
from tests.support.histories import MONTH, START
from tests.support.listening import listening
from tests.support.servers import frozen
from tests.support.service import READ, Service, bearer, serving

ALL = "/ofrep/v1/evaluate/flags"
PRO = f"{ALL}/pro"
PLAIN = subscription()
PAUSED = subscription(**pausing("void"))
UNPAID = PLAIN | {"id": "sub_2", "customer": "cus_2", "status": "unpaid"}


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give a service that knows a customer with `pro`, and one who does not pay for it."""
    async with serving(store_url) as found:
        await found.deliver(event(PLAIN))
        await found.deliver(event(UNPAID, id="evt_9"))
        yield found


def flag(**metadata: object) -> Body:
    """Return the flag of `pro` while the subscription is active, with other metadata if given."""
    said = {
        "reason": "active",
        "rule": "status.active",
        "subscription": "sub_1",
        "quantity": 1,
        "policy": BUILT_IN.digest,
    }
    return {
        "key": "pro",
        "value": True,
        "reason": "TARGETING_MATCH",
        "variant": "granted",
        "metadata": said | metadata,
    }


def failure(response: Response, code: str) -> str:
    """Return the details of a 400; fail where it could be taken for a value."""
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    said: Body = response.json()
    assert "value" not in said
    assert said["errorDetails"] == said["detail"]
    assert said["errorCode"] == code
    return str(said["errorDetails"])


# -- One


@pytest.mark.asyncio
async def test_a_flag_has_our_reason_and_times(service: Service) -> None:
    """Its metadata is words, numbers and truths, as the protocol wants it: what comes then is laid flat."""
    assert (await post(service, PRO, target())).json() == flag()
    await service.deliver(update(PLAIN, PAUSED))
    assert (await post(service, PRO, target())).json() == flag(
        reason="paused_void",
        rule="pause_collection.void",
        until=START + MONTH,
        then_granted=False,
        then_reason="paused_void",
    )
    service.clock.now = START + MONTH
    ended = (await post(service, PRO, target())).json()
    assert (ended["value"], ended["variant"], ended["reason"]) == (
        False,
        "denied",
        "TARGETING_MATCH",
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("who", "key", "reason"),
    [("cus_1", "seats", "unknown_feature"), ("cus_3", "pro", "unknown_customer")],
)
async def test_what_is_not_known_is_false(
    service: Service, who: str, key: str, reason: str
) -> None:
    """Never a 404, for which a caller would take its own default, which may be yes."""
    found = await post(service, f"{ALL}/{key}", target(who))
    assert found.status_code == 200
    assert found.json() == {
        "key": key,
        "value": False,
        "reason": "UNKNOWN",
        "variant": "denied",
        "metadata": {"reason": reason, "quantity": 0, "policy": BUILT_IN.digest},
    }


@pytest.mark.asyncio
async def test_keys_may_hold_a_slash(service: Service) -> None:
    """A lookup key can."""
    found = (await post(service, f"{ALL}/a/b%2Fc", target())).json()
    assert (found["key"], found["value"]) == ("a/b/c", False)


@pytest.mark.asyncio
async def test_what_else_the_context_has_decides_nothing(service: Service) -> None:
    """Callers send along what they have; a query of a later version does no harm."""
    more = {"at": "noon", "email": "x@example.com", "nested": {"a": [None]}}
    assert (await post(service, PRO, target(**more) | {"x": 1})).json() == flag()
    found = await post(service, f"{ALL}?flagConfigEtag=x&flagConfigLastModified=1", target())
    assert found.status_code == 200


# -- All


@pytest.mark.asyncio
async def test_all_flags_of_a_customer(service: Service) -> None:
    """Each feature that the record speaks of, granted or not."""
    found = (await post(service, ALL, target())).json()
    assert found == {"flags": [flag()], "metadata": {"policy": BUILT_IN.digest, "version": 1}}
    (denied,) = (await post(service, ALL, target("cus_2"))).json()["flags"]
    assert (denied["key"], denied["value"], denied["variant"]) == ("pro", False, "denied")
    assert (await post(service, ALL, target("cus_3"))).json()["flags"] == []


@pytest.mark.asyncio
async def test_flags_that_are_still_true_are_not_sent_again(service: Service) -> None:
    """304 for as long as neither the record nor the clock has changed one."""
    tags = []
    for now, delivered in ((START + 10, None), (START + 10, PAUSED), (START + MONTH, None)):
        service.clock.now = now
        if delivered:
            await service.deliver(update(PLAIN, delivered))
        tags.append((await post(service, ALL, target())).headers["etag"])
        for tag in (tags[-1], f'"x", W/{tags[-1]}'):
            same = await post(service, ALL, target(), If_None_Match=tag)
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tags[-1])
        for tag in tags[:-1]:
            assert (await post(service, ALL, target(), If_None_Match=tag)).status_code == 200
    assert len(set(tags)) == 3


@pytest.mark.asyncio
async def test_one_customers_flags_are_never_taken_for_anothers(service: Service) -> None:
    """All share one address: whoever changes the context and sends the old tag gets the other's flags."""
    await service.deliver(event(PLAIN, id="evt_3", account="acct_1"))
    others = [("cus_2", {}), ("cus_9", {}), ("cus_1", {"Stripe_Account": "acct_1"})]
    tag = (await post(service, ALL, target())).headers["etag"]
    for who, header in others:
        found = await post(service, ALL, target(who), If_None_Match=tag, **header)
        assert found.status_code == 200, who


# -- Errors


CONTEXTS: list[tuple[object, str]] = [
    ({}, "TARGETING_KEY_MISSING"),
    ({"context": None}, "TARGETING_KEY_MISSING"),
    ({"context": {}}, "TARGETING_KEY_MISSING"),
    (target(""), "TARGETING_KEY_MISSING"),
    (target(None), "TARGETING_KEY_MISSING"),
    (target(5), "INVALID_CONTEXT"),
    (target(["cus_1"]), "INVALID_CONTEXT"),
    (target("a b"), "INVALID_CONTEXT"),
    (target("x" * 256), "INVALID_CONTEXT"),
    ({"context": "cus_1"}, "INVALID_CONTEXT"),
    ({"context": []}, "INVALID_CONTEXT"),
    ([], "PARSE_ERROR"),
    (5, "PARSE_ERROR"),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("body", "code"), CONTEXTS)
async def test_a_context_that_cannot_be_used_is_a_400(
    service: Service, body: object, code: str
) -> None:
    """With the protocol's code; the single call names its key."""
    one, every = await post(service, PRO, body), await post(service, ALL, body)
    assert failure(one, code) == failure(every, code)
    assert (one.json()["key"], "key" in every.json()) == ("pro", False)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"context":' + b"[" * 100_000])
async def test_a_body_that_is_not_json_is_a_400(service: Service, body: bytes) -> None:
    """Whatever its bytes are."""
    for path in (PRO, ALL):
        refused = await service.http.post(path, content=body, headers=bearer(READ))
        assert "targetingKey" in failure(refused, "PARSE_ERROR")


@pytest.mark.asyncio
async def test_any_other_mistake_is_a_general_one(service: Service) -> None:
    """A key that cannot be one, and an account."""
    for key in ("a%20b", "", "x" * 256):
        assert "is no id" in failure(await post(service, f"{ALL}/{key}", target()), "GENERAL")
    for path in (PRO, ALL):
        refused = await post(service, path, target(), Stripe_Account="a b")
        assert "Stripe-Account" in failure(refused, "GENERAL")
        large = await service.http.post(path, content=b" " * (LIMIT + 1), headers=bearer(READ))
        assert (large.status_code, large.json()["errorCode"]) == (413, "GENERAL")


@pytest.mark.asyncio
async def test_our_own_trouble_has_no_code(own_store: EmbeddedStore) -> None:
    """503 while the store hangs, 500 for a fault, each with what the protocol has for them: details."""
    async with serving(own_store.url) as service:
        for path in (PRO, ALL):
            with frozen(own_store.pid):
                refused = await post(service, path, target())
            assert (refused.status_code, "errorCode" in refused.json()) == (503, False)
            assert refused.json()["errorDetails"]
            assert int(refused.headers["retry-after"]) > 0
        service.clock.now = float("nan")
        for path in (PRO, ALL):
            crashed = await post(service, path, target())
            assert (crashed.status_code, "errorCode" in crashed.json()) == (500, False)
            assert crashed.json()["errorDetails"]


# -- The public provider


@pytest_asyncio.fixture
async def address(service: Service) -> AsyncGenerator[str]:
    """Give the address at which the real server serves the service on a real socket."""
    async with listening(service.app) as found:
        yield found


class Provider:
    """OpenFeature's own provider, asked from a thread as it blocks."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self._provider = OFREPProvider(address, headers_factory=lambda: headers, timeout=30)

    async def ask(self, key: str, who: str | None, *, default: bool, **more: Any) -> Any:  # noqa: ANN401  its own type
        """Resolve a flag, or raise what the provider raises."""
        context = EvaluationContext(who, more) if who is not None else None
        resolve = self._provider.resolve_boolean_details
        return await asyncio.to_thread(resolve, key, default, context)

    def close(self) -> None:
        """End its connections."""
        self._provider.session.close()


@pytest.mark.asyncio
async def test_the_public_provider_is_answered(address: str) -> None:
    """Unchanged, over a real socket: values, reasons, variants and metadata come through, whatever the default is."""
    provider = Provider(address, bearer(READ))
    try:
        for default in (False, True):
            granted = await provider.ask("pro", "cus_1", default=default, plan="premium")
            assert (granted.value, granted.variant) == (True, "granted")
            assert granted.reason == Reason.TARGETING_MATCH
            assert granted.flag_metadata == flag()["metadata"]
            for who, key, reason in (
                ("cus_2", "pro", "unpaid"),
                ("cus_1", "seats", "unknown_feature"),
                ("nobody", "pro", "unknown_customer"),
            ):
                denied = await provider.ask(key, who, default=default)
                assert (denied.value, denied.variant) == (False, "denied")
                assert denied.flag_metadata["reason"] == reason
    finally:
        provider.close()


@pytest.mark.asyncio
async def test_the_public_provider_is_told_what_is_wrong(address: str) -> None:
    """Each error is the one that the provider has for it, and never a value."""
    known, unknown = Provider(address, bearer(READ)), Provider(address, bearer("nobody's"))
    wrong: list[tuple[Provider, str, str | None, type[Exception]]] = [
        (known, "pro", None, TargetingKeyMissingError),
        (known, "pro", "", TargetingKeyMissingError),
        (known, "pro", "a b", InvalidContextError),
        (known, "a b", "cus_1", GeneralError),
        (unknown, "pro", "cus_1", OpenFeatureError),
    ]
    try:
        for provider, key, who, error in wrong:
            with pytest.raises(error):
                await provider.ask(key, who, default=True)
    finally:
        known.close()
        unknown.close()
