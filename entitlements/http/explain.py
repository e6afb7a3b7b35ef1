"""Why a customer is answered what they are: the chain from deliveries to the answer. Scope `operate`."""

from starlette.requests import Request
from starlette.responses import Response

from entitlements.errors import StoreUnavailable
from entitlements.explained import Explanation
from entitlements.http.deeds import answer
from entitlements.http.endpoint import Endpoint, routed
from entitlements.http.parameters import (
    ACCOUNT,
    AT,
    KNOWN_AT,
    Parameter,
    Parameters,
    subject_of,
)
from entitlements.http.state import State
from entitlements.tell import Question, tell
from entitlements.wire import Id

FEATURE = Parameter("feature", Id, "The feature whose answer is meant; without it all of them.")


async def one_customer(request: Request[State]) -> Response:
    """Explain a customer's answers: events in canonical order, what each changed, rule, policy and what comes next.

    One that nothing was ever heard of, or that is asked about longer ago than what is kept, has an explanation too.
    """
    given, state = Parameters.of(request, FEATURE, AT, KNOWN_AT), request.state
    question = Question(
        subject=subject_of(request),
        feature=given.id(FEATURE.name),
        at=given.number(AT.name),
        known_at=given.number(KNOWN_AT.name),
    )
    now = int(state["clock"]())
    return answer(await tell(state["store"], state["answers"], question, now))


routes = routed(
    "operations",
    Endpoint(
        method="GET",
        path="/ops/v1/customers/{customer}/explain",
        handler=one_customer,
        scope="operate",
        parameters=(FEATURE, AT, KNOWN_AT, ACCOUNT),
        answers={200: Explanation},
        refusals=(StoreUnavailable,),
    ),
)
