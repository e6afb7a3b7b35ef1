"""One customer decided anew by the policy in force, and written: when a policy is applied, and for who lags behind."""

from collections.abc import Sequence

from msgspec.structs import replace

from entitlements.absorb import Lists, lists
from entitlements.errors import StoreBusy
from entitlements.flips import Held, told
from entitlements.policy import Policy
from entitlements.redecide import (
    Difference,
    Whole,
    differences,
    redecided,
    superseding,
)
from entitlements.resolve import next_change
from entitlements.store.store import Store

ATTEMPTS = 8


async def rewrite(store: Store, whole: Whole, policy: Policy, now: int) -> Sequence[Difference]:
    """Decide a customer by a policy and write that; read again where somebody else wrote first.

    Returns what changed; nothing where the customer is decided by this policy already. Raises StoreBusy, StoreError.
    """
    for _ in range(ATTEMPTS):
        if whole.record.policy == policy.digest:
            return []
        after = redecided(whole, policy)
        after = replace(after, record=superseding(whole.record, after.record, now))
        said = told(Held(whole.record, whole.due), after.record, whole.subject, None, now)
        after = replace(after, due=next_change(after.record, said.at))
        if await store.rewrite(whole, after, _lists(after, said.at), said.changes):
            return list(differences(whole, after, said.at))
        (whole,) = await store.wholes([whole.subject])
    raise StoreBusy(
        f"Other writers won every attempt at {whole.subject}. Try again: it goes on where it was."
    )


def _lists(whole: Whole, at: int) -> dict[str, Lists]:
    return {
        name: lists(whole.record, whole.record.decisions[name], cold.state, at)
        for name, cold in whole.subscriptions.items()
        if cold.state
    }
