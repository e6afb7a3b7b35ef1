"""AuthZEN's evaluations: the cases of its certification for callers who ask by type, id and name, and our own.

https://github.com/openid/authzen/blob/main/certification/authorization-api-1_0-scenario.md
"""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from httpx2 import Response

from entitlements.http.body import LIMIT
from entitlements.http.queries import MAX_CHECKS
from entitlements.policy import BUILT_IN
from entitlements.reasons import REASONS
from entitlements.sandbox.shapes import Body
from entitlements.store.embedded import EmbeddedStore
from tests.support.bodies import event, pausing, subscription, update
from tests.support.doors import USE, customer, feature, post, question
from tests.support.histories import MONTH, START
from tests.support.servers import frozen
from tests.support.service import READ, Service, bearer, serving

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"
PLAIN = subscription()
UNPAID = PLAIN | {"id": "sub_2", "customer": "cus_2", "status": "unpaid"}
DEEP = 100_000


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give a service that knows a customer with `pro`, and one who does not pay for it."""
    async with serving(store_url) as found:
        await found.deliver(event(PLAIN))
        await found.deliver(event(UNPAID, id="evt_2"))
        yield found


def decisions(response: Response) -> list[bool]:
    """Return the decisions of several evaluations."""
    assert response.status_code == 200
    found: Body = response.json()
    assert found.keys() == {"evaluations"}
    return [one["decision"] for one in found["evaluations"]]


def sentence(response: Response, status: int) -> str:
    """Return what is said about an error; fail where it could be taken for a decision."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert "decision" not in response.json()
    return str(response.json()["detail"])


# -- One


@pytest.mark.asyncio
async def test_a_decision_has_our_reason_and_times(service: Service) -> None:
    """Its context says all that an entitlement does, without what is null, and a sentence for each of two readers."""
    await service.deliver(update(PLAIN, PLAIN | pausing("void"), id="evt_3"))
    found = await post(service, ONE, question())
    assert found.headers["content-type"] == "application/json"
    assert found.json() == {
        "decision": True,
        "context": {
            "reason": "paused_void",
            "reason_user": {"200": "You may use this."},
            "reason_admin": {"200": f"paused_void: {REASONS['paused_void']}"},
            "rule": "pause_collection.void",
            "subscription": "sub_1",
            "quantity": 1,
            "until": START + MONTH,
            "then": {"granted": False, "reason": "paused_void"},
            "policy": BUILT_IN.digest,
            "as_of": START + 10,
        },
    }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("who", "what", "reason"),
    [
        ("cus_2", "pro", "unpaid"),
        ("cus_1", "seats", "unknown_feature"),
        ("cus_3", "pro", "unknown_customer"),
    ],
)
async def test_a_denial_is_a_200_with_its_reason(
    service: Service, who: str, what: str, reason: str
) -> None:
    """A question that is understood has an answer, however little is known."""
    found = await post(service, ONE, question(who, what))
    assert (found.status_code, found.json()["decision"]) == (200, False)
    context = found.json()["context"]
    assert context["reason"] == reason
    assert context["reason_admin"].keys() == context["reason_user"].keys() == {"403"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"subject": {"type": "user", "id": "alice smith"}}, "unknown_subject_type"),
        ({"action": {"name": "delete"}}, "unknown_action"),
        ({"resource": {"type": "record", "id": ""}}, "unknown_resource_type"),
    ],
)
async def test_what_is_foreign_is_denied(service: Service, fields: Body, reason: str) -> None:
    """Nothing held can allow it, and it is no mistake of form; its id may be any string."""
    found = await post(service, ONE, question() | fields)
    assert (found.status_code, found.json()["decision"]) == (200, False)
    assert found.json()["context"]["reason"] == reason
    assert "policy" not in found.json()["context"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "more",
    [
        {"context": {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}},
        {"context": {}},
        {"context": None},
        {"subject": customer() | {"properties": {"department": "Sales", "at": [1, None, {}]}}},
        {"action": USE | {"properties": {"method": "GET"}}},
        {"resource": feature() | {"properties": None, "owner": "cus_2"}},
        {"foo": "bar", "futureField": {"nested": True}},
    ],
)
async def test_what_else_a_request_carries_decides_nothing(service: Service, more: Body) -> None:
    """Context, properties and fields of a later version are let through."""
    for _ in range(2):
        assert (await post(service, ONE, question(**more))).json()["decision"] is True


@pytest.mark.asyncio
async def test_any_instant_can_be_asked_about(service: Service) -> None:
    """`context.at` is ours; the answer names the instant that it is about."""
    for at, granted in ((START - 1, False), (START, True)):
        found = (await post(service, ONE, question(context={"at": at}))).json()
        assert (found["decision"], found["context"]["as_of"]) == (granted, at)


WRONG: list[Body] = [
    {},
    {"subject": customer(), "action": USE},
    {"subject": customer(), "resource": feature()},
    {"action": USE, "resource": feature()},
    question(subject={"id": "cus_1"}),
    question(subject={"type": "customer"}),
    question(subject="cus_1"),
    question(subject=None),
    question(subject={"type": "customer", "id": 5}),
    question(subject=customer("")),
    question(subject=customer("a b")),
    question(subject=customer("x" * 256)),
    question(subject=customer() | {"properties": "x"}),
    question(action={}),
    question(action={"name": 123}),
    question(resource={"type": "feature"}),
    question(resource={"id": "pro"}),
    question(resource=feature("a\nb")),
    question(context="now"),
    question(context={"at": "now"}),
    question(context={"at": -1}),
    question(context={"at": 1.5}),
]


@pytest.mark.asyncio
@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("path", [ONE, MANY])
async def test_a_question_of_another_form_is_a_400(
    service: Service, path: str, wrong: Body
) -> None:
    """It is never a denial: the caller is told what to mend."""
    assert sentence(await post(service, path, wrong), 400)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff",
        b'{"subject":' + b"[" * DEEP,
        b'{"subject":"\\ud800"}',
    ],
)
@pytest.mark.parametrize("path", [ONE, MANY, "/access/v1/search/action"])
async def test_a_body_that_cannot_be_read_is_a_400(
    service: Service, path: str, body: bytes
) -> None:
    """Whatever its bytes are."""
    headers = bearer(READ) | {"Content-Type": "application/json; charset=utf-8"}
    assert "Send {" in sentence(await service.http.post(path, content=body, headers=headers), 400)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_another_type_of_content_is_a_400(service: Service, kind: str | None) -> None:
    """The specification wants the header, also where the body would do."""
    headers = bearer(READ) | ({"Content-Type": kind} if kind else {})
    content = b'{"subject":{},"action":{},"resource":{}}'
    refused = await service.http.post(ONE, content=content, headers=headers)
    assert "Content-Type: application/json" in sentence(refused, 400)


@pytest.mark.asyncio
async def test_a_body_over_the_limit_is_a_413(service: Service) -> None:
    """As at every door."""
    headers = bearer(READ) | {"Content-Type": "application/json"}
    refused = await service.http.post(MANY, content=b" " * (LIMIT + 1), headers=headers)
    assert str(LIMIT) in sentence(refused, 413)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "any {string} at=all"])
async def test_a_requests_name_comes_back_as_it_was(service: Service, name: str) -> None:
    """In an answer and in an error; without one a name is made."""
    for body in (question(), {}):
        found = await post(service, ONE, body, X_Request_ID=name)
        assert found.headers.get_list("x-request-id") == [name]
    assert (await post(service, ONE, question())).headers["x-request-id"]


# -- Several


@pytest.mark.asyncio
async def test_several_are_answered_in_their_order(service: Service) -> None:
    """Each by itself says all there is to say, or leaves to the request what all share; a whole entity at a time."""
    whole = [question(), question("cus_2"), question("cus_1", "seats")]
    assert decisions(await post(service, MANY, {"evaluations": whole})) == [True, False, False]
    shared = question() | {
        "context": {"at": START - 1},
        "evaluations": [
            {},
            {"context": {"at": START}},
            {"context": {}, "resource": feature("seats")},
            {"subject": customer("cus_2"), "context": {}},
            {"subject": None, "action": {"name": "delete"}, "context": {}},
            {"context": {"time": "2025-06-27T19:00-07:00", "source": "batch-override"}},
        ],
    }
    found = decisions(await post(service, MANY, shared))
    assert found == [False, True, False, False, False, True]


@pytest.mark.asyncio
async def test_several_say_what_one_would(service: Service) -> None:
    """Context and all."""
    asked = [question(), question("cus_2"), question("cus_9"), question(action={"name": "x"})]
    found = (await post(service, MANY, {"evaluations": asked})).json()["evaluations"]
    assert found == [(await post(service, ONE, one)).json() for one in asked]


@pytest.mark.asyncio
@pytest.mark.parametrize("more", [{}, {"evaluations": []}, {"evaluations": None}])
async def test_without_several_there_is_one(service: Service, more: Body) -> None:
    """The answer has the shape of one evaluation."""
    found = await post(service, MANY, question(**more))
    assert found.json() == (await post(service, ONE, question())).json()


@pytest.mark.asyncio
async def test_a_bad_one_fails_alone(service: Service) -> None:
    """Its decision is no, and its context says that this is an error and not a denial."""
    bad: list[Any] = [{}, 5, None, "x", [], *(one for one in WRONG[4:] if one["subject"])]
    body = {"subject": customer(), "action": USE, "evaluations": [*bad, {"resource": feature()}]}
    found = (await post(service, MANY, body)).json()["evaluations"]
    assert found[-1]["decision"] is True
    for one in found[:-1]:
        assert one["decision"] is False
        assert one["context"].keys() == {"error"}
        assert one["context"]["error"]["status"] == 400
        assert one["context"]["error"]["message"]


@pytest.mark.asyncio
async def test_half_of_a_surrogate_pair_fails_alone(service: Service) -> None:
    """JSON that is no text, in one of several questions: the others are answered."""
    whole, half = json.dumps(question()), json.dumps(question("HALF"))
    half = half.replace("HALF", r"\ud800")
    said = await service.http.post(
        MANY,
        content=f'{{"evaluations":[{whole},{half},{whole}]}}',
        headers=bearer(READ) | {"Content-Type": "application/json"},
    )
    assert decisions(said) == [True, False, True]
    assert said.json()["evaluations"][1]["context"]["error"]["status"] == 400


@pytest.mark.asyncio
async def test_a_wrong_account_is_refused_whatever_is_asked(service: Service) -> None:
    """Also where the question is about nothing that is held here."""
    foreign = question(subject={"type": "robot", "id": "r"})
    for path in (ONE, MANY, "/access/v1/search/subject"):
        said = await post(service, path, foreign, stripe_account="a b")
        assert (said.status_code, "Stripe-Account" in said.text) == (400, True)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        (None, [True, True, False, False, True]),
        ("execute_all", [True, True, False, False, True]),
        ("deny_on_first_deny", [True, True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
async def test_answers_end_where_the_caller_wants(
    service: Service, semantic: str | None, expected: list[bool]
) -> None:
    """After the first denial, the first permit, or not before the end."""
    names = ["pro", "pro", "seats", "seats", "pro"]
    body = question() | {
        "evaluations": [{"resource": feature(name)} for name in names],
        "options": {"evaluations_semantic": semantic, "another_option": "value"},
    }
    assert decisions(await post(service, MANY, body)) == expected


@pytest.mark.asyncio
async def test_an_error_is_a_denial_where_the_first_ends_it(service: Service) -> None:
    """So the specification has it: a caller who wants all of them must not be told yes to what follows."""
    body = {"subject": customer(), "action": USE, "evaluations": [{}, {"resource": feature()}]}
    for semantic, expected in (
        ("deny_on_first_deny", [False]),
        ("permit_on_first_permit", [False, True]),
    ):
        options = {"options": {"evaluations_semantic": semantic}}
        assert decisions(await post(service, MANY, body | options)) == expected


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wrong",
    [
        {"options": {"evaluations_semantic": "first"}},
        {"options": 5},
        {"subject": {"type": "customer"}},
        {"context": {"at": "now"}},
        {"evaluations": {}},
    ],
)
async def test_what_is_wrong_with_all_of_them_is_a_400(service: Service, wrong: Body) -> None:
    """Whatever the single ones say for themselves."""
    body = {"evaluations": [question()]} | wrong
    assert sentence(await post(service, MANY, body), 400)


@pytest.mark.asyncio
async def test_several_have_a_limit(service: Service) -> None:
    """A thousand are answered, one more is refused whole."""
    body = question() | {"evaluations": [{}] * MAX_CHECKS}
    assert decisions(await post(service, MANY, body)) == [True] * MAX_CHECKS
    body["evaluations"].append({})
    assert "1001 evaluations" in sentence(await post(service, MANY, body), 400)


# -- Accounts and trouble


@pytest.mark.asyncio
async def test_a_connected_account_is_named_by_its_header(service: Service) -> None:
    """Its customers are others of the same name; no id leads to them."""
    await service.deliver(event(PLAIN | {"customer": "cus_2"}, id="evt_3", account="acct_1"))
    for path, body in (
        (ONE, question("cus_2")),
        (MANY, question() | {"evaluations": [question("cus_2")]}),
    ):
        said = [
            await post(service, path, body),
            await post(service, path, body, Stripe_Account="acct_1"),
        ]
        assert ["true" in response.text.partition("context")[0] for response in said] == [
            False,
            True,
        ]
        assert "Stripe-Account" in sentence(
            await post(service, path, body, Stripe_Account="a b"), 400
        )
    assert not (await post(service, ONE, question("acct_1/cus_2"))).json()["decision"]


@pytest.mark.asyncio
async def test_a_store_that_hangs_is_a_503(own_store: EmbeddedStore) -> None:
    """For every call, and a caller is told when to come back."""
    async with serving(own_store.url) as service:
        for path in (
            ONE,
            MANY,
            *(f"/access/v1/search/{what}" for what in ("subject", "resource", "action")),
        ):
            with frozen(own_store.pid):
                refused = await post(service, path, question())
            assert "Try again" in sentence(refused, 503)
            assert int(refused.headers["retry-after"]) > 0


@pytest.mark.asyncio
async def test_a_fault_of_ours_is_a_500(service: Service) -> None:
    """In the same shape, and saying nothing of its cause."""
    service.clock.now = float("nan")
    assert "fault of the service" in sentence(await post(service, ONE, question()), 500)
