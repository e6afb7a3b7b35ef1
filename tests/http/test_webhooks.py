"""Stripe's deliveries over HTTP: 2xx means stored, 4xx that a retry cannot help, 503 that it can."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entitlements.http.body import LIMIT
from entitlements.http.webhooks import PATIENCE
from entitlements.ingest import LATE
from entitlements.model import Subject
from entitlements.sandbox.shapes import Body
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import SECRET, encoded, event, pausing, signed, subscription, update
from tests.support.histories import START
from tests.support.servers import SOON, frozen, line_to, replicate
from tests.support.service import Service, serving

PATH = "/webhooks/stripe"
PLAIN = subscription()
UNPAID = PLAIN | {"status": "unpaid"}
CREATED = event(PLAIN)
OTHER = "whsec_another"


def receipt(outcome: str, version: int | None = 1, event: str = "evt_1", **more: str) -> Body:
    """Return the answer about an event of `sub_1` of `cus_1`."""
    whose = {"customer": "cus_1", "subscription": "sub_1", "version": version}
    return {"event": event, "outcome": outcome, **whose, **more}


def bare(outcome: str, event: str | None = "evt_1", **more: str) -> Body:
    """Return the answer about an event that moves nothing."""
    nobody = {"customer": None, "subscription": None, "version": None}
    return {"event": event, "outcome": outcome, **nobody, **more}


def problem(response: Response, status: int, name: str) -> Body:
    """Return the problem document of a refusal; fail if it is not that one."""
    assert response.headers["content-type"] == "application/problem+json"
    found: Body = response.json()
    assert (response.status_code, found["status"]) == (status, status)
    assert found["type"] == f"urn:problem-type:entitlements:{name}"
    assert found["request_id"] == response.headers["x-request-id"]
    return found


def retry_later(response: Response, name: str) -> None:
    """Fail unless an answer makes Stripe send the event again."""
    problem(response, 503, name)
    assert int(response.headers["retry-after"]) > 0


async def stored(service: Service) -> bool:
    """Return whether anything is held of the customer."""
    return (await service.state["store"].customer(Subject("cus_1"))).version > 0


# -- Taken


@pytest.mark.asyncio
async def test_every_outcome_is_a_200_that_says_what_became_of_the_event(store_url: str) -> None:
    """Whatever is stored is acknowledged; the outcome is for people, Stripe reads the status alone."""
    paused, later = subscription(**pausing("void")), START + 1
    deliveries = [
        (CREATED, receipt("applied")),
        (CREATED, receipt("duplicate", first="applied")),
        (update(PLAIN, PLAIN | {"metadata": {"a": "b"}}), receipt("unchanged", 2, "evt_2")),
        (update(paused, PLAIN, id="evt_0", created=START - 9), receipt("stale", 3, "evt_0")),
        (update(PLAIN, UNPAID, id="evt_3", created=later + 1), receipt("applied", 4, "evt_3")),
        (update(PLAIN, paused, id="evt_4", created=later + 1), receipt("ambiguous", 5, "evt_4")),
        (event({}, "invoice.paid", id="evt_5"), bare("ignored", "evt_5")),
        (event({}, id="evt_6"), bare("quarantined", "evt_6")),
        (event({}, id="evt_6"), bare("duplicate", "evt_6", first="quarantined")),
        (event(PLAIN, id="evt_7", livemode=True), receipt("quarantined", None, "evt_7")),
    ]
    async with serving(store_url) as service:
        for body, answer in deliveries:
            response = await service.deliver(body)
            assert (response.status_code, response.json()) == (200, answer)
            assert response.headers["content-type"] == "application/json"


@pytest.mark.asyncio
async def test_what_is_authentic_and_no_event_is_a_200_as_well(store_url: str) -> None:
    """A retry would not make it one: it waits in quarantine."""
    async with serving(store_url) as service:
        for body in (b"[]", b"null", b'{"id":"evt_\\ud800"}', b"[" * 50_000 + b"]" * 50_000):
            response = await service.post(body)
            assert (response.status_code, response.json()["outcome"]) == (200, "quarantined")


@pytest.mark.asyncio
async def test_any_configured_secret_may_have_signed(store_url: str) -> None:
    """While a secret is rolled in Stripe, two are in use."""
    async with serving(store_url, webhook_secrets=(OTHER, SECRET)) as service:
        assert (await service.deliver(CREATED, SECRET)).status_code == 200
        assert (await service.deliver(CREATED, OTHER)).json()["outcome"] == "duplicate"


@pytest.mark.asyncio
async def test_the_configured_mode_holds(store_url: str) -> None:
    """ENTITLEMENTS_LIVEMODE decides, also before the first event."""
    async with serving(store_url, livemode=True) as service:
        assert (await service.deliver(CREATED)).json()["outcome"] == "quarantined"
        assert not await stored(service)


# -- Refused


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "missing"),
        ({"Stripe-Signature": "nonsense"}, "malformed"),
        (signed(encoded(CREATED), SECRET, START - 1_000), "old"),
        (signed(encoded(CREATED), SECRET, START + 1_000), "in the future"),
        (signed(encoded(CREATED), OTHER, START), "No configured secret"),
        (signed(encoded(event(UNPAID)), SECRET, START), "No configured secret"),
    ],
)
async def test_a_signature_that_proves_nothing_is_a_400(
    store_url: str, headers: dict[str, str], says: str
) -> None:
    """Nothing is stored; the detail says what was wrong with it."""
    async with serving(store_url) as service:
        refused = await service.http.post(PATH, content=encoded(CREATED), headers=headers)
        assert says in problem(refused, 400, "signature-invalid")["detail"]
        assert not await stored(service)


@pytest.mark.asyncio
async def test_two_signature_headers_are_a_400(store_url: str) -> None:
    """Whoever adds one to Stripe's does not get to choose which counts."""
    async with serving(store_url) as service:
        good = signed(encoded(CREATED), SECRET, START)["Stripe-Signature"]
        headers = [("Stripe-Signature", good), ("Stripe-Signature", "t=1,v1=00")]
        refused = await service.http.post(PATH, content=encoded(CREATED), headers=headers)
        problem(refused, 400, "signature-invalid")


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"", b"<html>", b"{"])
async def test_what_is_not_json_is_a_400(store_url: str, body: bytes) -> None:
    """Even where it is signed."""
    async with serving(store_url) as service:
        assert "not JSON" in problem(await service.post(body), 400, "bad-request")["detail"]


@pytest.mark.asyncio
async def test_a_body_over_the_limit_is_a_413(store_url: str) -> None:
    """Whether its length is announced or only counted; one of just that length is read."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LIMIT // 1024 + 1):
            yield b" " * 1024

    async with serving(store_url) as service:
        announced = await service.http.post(PATH, content=b" " * (LIMIT + 1))
        problem(announced, 413, "body-too-large")
        problem(await service.http.post(PATH, content=pieces()), 413, "body-too-large")
        just = encoded(CREATED).ljust(LIMIT)
        assert (await service.post(just)).status_code == 200


@pytest.mark.asyncio
async def test_only_post_is_taken(store_url: str) -> None:
    """A person who opens the address in a browser is told so."""
    async with serving(store_url) as service:
        refused = await service.http.get(PATH)
        problem(refused, 405, "method-not-allowed")
        assert refused.headers["allow"] == "POST"


@pytest.mark.asyncio
async def test_a_sender_who_leaves_is_no_fault_of_ours(
    store_url: str, log_lines: io.StringIO
) -> None:
    """Half a body is a bad request, and no crash in the log."""
    sent: list[Any] = []

    async def send(message: Any) -> None:  # noqa: ANN401  ASGI's
        sent.append(message)

    async with serving(store_url) as service:
        messages = iter(
            [
                {"type": "http.request", "body": b"{", "more_body": True},
                {"type": "http.disconnect"},
            ]
        )

        async def receive() -> Any:  # noqa: ANN401  ASGI's
            return next(messages)

        scope = {
            "type": "http",
            "method": "POST",
            "path": PATH,
            "headers": [],
            "query_string": b"",
        }
        await service.hosted(scope, receive, send)
    assert sent[0]["status"] == 400
    assert "request_crashed" not in log_lines.getvalue()


@pytest.mark.asyncio
async def test_a_process_without_the_surface_has_no_such_address(store_url: str) -> None:
    """The public listener and the private one may be two processes."""
    async with serving(store_url, surfaces=frozenset({"queries"})) as service:
        problem(await service.deliver(CREATED), 404, "not-found")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.binary(max_size=32) | st.text(max_size=32).map(str.encode),
    st.none() | st.binary(max_size=32),
)
def test_whatever_is_posted_is_answered_with_a_4xx(
    store_url: str, body: bytes, signature: bytes | None
) -> None:
    """No bytes that Stripe did not sign make the service fail."""
    headers = [] if signature is None else [(b"Stripe-Signature", signature)]

    async def post() -> int:
        async with serving(store_url) as service:
            return (await service.http.post(PATH, content=body, headers=headers)).status_code

    assert asyncio.run(post()) == 400


# -- Not now


@pytest.mark.asyncio
async def test_a_store_that_is_slow_at_every_step_is_a_503_within_a_second(
    store_url: str, short_path: Path
) -> None:
    """Steps that are each in time may together take too long; what was written is known when it comes again."""
    late = event(subscription(), created=START - LATE)  # and so looked up in the quarantine as well
    async with line_to(store_url, short_path) as line, serving(line.url) as service:
        line.delay = PATIENCE / 4 + 0.02
        began = time.monotonic()
        refused = await service.deliver(late)
        assert time.monotonic() - began < SOON
        retry_later(refused, "store-unavailable")
        assert "in time" in refused.json()["detail"]
        line.delay = 0.0
        assert (await service.deliver(late)).status_code == 200


@pytest.mark.asyncio
async def test_a_lost_reply_and_another_process_make_one_applied_and_one_duplicate(
    store_url: str, short_path: Path
) -> None:
    """Both get the same event at once, and one of them does not hear what became of its write."""
    async with (
        line_to(store_url, short_path) as line,
        serving(line.url) as deaf,
        serving(store_url) as other,
    ):
        await deaf.deliver(CREATED)
        for n in range(10):
            line.lose_reply_to(b"EVALSHA")
            named = {"metadata": {"n": str(n)}}
            body = update(PLAIN, PLAIN | named, id=f"evt_n{n}", created=START + 2 + n)
            answers = await asyncio.gather(deaf.deliver(body), other.deliver(body))
            found = sorted(answer.json()["outcome"] for answer in answers)
            assert found == ["duplicate", "unchanged"]
        assert line.lost > 0


@pytest.mark.asyncio
async def test_what_no_replica_confirmed_is_a_503(
    own_store: EmbeddedStore, short_path: Path
) -> None:
    """It is written here, and still not acknowledged until a replica has it too."""
    with EmbeddedStore.start(short_path / "replica") as replica:
        replicate(own_store, replica)
        async with serving(own_store.url, durability="replica") as service:
            with frozen(replica.pid):
                retry_later(await service.deliver(CREATED), "not-durable")
                retry_later(await service.deliver(CREATED), "not-durable")
            again = await service.deliver(CREATED)
            assert again.json() == receipt("duplicate", first="applied")


# -- Told


@pytest.mark.asyncio
async def test_each_delivery_is_a_line_of_the_log(store_url: str, log_lines: io.StringIO) -> None:
    """It names event, outcome, customer and request; a refusal names its cause."""
    async with serving(store_url) as service:
        taken = await service.deliver(CREATED)
        refused = await service.deliver(CREATED, OTHER)
    first, second = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    said = receipt("applied") | {"event": "webhook", "stripe_event": "evt_1"}
    assert first | said == first
    assert first["request_id"] == taken.headers["x-request-id"]
    assert (second["event"], second["error"]) == ("webhook_refused", "SignatureInvalid")
    assert second["request_id"] == refused.headers["x-request-id"]


@pytest.mark.asyncio
async def test_deliveries_are_counted(store_url: str) -> None:
    """By outcome, and refusals by cause."""
    async with serving(store_url) as service:
        before = await counted(service)
        await service.deliver(CREATED)
        await service.deliver(CREATED, OTHER)
        after = await counted(service)
    moved = {name: after[name] - before.get(name, 0.0) for name in after}
    assert moved['entitlements_webhooks_total{outcome="applied"}'] == 1
    assert moved['entitlements_webhooks_refused_total{error="SignatureInvalid"}'] == 1
    assert moved["entitlements_webhook_seconds_count"] == 1


async def counted(service: Service) -> dict[str, float]:
    """Return the counters of /metrics."""
    lines = (await service.http.get("/metrics")).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
