"""AuthZEN's decisions: yes or no, with our reason and times in their context."""

from typing import Annotated

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from entitlements.errors import BadRequest, BeyondRetention
from entitlements.http.endpoint import either
from entitlements.http.problems import problem_of
from entitlements.model import CustomerRecord, Then
from entitlements.reasons import REASONS
from entitlements.resolve import entitlement


class Grounds(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why, and until when: the fields of an entitlement, without those that are null.

    The sentences, for a user and for whoever looks into it, have the key of an HTTP status, as the specification's
    examples have it.
    """

    reason: str
    reason_user: dict[str, str]
    reason_admin: dict[str, str]
    rule: str | None = None
    subscription: str | None = None
    quantity: int | None = None
    until: int | None = None
    then: Then | None = None
    policy: str | None = None
    flags: tuple[str, ...] = ()
    as_of: int | None = None
    """The instant that the answer is about, in Unix seconds."""
    stale: bool | UnsetType = UNSET
    age: int | UnsetType = UNSET


class Fault(Struct, frozen=True):
    """What is wrong with a question."""

    status: int
    message: str


class Failed(Struct, frozen=True):
    """In the place of grounds: there is no answer."""

    error: Fault


class Decision(Struct, frozen=True):
    """The answer to one question."""

    decision: bool
    context: Annotated[object, either(Grounds, Failed)]


class Decisions(Struct, frozen=True):
    """The answers to several questions, in their order."""

    evaluations: list[Decision]


def decided(feature: str, record: CustomerRecord, at: int) -> Decision:
    """Return the decision about a feature at an instant: what an entitlement says, in other words."""
    answer = entitlement(record, feature, at)
    sentence = REASONS.get(answer.reason, "")
    grounds = replace(
        _grounds(answer.reason, sentence, granted=answer.granted),
        rule=answer.rule,
        subscription=answer.subscription,
        quantity=answer.quantity,
        until=answer.until,
        then=answer.then,
        policy=answer.policy,
        flags=() if answer.flags is UNSET else answer.flags,
        as_of=at,
        stale=answer.stale,
        age=answer.age,
    )
    return Decision(decision=answer.granted, context=grounds)


def denied(reason: str, sentence: str) -> Decision:
    """Return the decision about what is foreign here: nothing held can speak of it."""
    return Decision(decision=False, context=_grounds(reason, sentence, granted=False))


def failed(error: BadRequest | BeyondRetention) -> Decision:
    """Return the decision about a question that cannot be answered, as the specification has it among others: no."""
    problem = problem_of(error)
    return Decision(decision=False, context=Failed(Fault(problem.status, problem.detail)))


def _grounds(reason: str, sentence: str, *, granted: bool) -> Grounds:
    status = "200" if granted else "403"
    user = "You may use this." if granted else "This is not part of what you have now."
    return Grounds(
        reason=reason,
        reason_user={status: user},
        reason_admin={status: f"{reason}: {sentence}"},
    )
