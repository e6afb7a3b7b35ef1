"""What every door asks: the records of some customers, of the account that the request names, each at its instant."""

from collections.abc import Sequence

from starlette.requests import Request

from entitlements.errors import BeyondRetention
from entitlements.http.parameters import account_of, newest_of
from entitlements.http.state import State
from entitlements.model import CustomerRecord, Subject

Asked = tuple[str, int | None]
"""A customer, and an instant in Unix seconds; null for the present."""

Found = tuple[CustomerRecord, int] | BeyondRetention
"""What a question is to be resolved by: a record, and the instant that is asked about; or why there is none."""


async def records(request: Request[State], asked: Sequence[Asked]) -> list[Found]:
    """Return what each question is to be resolved by, in their order."""
    account = account_of(request)
    questions = [(Subject(customer, account), at) for customer, at in asked]
    now = int(request.state["clock"]())
    return await request.state["answers"].records(questions, now, newest=newest_of(request))


async def one_record(
    request: Request[State], customer: str, at: int | None = None
) -> tuple[CustomerRecord, int]:
    """Return what one question is to be resolved by. Raises BeyondRetention."""
    (found,) = await records(request, [(customer, at)])
    return answerable(found)


def answerable(found: Found) -> tuple[CustomerRecord, int]:
    """Return what was found, or raise why there is none."""
    if isinstance(found, BeyondRetention):
        raise found
    return found
