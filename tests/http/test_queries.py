"""What product services ask over HTTP: an answer to every well-formed question, and never one past its time."""

import asyncio
import io
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from httpx2 import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from entitlements.http.body import LIMIT
from entitlements.http.encoded import MAX_AGE
from entitlements.http.nesting import NESTED
from entitlements.http.queries import MAX_CHECKS
from entitlements.policy import BUILT_IN
from entitlements.sandbox.shapes import Body
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import SECRET, event, pausing, subscription, update
from tests.support.histories import MONTH, START
from tests.support.servers import SOON, eventually, frozen
from tests.support.service import READ, Clock, Service, bearer, counted, serving

LIST = "/v1/customers/cus_1/entitlements"
PRO = f"{LIST}/pro"
END = START + MONTH
PLAIN = subscription()
PAUSED = subscription(**pausing("void"))
UNPAID = PLAIN | {"status": "unpaid"}


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give the service on an empty store, ten seconds after START."""
    async with serving(store_url) as found:
        yield found


def answer(**fields: object) -> Body:
    """Return the answer about `pro` while the subscription is active, with other fields if given."""
    return {
        "object": "entitlement",
        "feature": "pro",
        "granted": True,
        "reason": "active",
        "rule": "status.active",
        "subscription": "sub_1",
        "quantity": 1,
        "until": None,
        "then": None,
        "policy": BUILT_IN.digest,
    } | fields


def denied(reason: str, **fields: object) -> Body:
    """Return the answer that nothing known grants."""
    nothing = {"rule": None, "subscription": None, "quantity": 0}
    return answer(granted=False, reason=reason, **nothing | fields)


def problem(response: Response, status: int, name: str) -> str:
    """Return the detail of a problem document; fail if the answer is not that one."""
    assert response.headers["content-type"] == "application/problem+json"
    found: Body = response.json()
    assert (response.status_code, found["status"]) == (status, status)
    assert found["type"] == f"urn:problem-type:entitlements:{name}"
    assert "granted" not in found
    return str(found["detail"])


# -- One


@pytest.mark.asyncio
async def test_an_answer_says_why_and_until_when(service: Service) -> None:
    """Every field of the contract is there, null where there is nothing to say."""
    await service.deliver(event(PLAIN))
    assert (await service.ask(PRO)).json() == answer()
    await service.deliver(update(PLAIN, PAUSED))
    assert (await service.ask(PRO)).json() == answer(
        reason="paused_void",
        rule="pause_collection.void",
        until=END,
        then={"granted": False, "reason": "paused_void"},
    )


@pytest.mark.asyncio
async def test_what_is_not_known_is_denied_with_its_reason(service: Service) -> None:
    """A well-formed question is never a 404."""
    await service.deliver(event(PLAIN))
    nobody = await service.ask("/v1/customers/cus_2/entitlements/pro")
    assert (nobody.status_code, nobody.json()) == (200, denied("unknown_customer"))
    nothing = await service.ask(f"{LIST}/seats")
    assert (nothing.status_code, nothing.json()) == (
        200,
        denied("unknown_feature", feature="seats"),
    )


@pytest.mark.asyncio
async def test_ids_may_hold_any_sign_but_spaces(service: Service) -> None:
    """A product's id can be a company's own word."""
    item = PLAIN["items"]["data"][0]
    price = item["price"] | {"product": "größe:xl+%"}
    items = PLAIN["items"] | {"data": [item | {"price": price}]}
    await service.deliver(event(PLAIN | {"items": items}))
    found = await service.ask(f"{LIST}/gr%C3%B6%C3%9Fe:xl+%25")
    assert (found.json()["feature"], found.json()["granted"]) == ("größe:xl+%", True)


# -- List


@pytest.mark.asyncio
async def test_the_list_has_what_is_granted_so_that_presence_means_access(
    service: Service,
) -> None:
    """It has Stripe's shape, whose it is, when it holds, and the version to wait for."""
    await service.deliver(event(PLAIN))
    assert (await service.ask(LIST)).json() == {
        "object": "list",
        "data": [answer()],
        "has_more": False,
        "url": LIST,
        "customer": "cus_1",
        "as_of": START + 10,
        "version": 1,
    }


@pytest.mark.asyncio
async def test_what_is_denied_is_listed_when_asked_for(service: Service) -> None:
    """`include=denied` adds it."""
    await service.deliver(event(UNPAID))
    unpaid = answer(granted=False, reason="unpaid", rule="status.unpaid")
    assert (await service.ask(LIST)).json()["data"] == []
    found = (await service.ask(f"{LIST}?include=denied")).json()
    assert found["data"] == [unpaid | {"until": found["data"][0]["until"], "then": None}]


@pytest.mark.asyncio
async def test_nobody_has_nothing(service: Service) -> None:
    """An unknown customer's list is empty, and its version is 0."""
    found = (await service.ask(LIST)).json()
    assert (found["data"], found["version"]) == ([], 0)


# -- At an instant


@pytest.mark.asyncio
async def test_any_instant_can_be_asked_about(service: Service) -> None:
    """Past and future are judged by all that is known now; before the first event the answer is no."""
    await service.deliver(event(PLAIN))
    await service.deliver(update(PLAIN, PAUSED, created=START + 5))
    told = [
        (START - 1, False, "unknown_feature", START),
        (START, True, "active", START + 5),
        (START + 5, True, "paused_void", END),
        (END - 1, True, "paused_void", END),
        (END, False, "paused_void", None),
    ]
    for at, granted, reason, until in told:
        found = (await service.ask(f"{PRO}?at={at}")).json()
        assert (found["granted"], found["reason"], found["until"]) == (granted, reason, until)
        (listed,) = (await service.ask(f"{LIST}?include=denied&at={at}")).json()["data"]
        assert listed == found
        (checked,) = (await service.check(check(at=at))).json()["data"]
        assert checked == found


@pytest.mark.asyncio
async def test_what_the_clock_changes_takes_effect_at_the_read(service: Service) -> None:
    """No worker runs here: the end of what was paid for arrives by itself."""
    await service.deliver(event(PLAIN))
    await service.deliver(update(PLAIN, PAUSED))
    for at, granted in ((END - 0.5, True), (END, False)):
        service.clock.now = at
        assert (await service.ask(PRO)).json()["granted"] == granted
        assert len((await service.ask(LIST)).json()["data"]) == granted
        assert (await service.check(check())).json()["data"][0]["granted"] == granted


# -- Versions


@pytest.mark.asyncio
async def test_who_has_seen_a_version_gets_no_older_one(service: Service) -> None:
    """A version that is held is answered at once; one that never comes is a 412, not an older answer."""
    await service.deliver(event(PLAIN))
    for path in (PRO, LIST):
        assert (await service.ask(f"{path}?min_version=1")).status_code == 200
        refused = await service.ask(f"{path}?min_version=2")
        assert "is 1, not yet 2" in problem(refused, 412, "version-not-reached")


@pytest.mark.asyncio
async def test_a_version_that_is_on_its_way_is_waited_for(service: Service) -> None:
    """A caller who was told of it by another service asks a moment too early."""
    await service.deliver(event(PLAIN))
    asked = asyncio.create_task(service.ask(f"{PRO}?min_version=2"))
    await asyncio.sleep(0.05)
    await service.deliver(update(PLAIN, UNPAID))
    found = await asked
    assert (found.status_code, found.json()["reason"]) == (200, "unpaid")


# -- Caches


@pytest.mark.asyncio
@pytest.mark.parametrize("path", [PRO, LIST, f"{LIST}?include=denied"])
async def test_an_answer_that_is_still_true_is_not_sent_again(service: Service, path: str) -> None:
    """304 for as long as neither the record nor the clock has changed it."""
    await service.deliver(event(PLAIN))
    await service.deliver(update(PLAIN, PAUSED))
    tag = (await service.ask(path)).headers["etag"]
    assert tag.startswith('"')
    for given_tag in (tag, f'"x", {tag}', f"W/{tag}"):
        same = await service.ask(path, If_None_Match=given_tag)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert "max-age" in same.headers["cache-control"]
    assert (await service.ask(path, If_None_Match='"x"')).status_code == 200

    service.clock.now = END
    flipped = await service.ask(path, If_None_Match=tag)
    assert flipped.status_code == 200
    await service.deliver(update(PAUSED, UNPAID, id="evt_3", created=START + 3))
    changed = await service.ask(path, If_None_Match=flipped.headers["etag"])
    assert changed.status_code == 200
    assert len({tag, flipped.headers["etag"], changed.headers["etag"]}) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("path", [PRO, LIST])
@pytest.mark.parametrize(
    ("now", "age"),
    [
        (START + 10, MAX_AGE),
        (END - MAX_AGE - 1, MAX_AGE),
        (END - 3, 2),
        (END - 2.5, 2),
        (END - 0.001, 0),
        (END, MAX_AGE),
    ],
)
async def test_no_cache_outlives_the_next_flip(
    service: Service, path: str, now: float, age: int
) -> None:
    """The age ends before the flip does, however late in its second the question comes."""
    await service.deliver(event(PLAIN))
    await service.deliver(update(PLAIN, PAUSED))
    service.clock.now = now
    found = await service.ask(path)
    assert found.headers["cache-control"] == f"private, max-age={age}"


# -- Questions that are not well formed


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("att=1", "Did you mean 'at'?"),
        ("min-version=1", "Did you mean 'min_version'?"),
        ("xyz=1", "It takes: at, "),
        ("at=1&at=2", "given twice"),
        ("at=", "is not a number"),
        ("at=soon", "is not a number"),
        ("at=-1", "is not a number"),
        ("at=1.5", "is not a number"),
        ("at=1e3", "is not a number"),
        ("at=1.0", "is not a number"),
        ("at=%2B1", "is not a number"),
        ("at=%201", "is not a number"),
        ("at=1_0", "is not a number"),
        ("at=" + "9" * 20, "is not a number"),
        ("min_version=1e3", "is not a number"),
        ("at=%D9%A3", "is not a number"),
        ("at=253402300800", "is not a number"),
        ("min_version=x", "is not a number"),
    ],
)
async def test_a_parameter_that_is_wrong_is_a_400(service: Service, query: str, says: str) -> None:
    """Nothing falls back to a default in silence."""
    for path in (LIST, PRO):
        assert says in problem(await service.ask(f"{path}?{query}"), 400, "bad-request")


@pytest.mark.asyncio
async def test_a_call_takes_its_own_parameters_alone(service: Service) -> None:
    """What one call takes another may not."""
    assert "denied" in problem(await service.ask(f"{LIST}?include=all"), 400, "bad-request")
    assert "include" in problem(await service.ask(f"{PRO}?include=denied"), 400, "bad-request")
    refused = await service.http.post("/v1/checks?at=1", json={"checks": []}, headers=bearer(READ))
    assert "It takes: none." in problem(refused, 400, "bad-request")


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["a%20b", "%20", "a%0A", "a%00", "a" * 256])
async def test_an_id_that_cannot_be_one_is_a_400(service: Service, name: str) -> None:
    """Whether it is the customer's or the feature's."""
    for path in (
        f"/v1/customers/{name}/entitlements",
        f"/v1/customers/{name}/entitlements/pro",
        f"{LIST}/{name}",
    ):
        assert "is no id" in problem(await service.ask(path), 400, "bad-request")


# -- Connected accounts


@pytest.mark.asyncio
async def test_a_connected_accounts_customers_are_asked_for_by_its_header(
    service: Service,
) -> None:
    """The same customer id is somebody else in another account, and in none."""
    await service.deliver(event(UNPAID))
    await service.deliver(event(PLAIN, id="evt_2", account="acct_1"))
    for account, granted in ((None, False), ("acct_1", True), ("acct_2", False)):
        header = {} if account is None else {"Stripe_Account": account}
        assert (await service.ask(PRO, **header)).json()["granted"] == granted
        assert len((await service.ask(LIST, **header)).json()["data"]) == granted
        (found,) = (await service.check(check(), **header)).json()["data"]
        assert found["granted"] == granted


@pytest.mark.asyncio
async def test_a_customers_name_does_not_lead_to_another_account(service: Service) -> None:
    """Only the header names the account."""
    await service.deliver(event(PLAIN, account="acct_1"))
    (found,) = (await service.check(check(customer="acct_1/cus_1"))).json()["data"]
    assert found == denied("unknown_customer")


@pytest.mark.asyncio
async def test_an_account_that_cannot_be_one_is_a_400(service: Service) -> None:
    """An empty header is a mistake, not the platform's own account."""
    for name in ("", "a b"):
        for asked in (service.ask(PRO, Stripe_Account=name), service.check(Stripe_Account=name)):
            assert "Stripe-Account" in problem(await asked, 400, "bad-request")


# -- Many at once


def check(**fields: object) -> Body:
    """Return a check of `pro` for `cus_1`, with other fields if given."""
    return {"customer": "cus_1", "feature": "pro"} | fields


@pytest.mark.asyncio
async def test_a_batch_is_answered_in_its_order(service: Service) -> None:
    """Each check has its answer in its place, the same as if it had been asked alone."""
    for n in range(5):
        await service.deliver(event(PLAIN | {"customer": f"cus_{n}"}, id=f"evt_{n}"))
    names = [f"cus_{n % 7}" for n in range(50)]
    found = (await service.check(*(check(customer=name) for name in names))).json()
    assert found["object"] == "list"
    for name, said in zip(names, found["data"], strict=True):
        assert said == (await service.ask(f"/v1/customers/{name}/entitlements/pro")).json()


@pytest.mark.asyncio
async def test_a_bad_check_fails_alone(service: Service) -> None:
    """In its place stands a problem; its neighbours are answered."""
    await service.deliver(event(PLAIN))
    bad: list[Any] = [
        {},
        {"customer": "cus_1"},
        check(feature=""),
        check(feature=5),
        check(customer="a b"),
        check(customer="x" * 256),
        check(at="now"),
        check(at=-1),
        check(at=1.5),
        check(when=1),
        [],
        None,
        5,
        "pro",
    ]
    found = (await service.check(check(), *bad, check())).json()["data"]
    assert (found[0], found[-1]) == (answer(), answer())
    for said in found[1:-1]:
        assert said["type"] == "urn:problem-type:entitlements:bad-request"
        assert (said["status"], "granted" in said) == (400, False)
        assert "A check is" in said["detail"]


@pytest.mark.asyncio
@pytest.mark.parametrize("half", [r"\ud800", r"\uDfff", r"\udc00\ud800", r"\ud83d\u0041"])
async def test_half_of_a_surrogate_pair_fails_alone(service: Service, half: str) -> None:
    """It is no text, wherever in a check it stands; a whole pair is, and so is what only looks like half of one."""
    await service.deliver(event(PLAIN))
    pro = '{"customer":"cus_1","feature":"pro"}'
    checks = [
        pro,
        f'{{"customer":"{half}","feature":"pro"}}',
        f'{{"customer":"cus_1","feature":"pro{half}"}}',
        f'{{"customer":"cus_1","feature":"pro","{half}":1}}',
        r'{"customer":"\ud83d\ude00","feature":"pro"}',
        r'{"customer":"\\ud800","feature":"pro"}',
        pro,
    ]
    said = await service.http.post(
        "/v1/checks", content=f'{{"checks":[{",".join(checks)}]}}', headers=bearer(READ)
    )
    found = said.json()["data"]
    assert (found[0], found[-1]) == (answer(), answer())
    assert [one.get("status") for one in found] == [None, 400, 400, 400, None, None, None]
    assert found[4]["reason"] == found[5]["reason"] == "unknown_customer"


@pytest.mark.asyncio
async def test_a_batch_has_a_limit(service: Service) -> None:
    """A thousand are answered, one more is refused whole."""
    many = [check(customer=f"cus_{n}") for n in range(MAX_CHECKS)]
    assert len((await service.check(*many)).json()["data"]) == MAX_CHECKS
    refused = await service.check(*many, check())
    assert "1001 checks" in problem(refused, 400, "bad-request")
    assert (await service.check()).json() == {"object": "list", "data": []}


DEEP = 100_000


def deep(levels: int) -> bytes:
    """Return arrays in arrays."""
    return b"[" * levels + b"]" * levels


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"checks",
        b"[]",
        b"{}",
        b'{"checks":1}',
        b'{"checks":[],"check":[]}',
        b'{"checks":[\xff]}',
    ],
)
async def test_a_batch_that_cannot_be_read_is_a_400(service: Service, body: bytes) -> None:
    """It says what to send."""
    refused = await service.http.post("/v1/checks", content=body, headers=bearer(READ))
    assert 'Send {"checks"' in problem(refused, 400, "bad-request")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "odd",
    [
        b'{"customer":"\xff","feature":"pro"}',
        *(
            b'{"customer":"cus_1","feature":"pro","at":' + deep(levels) + b"}"
            for levels in (NESTED - 3, NESTED - 2, 900, DEEP)
        ),
        b'{"customer":"cus_1","feature":"pro","at":' + b"1" * 5_000 + b"}",
    ],
)
async def test_a_check_that_cannot_be_read_fails_alone(service: Service, odd: bytes) -> None:
    """However strange its bytes are."""
    good = json.dumps(check()).encode()
    body = b'{"checks":[%b,%b]}' % (odd, good)
    found = await service.http.post("/v1/checks", content=body, headers=bearer(READ))
    first, second = found.json()["data"]
    assert (first["status"], second) == (400, denied("unknown_customer"))


@pytest.mark.asyncio
async def test_a_batch_over_the_limit_of_bytes_is_a_413(service: Service) -> None:
    """As any body is."""
    body = b" " * (LIMIT + 1)
    refused = await service.http.post("/v1/checks", content=body, headers=bearer(READ))
    problem(refused, 413, "body-too-large")


@pytest.mark.asyncio
async def test_a_caller_who_leaves_is_no_fault_of_ours(
    store_url: str, log_lines: io.StringIO
) -> None:
    """Half a batch is no crash in the log."""
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}])
    sent: list[Any] = []

    async def receive() -> Any:  # noqa: ANN401  ASGI's
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:  # noqa: ANN401  ASGI's
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/checks",
        "headers": [(b"authorization", f"Bearer {READ}".encode())],
        "query_string": b"",
    }
    async with serving(store_url) as service:
        await service.hosted(scope, receive, send)
    assert sent[0]["status"] == 400
    assert "request_crashed" not in log_lines.getvalue()


finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
checks = st.lists(
    values
    | st.fixed_dictionaries(
        {"customer": values | st.just("cus_1"), "feature": values | st.just("pro")},
        optional={"at": values | st.integers(0, END)},
    ),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(checks)
def test_whatever_is_checked_has_an_answer_in_its_place(store_url: str, asked: list[Any]) -> None:
    """No check makes the batch fail, or go missing."""

    async def ask() -> Response:
        async with serving(store_url) as service:
            body = json.dumps({"checks": asked}).encode()
            return await service.http.post("/v1/checks", content=body, headers=bearer(READ))

    found = asyncio.run(ask())
    assert found.status_code == 200
    assert len(found.json()["data"]) == len(asked)


# -- Trouble


@pytest.mark.asyncio
async def test_a_store_that_hangs_is_a_503_within_a_second(own_store: EmbeddedStore) -> None:
    """A caller is told soon, and that it may ask again; nothing is invented. Then the answers come back."""
    async with serving(own_store.url) as service:
        await service.deliver(event(PLAIN))
        for ask in _asks(service):
            with frozen(own_store.pid):
                began = time.monotonic()
                refused = await ask()
                assert time.monotonic() - began < SOON
            problem(refused, 503, "store-unavailable")
            assert int(refused.headers["retry-after"]) > 0
        for ask in _asks(service):
            assert (await ask()).status_code == 200


@pytest.mark.asyncio
async def test_while_the_store_hangs_the_last_that_was_seen_is_answered(
    own_store: EmbeddedStore,
) -> None:
    """With its age, not to be kept by anybody, and only for as long as the policy allows."""
    async with serving(own_store.url) as service:
        await service.deliver(event(PLAIN))
        fresh = [(await ask()).json() for ask in _asks(service)]
        with frozen(own_store.pid):
            await eventually(lambda: not service.state["feed"].notices.alive)
            stale = [await ask() for ask in _asks(service)]
            service.state["answers"].policy = replace(BUILT_IN, stale_ttl=0)
            refused = [await ask() for ask in _asks(service)]

    for was, response in zip(fresh, stale, strict=True):
        now = response.json()
        one = now["data"][0] if "data" in now else now
        assert (one["stale"], one["granted"], response.status_code) == (True, True, 200)
        assert 0 <= one["age"] <= 5
        assert "stale" not in json.dumps(was)
        assert "etag" not in response.headers
    assert [s.headers["cache-control"] for s in stale[:2]] == ["no-store", "no-store"]
    assert [r.status_code for r in refused] == [503, 503, 503]


def _asks(service: Service) -> list[Callable[[], Awaitable[Response]]]:
    return [
        partial(service.ask, PRO),
        partial(service.ask, LIST),
        partial(service.check, check()),
    ]


@pytest.mark.asyncio
async def test_answers_are_counted(service: Service) -> None:
    """By the call that asked, each check of a batch for itself."""
    name = 'entitlements_queries_total{call="%s"}'
    before = await counted(service)
    await service.ask(PRO)
    await service.ask(LIST)
    await service.check(check(), check())
    after = await counted(service)
    moved = {
        call: after[name % call] - before.get(name % call, 0) for call in ("one", "list", "checks")
    }
    assert moved == {"one": 1, "list": 1, "checks": 2}


@pytest.mark.asyncio
async def test_a_secret_is_in_no_answer_and_in_no_line_of_the_log(
    own_store: EmbeddedStore, log_lines: io.StringIO
) -> None:
    """Whatever goes well or wrong: neither the signing secret, nor a token, nor the store's password."""
    said = []
    url = own_store.url.replace("unix://", "unix://default:s3cret-of-the-store@")
    async with serving(url) as service:
        said += [await service.deliver(event(PLAIN)), await service.ask(PRO)]
        said += [await service.deliver(event(PLAIN), "whsec_a_wrong_one")]
        said += [
            await service.ask(PRO, "ent_read_a_wrong_one"),
            await service.ask(f"{PRO}?x={SECRET}"),
        ]
        said += [await service.ask(f"/v1/customers/{READ}/entitlements")]
        with frozen(own_store.pid):
            said += [await service.deliver(event(PLAIN)), await service.ask(PRO)]
            said += [await service.http.get("/readyz")]
        service.clock.now = float("nan")
        said += [await service.ask(PRO)]
    assert said[-1].status_code == 500
    told = log_lines.getvalue() + "".join(
        f"{r.headers} {r.text}"
        for r in said[:4] + said[6:]  # two repeat what the caller wrote in its question
    )
    for secret in (
        SECRET,
        READ,
        "whsec_a_wrong_one",
        "ent_read_a_wrong_one",
        "s3cret-of-the-store",
    ):
        assert secret not in told


@pytest.mark.asyncio
async def test_what_stripe_has_sent_has_happened_though_its_clock_be_ahead(store_url: str) -> None:
    """Right after the 200 the answer is the new one; only who asks for an earlier instant gets the earlier one."""
    ended = PLAIN | {"status": "unpaid"}
    async with serving(store_url, clock=Clock(START + 1)) as service:
        await service.deliver(event(PLAIN))
        await service.deliver(update(PLAIN, ended, created=START + 4))
        now = (await service.ask("/v1/customers/cus_1/entitlements/pro")).json()
        before = (await service.ask(f"/v1/customers/cus_1/entitlements/pro?at={START + 1}")).json()
        listed = (await service.ask("/v1/customers/cus_1/entitlements?include=denied")).json()
        checked = (await service.check({"customer": "cus_1", "feature": "pro"})).json()["data"][0]

    assert (now["granted"], checked["granted"], listed["as_of"]) == (False, False, START + 4)
    assert (before["granted"], before["until"]) == (True, START + 4)


@pytest.mark.asyncio
async def test_an_address_with_a_slash_too_many_is_not_redirected(store_url: str) -> None:
    """Stripe takes a redirect for a failed delivery, and would say less than a 404."""
    async with serving(store_url) as service:
        found = await service.http.post("/webhooks/stripe/", content=b"{}")

    assert found.status_code == 404
