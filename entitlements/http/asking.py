"""What every door asks: the records of some customers, of the account that the request names, each at its instant."""

from collections.abc import Sequence

from starlette.requests import Request

from entitlements.http.parameters import account_of
from entitlements.http.state import State
from entitlements.model import CustomerRecord, Subject

Asked = tuple[str, int | None]
"""A customer, and an instant in Unix seconds; null for the present."""


async def records(
    request: Request[State], asked: Sequence[Asked]
) -> list[tuple[CustomerRecord, int]]:
    """Return what each question is to be resolved by, in their order: a record, and the instant that is asked about."""
    account = account_of(request)
    questions = [(Subject(customer, account), at) for customer, at in asked]
    return await request.state["answers"].records(questions, int(request.state["clock"]()))
