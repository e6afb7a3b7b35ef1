"""Overrides over HTTP: set, seen, taken back; at every reader at once; with a history, and a list of what expires."""

import asyncio
from typing import Any

import pytest
from httpx2 import Response

from entitlements.flips import Flips, flips
from entitlements.http.deeds import REASON
from entitlements.model import CustomerRecord, Override, Subject
from entitlements.overrides import MOST
from entitlements.policy import BUILT_IN
from entitlements.policy_file import parse
from entitlements.rewrite import rewrite
from entitlements.store import audit, keys
from entitlements.store.due import Due
from entitlements.store.retention import trim
from entitlements.store.streams import Streams
from entitlements.store.write import Write
from tests.http.test_operations import refused
from tests.support.bodies import event, subscription
from tests.support.histories import START
from tests.support.service import OPERATE, READ, Service, bearer, serving

NOW = START + 10
STRICT = parse('pause_collection.keep_as_draft = "revoke"')
PLAIN = subscription()
DENY = {"access": "deny", "reason": "a chargeback"}
GRANT = {"access": "grant", "reason": "promised by support"}


def path(feature: str = "", customer: str = "cus_1") -> str:
    """Return where a customer's overrides are, or one of them."""
    return f"/ops/v1/customers/{customer}/overrides{feature and '/'}{feature}"


async def put(service: Service, said: object, where: str = path("pro"), **headers: str) -> Response:
    """Set one."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.http.put(where, json=said, headers=bearer(OPERATE) | named)


async def delete(service: Service, where: str = path("pro"), reason: str = "settled") -> Response:
    """Take one back."""
    return await service.http.delete(where, params={"reason": reason}, headers=bearer(OPERATE))


async def seen(service: Service, where: str = path("pro")) -> Response:
    """Look."""
    return await service.ask(where, OPERATE)


async def answer(service: Service, query: str = "", customer: str = "cus_1") -> Any:  # noqa: ANN401  any JSON
    """Ask what product services are told."""
    found = await service.ask(f"/v1/customers/{customer}/entitlements/pro{query}")
    assert found.status_code == 200, found.text
    return found.json()


async def told(service: Service) -> list[tuple[bool, str, str | None]]:
    """Return what the change feed was told, in its order."""
    streams = Streams(service.state["store"])
    heads = await streams.heads()
    page = await streams.page(tuple(h.retained() for h in heads), tuple(h.last for h in heads))
    changes = [entry.change for entry, _ in page.entries]
    return [(c.granted, c.reason, c.event) for c in changes if c]


@pytest.mark.asyncio
async def test_an_override_is_set_seen_and_taken_back(store_url: str) -> None:
    """Each is answered with the override and with what is answered from then on."""
    async with serving(store_url) as service:
        await service.deliver(event(PLAIN))
        made = await put(service, DENY | {"expires_at": NOW + 60})
        assert made.status_code == 200, made.text
        shown, answered = await seen(service), await answer(service)
        gone = await delete(service)
        missing = await seen(service)

    expected = {
        "object": "override",
        "customer": "cus_1",
        "feature": "pro",
        "access": "deny",
        "reason": "a chargeback",
        "expires_at": NOW + 60,
        "created": NOW,
        "by": "operator",
    }
    assert shown.json() == expected
    assert made.json() == expected | {"entitlement": answered}
    assert (answered["granted"], answered["reason"], answered["rule"]) == (
        False,
        "override_deny",
        "override.deny",
    )
    assert (answered["until"], answered["then"]) == (
        NOW + 60,
        {"granted": True, "reason": "active"},
    )
    assert gone.json() == expected | {"deleted": True, "entitlement": gone.json()["entitlement"]}
    assert gone.json()["entitlement"]["reason"] == "active"
    refused(missing, 404, "not-found")


@pytest.mark.asyncio
async def test_the_feed_tells_each_change_once(store_url: str) -> None:
    """No event caused it; the same word twice in a second changes nothing."""
    async with serving(store_url) as service:
        await service.deliver(event(PLAIN))
        for said in (DENY, DENY, DENY | {"reason": "another reason"}, GRANT):
            assert (await put(service, said)).is_success
        version = (await service.ask("/v1/customers/cus_1")).json()["version"]
        assert (await delete(service)).is_success
        again = await delete(service)
        found = await told(service)
        deeds = await audit.latest(service.state["store"], 10)

    assert found == [
        (True, "active", "evt_1"),
        (False, "override_deny", None),
        (True, "override_grant", None),
        (True, "active", None),
    ]
    assert version == 4
    assert again.json()["deleted"] is True
    assert sorted(d.action for d in deeds) == ["override.clear", *["override.set"] * 3]
    assert {(d.by, d.about) for d in deeds} == {("operator", "cus_1")}
    assert "pro: deny" in {d.outcome for d in deeds}


@pytest.mark.asyncio
async def test_it_expires_by_the_clock_and_stays_in_the_history(store_url: str) -> None:
    """At its second, without anybody's doing; the worker tells it; then another one can be set or none deleted."""
    async with serving(store_url) as service:
        await service.deliver(event(PLAIN))
        await put(service, DENY | {"expires_at": NOW + 60})
        service.clock.now = NOW + 59
        before = await answer(service)
        service.clock.now = NOW + 60
        after = await answer(service)
        store = service.state["store"]
        (due,) = await Due(store).waiting(NOW + 60, 9)
        found = flips(due.held, due.subject, NOW + 60)
        assert await Due(store).tell(due, found)
        customer = (await service.ask("/v1/customers/cus_1")).json()
        listed = (await seen(service, path())).json()
        refused(await seen(service), 404, "not-found")
        refused(await delete(service), 404, "not-found")

    assert (before["reason"], after["reason"]) == ("override_deny", "active")
    assert found == Flips(found.changes, None)
    assert [c.reason for c in found.changes] == ["active"]
    assert (customer["overrides"], listed["data"]) == ({}, [])
    assert [said["access"] for said in listed["history"]] == ["deny"]


@pytest.mark.asyncio
async def test_the_history_says_who_what_when_and_why(store_url: str) -> None:
    """The newest first, takings back included; what holds comes by feature."""
    async with serving(store_url) as service:
        await put(service, GRANT)
        service.clock.now = NOW + 1
        await delete(service)
        await put(service, GRANT | {"expires_at": NOW + 9}, path("beta"))
        await put(service, DENY, path("alpha"))
        listed = (await seen(service, path())).json()

    assert (listed["object"], listed["url"], listed["has_more"]) == ("list", path(), False)
    assert [o["feature"] for o in listed["data"]] == ["alpha", "beta"]
    assert listed["history_from"] == 0
    said = [(h["feature"], h["access"], h["reason"], h["at"]) for h in listed["history"]]
    assert said == [
        ("alpha", "deny", "a chargeback", NOW + 1),
        ("beta", "grant", "promised by support", NOW + 1),
        ("pro", None, "settled", NOW + 1),
        ("pro", "grant", "promised by support", NOW),
    ]
    assert {h["by"] for h in listed["history"]} == {"operator"}
    assert listed["history"][1]["expires_at"] == NOW + 9


@pytest.mark.asyncio
async def test_the_past_is_answered_with_what_held_then(store_url: str) -> None:
    """Neither before it was set nor after it was taken back, whatever holds now; and by what was known then."""
    async with serving(store_url) as service:
        await service.deliver(event(PLAIN))
        await put(service, DENY)
        service.clock.now = NOW + 20
        await delete(service)
        at = {t: (await answer(service, f"?at={NOW + t}"))["reason"] for t in (-1, 0, 19, 20)}
        before = await answer(service, f"?at={NOW - 1}")
        known = await answer(service, f"?at={NOW + 25}&known_at={NOW + 5}")
        unknown = await answer(service, f"?at={NOW + 5}&known_at={NOW - 1}")
        customer = (await service.ask(f"/v1/customers/cus_1?at={NOW + 5}")).json()
        later = (await service.ask(f"/v1/customers/cus_1?at={NOW + 25}")).json()

    assert at == {-1: "active", 0: "override_deny", 19: "override_deny", 20: "active"}
    assert (before["until"], before["then"]["reason"]) == (NOW, "override_deny")
    assert (known["reason"], unknown["reason"]) == ("override_deny", "unknown_customer")
    assert customer["overrides"] == {
        "pro": {"access": "deny", "reason": "a chargeback", "created": NOW}
    }
    assert later["overrides"] == {}


@pytest.mark.asyncio
async def test_a_customer_never_heard_of_can_have_one(store_url: str) -> None:
    """A record comes to be, which names its policy; events, another policy and the clock go on from there."""
    async with serving(store_url) as service:
        store, subject = service.state["store"], Subject("cus_1")
        assert (await put(service, GRANT | {"expires_at": NOW + 60})).is_success
        first = await answer(service)
        (whole,) = await store.wholes([subject])
        await store.policy(BUILT_IN)
        await store.enforce(STRICT)
        await rewrite(store, whole, STRICT, NOW + 61)
        assert await Due(store).waiting(NOW + 99, 9) == []
        service.clock.now = NOW + 70
        await service.deliver(event(PLAIN, created=NOW + 65))
        record = await store.customer(subject)
        then = await answer(service, f"?at={NOW + 1}&known_at={NOW + 1}")
        found = await told(service)

    assert (first["granted"], first["policy"]) == (True, BUILT_IN.digest)
    assert (record.version, record.policy) == (3, STRICT.digest)
    assert [p.digest for p in record.past_policies] == [BUILT_IN.digest]
    assert then == first
    assert found == [
        (True, "override_grant", None),
        (False, "unknown_feature", None),
        (True, "active", "evt_1"),
    ]


@pytest.mark.asyncio
async def test_an_event_of_who_has_an_override_alone_is_decided_by_the_policy_in_force(
    store_url: str,
) -> None:
    """The record named another: it is decided anew first, so that the past keeps its policy."""
    async with serving(store_url) as service:
        await put(service, GRANT)
        await service.state["store"].enforce(STRICT)
        service.state["ingest"].policy = STRICT
        await service.deliver(event(PLAIN, created=NOW))
        record = await service.state["store"].customer(Subject("cus_1"))
    assert record.policy == STRICT.digest
    assert [p.digest for p in record.past_policies] == [BUILT_IN.digest]


@pytest.mark.asyncio
async def test_accounts_are_kept_apart(store_url: str) -> None:
    """As everywhere, by the header."""
    async with serving(store_url) as service:
        made = await put(service, GRANT, Stripe_Account="acct_1")
        assert made.json()["account"] == "acct_1"
        refused(await seen(service), 404, "not-found")
        (entry,) = (await seen(service, "/ops/v1/overrides?limit=1")).json()["data"] or [None]
        assert entry is None  # it does not expire
        await put(service, GRANT | {"expires_at": NOW + 9}, Stripe_Account="acct_1")
        (entry,) = (await seen(service, "/ops/v1/overrides")).json()["data"]
    assert (entry["account"], entry["customer"]) == ("acct_1", "cus_1")


@pytest.mark.asyncio
async def test_what_expires_is_listed_over_all_customers(store_url: str) -> None:
    """The next one first, in pages; what was extended, taken back or has expired is not, or not there."""
    async with serving(store_url) as service:
        for n in range(12):
            await put(service, GRANT | {"expires_at": NOW + 100 - n // 2}, path("pro", f"cus_{n}"))
        await put(service, GRANT | {"expires_at": NOW + 99_999}, path("pro", "cus_0"))
        await put(service, GRANT, path("pro", "cus_1"))
        await delete(service, path("pro", "cus_2"))
        await put(service, GRANT | {"expires_at": NOW + 1}, path("pro", "cus_x"))
        service.clock.now = NOW + 1
        first = (await seen(service, "/ops/v1/overrides?expires_within=1h&limit=4")).json()
        after = first["data"][-1]["id"]
        rest = (await seen(service, f"/ops/v1/overrides?starting_after={after}")).json()
        none = (await seen(service, "/ops/v1/overrides?expires_within=0")).json()
        store = service.state["store"]
        await trim(store, (NOW + 1) * 1000)
        pipeline = store.redis.pipeline(transaction=False)
        for p in range(store.partitions):
            pipeline.zcard(keys.shared(p, "expiring"))
        left = sum(await pipeline.execute())

    assert [o["customer"] for o in first["data"]] == ["cus_10", "cus_11", "cus_8", "cus_9"]
    assert (first["object"], first["url"], first["has_more"]) == ("list", "/ops/v1/overrides", True)
    names = [o["customer"] for o in rest["data"]]
    assert names == ["cus_6", "cus_7", "cus_4", "cus_5", "cus_3", "cus_0"]
    assert rest["has_more"] is False
    assert (none["data"], none["has_more"]) == ([], False)
    assert left == 10  # all that have not expired


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "said",
    [
        *(
            {},
            [],
            {"access": "grant"},
            {"access": "revoke", "reason": "x"},
            GRANT | {"reason": " "},
        ),
        GRANT | {"reason": "x" * (REASON + 1)},
        GRANT | {"expires_at": NOW},
        GRANT | {"expires_at": -1},
        GRANT | {"expires_at": "tomorrow"},
        GRANT | {"until": NOW + 9},
    ],
)
async def test_what_cannot_be_set_is_refused(store_url: str, said: object) -> None:
    """With a sentence; nothing is written."""
    async with serving(store_url) as service:
        problem = refused(await put(service, said), 400, "bad-request")
        customer = (await service.ask("/v1/customers/cus_1")).json()
    assert problem["detail"]
    assert customer["version"] == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("query", ["", "?reason=", "?reason=%20", "?why=x", "?reason=x&reason=y"])
async def test_a_deletion_says_why(store_url: str, query: str) -> None:
    """In the query."""
    async with serving(store_url) as service:
        await put(service, GRANT)
        found = await service.http.delete(f"{path('pro')}{query}", headers=bearer(OPERATE))
        refused(found, 400, "bad-request")
        assert (await seen(service)).is_success


@pytest.mark.asyncio
async def test_a_customer_has_so_many_at_most(store_url: str) -> None:
    """The record is read with every answer. One that there is can be set anew, and an expired one takes no room."""
    async with serving(store_url) as service:
        for n in range(MOST):
            await put(service, GRANT | {"expires_at": NOW + 9}, path(f"f_{n}"))
        refused(await put(service, GRANT, path("one_more")), 409, "conflict")
        assert (await put(service, DENY, path("f_0"))).is_success
        service.clock.now = NOW + 9
        assert (await put(service, GRANT, path("one_more"))).is_success
        record = await service.state["store"].customer(Subject("cus_1"))
    assert sorted(record.overrides) == ["f_0", "one_more"]


@pytest.mark.asyncio
async def test_writers_who_race_all_have_their_word(store_url: str) -> None:
    """Each write compares the version, and reads again: none is lost, and the feed tells each."""
    async with serving(store_url) as service:
        await asyncio.gather(*(put(service, GRANT, path(f"f_{n}")) for n in range(6)))
        record = await service.state["store"].customer(Subject("cus_1"))
        found = await told(service)
    assert (record.version, len(record.overrides), len(found)) == (6, 6, 6)


@pytest.mark.asyncio
@pytest.mark.parametrize("where", ["/ops/v1/overrides", path(), path("pro")])
async def test_only_who_may_operate_sees_them(store_url: str, where: str) -> None:
    """And sets them."""
    async with serving(store_url) as service:
        refused(await service.ask(where, READ), 403, "forbidden")
        refused(await service.ask(where, None), 401, "unauthenticated")
        found = await service.http.put(path("pro"), json=GRANT, headers=bearer(READ))
        refused(found, 403, "forbidden")


@pytest.mark.asyncio
async def test_a_record_from_before_words_were_kept_goes_on(store_url: str) -> None:
    """What it holds has held always, as far as is known; the first word takes it into the history."""
    old = CustomerRecord(1, BUILT_IN.digest, overrides={"pro": Override("deny", "long ago")})
    async with serving(store_url) as service:
        store, subject = service.state["store"], Subject("cus_1")
        spoken = await store.spoken(subject)
        assert await store.write(
            subject, Write(expected=spoken.record.version, due=None, record=old, colds={}, marks=[])
        )
        shown = (await seen(service)).json()
        service.clock.now = NOW + 5
        await put(service, GRANT, path("beta"))
        past = await answer(service, f"?at={START}")
        listed = (await seen(service, path())).json()
    assert (shown["access"], shown["by"], shown["created"]) == ("deny", None, 0)
    assert past["reason"] == "override_deny"
    assert [h["feature"] for h in listed["history"]] == ["beta", "pro"]
