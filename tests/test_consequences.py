"""Who gains and who loses what, and when, by more events."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from entitlements.absorb import Held, absorb
from entitlements.consequences import consequences
from entitlements.history import relived
from entitlements.model import (
    CustomerRecord,
    Fact,
    Override,
    Review,
    Subject,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import BUILT_IN, DAY, Policy
from entitlements.policy_file import parse
from entitlements.redecide import Difference, Whole, latest
from entitlements.resolve import entitlement, features
from entitlements.words import NOTHING_SAID, Word, Words
from tests.support.histories import MONTH, START, created, snapshot, updated
from tests.support.policies import policies, wide_lives

CUSTOMER = Subject("cus_1", "acct_1")
NOBODY = Whole(CUSTOMER, CustomerRecord(version=0), {})
NOW = START + 10 * DAY
PLAIN, UNPAID = snapshot(), snapshot("unpaid")
BEGUN = created(START, PLAIN)
CUT_OFF = updated(START + DAY, PLAIN, UNPAID, "evt_2")
PAID = updated(START + 2 * DAY, UNPAID, PLAIN, "evt_3")


def held(*facts: Fact, policy: Policy = BUILT_IN, now: int = NOW) -> Whole:
    """Return what is held of a customer after these facts of one subscription, in this order of arrival."""
    return taken(NOBODY, *facts, policy=policy, now=now)


def taken(whole: Whole, *facts: Fact, policy: Policy = BUILT_IN, now: int = NOW) -> Whole:
    """Return what is held after more facts."""
    record, cold = whole.record, whole.subscriptions.get("sub_1", SubscriptionRecord())
    for fact in facts:
        told = replace(fact, received_ms=now * 1000)
        event = SubscriptionEvent(told, CUSTOMER, "sub_1", livemode=False)
        found = absorb(Held(record, cold), event, policy, now)
        record, cold = found.customer, found.subscription
    return Whole(CUSTOMER, record, {"sub_1": cold})


def of(before: Whole, after: Whole, at: int = NOW, words: Words = NOTHING_SAID) -> Difference:
    """Return the one difference."""
    (found,) = consequences(before, after, BUILT_IN, at, words)
    assert (found.customer, found.account, found.feature) == ("cus_1", "acct_1", "pro")
    return found


def test_access_is_lost_since_the_event_that_was_missing() -> None:
    """Not since it came."""
    found = of(held(BEGUN), held(BEGUN, CUT_OFF))

    assert (found.kind, found.since) == ("loses", START + DAY)
    assert (found.was.reason, found.becomes.reason) == ("active", "unpaid")


def test_access_is_gained_since_the_last_time_that_it_was_denied() -> None:
    """What differed for a while before that is not the beginning of it."""
    again = updated(START + 3 * DAY, PLAIN, UNPAID, "evt_4")
    back = updated(START + 4 * DAY, UNPAID, PLAIN, "evt_5")

    found = of(held(BEGUN, CUT_OFF, again), held(BEGUN, CUT_OFF, PAID, again, back))

    assert (found.kind, found.since) == ("gains", START + 4 * DAY)


def test_a_customer_nobody_knew_gains_from_the_beginning() -> None:
    """Before, every answer was no."""
    found = of(NOBODY, held(BEGUN))

    assert (found.kind, found.since) == ("gains", START)
    assert found.was.reason == "unknown_customer"


def test_what_held_for_a_while_and_does_no_more_is_told_too() -> None:
    """With the answers of that time, and how long each of them held."""
    found = of(held(BEGUN), held(BEGUN, CUT_OFF, PAID))

    assert (found.kind, found.since) == ("past", START + DAY)
    assert (found.was.granted, found.becomes.granted) == (True, False)
    assert found.flip_becomes == START + 2 * DAY


def test_what_changes_next_is_told_as_before() -> None:
    """Without a beginning, for nothing has changed yet."""
    ends = replace(PLAIN, cancel_at=NOW + DAY)
    found = of(held(BEGUN), held(BEGUN, updated(START + 1, PLAIN, ends)))

    assert (found.kind, found.since) == ("flips", UNSET)
    assert (found.flip_was, found.flip_becomes) == (None, NOW + DAY)


def test_events_that_change_no_answer_have_no_consequences() -> None:
    """Neither now nor ever."""
    renewed = replace(PLAIN, items=tuple(replace(i, quantity=2) for i in PLAIN.items))
    after = held(BEGUN, updated(START + 1, PLAIN, renewed))

    assert list(consequences(held(BEGUN), after, BUILT_IN, NOW, NOTHING_SAID)) == []


def test_an_override_hides_what_it_is_over() -> None:
    """Access changes where it ends, and not before."""
    said = {"pro": Override("grant", "a promise", START + 5 * DAY)}
    before, after = (
        replace(whole, record=replace(whole.record, overrides=said))
        for whole in (held(BEGUN), held(BEGUN, CUT_OFF))
    )

    assert of(before, after).since == START + 5 * DAY
    assert of(before, after, START + 4 * DAY).kind == "flips"


def test_an_override_that_is_over_hides_what_it_was_over() -> None:
    """Nobody lost what a person had granted then, though the promise has ended since."""
    promise = Override("grant", "a promise", START + 3 * DAY, START)
    for over in (promise, replace(promise, expires_at=None)):
        words = Words(
            overrides=(Word(START, "ann", "pro", over), Word(START + 4 * DAY, "ann", "pro"))
        )
        after = held(BEGUN, CUT_OFF, PAID)
        assert list(consequences(held(BEGUN), after, BUILT_IN, NOW, words)) == []

        lasting = of(held(BEGUN), held(BEGUN, CUT_OFF), NOW, words)
        end = over.expires_at or START + 4 * DAY
        assert (lasting.kind, lasting.since) == ("loses", end)


def test_a_review_that_was_taken_back_decided_as_long_as_it_stood() -> None:
    """What is left to a person was answered as the person said, before the answer was taken back."""
    doubtful = parse('status.unpaid = { access = "review", while_pending = "revoke" }')
    since = CUT_OFF.created
    words = Words(
        reviews=(
            Word(since, "ann", "sub_1", Review("grant", since, "known", since)),
            Word(START + 5 * DAY, "ann", "sub_1", Review(None, since, "an error", START + 5 * DAY)),
        )
    )
    before, after = held(BEGUN, policy=doubtful), held(BEGUN, CUT_OFF, policy=doubtful)

    (found,) = consequences(before, after, doubtful, NOW, words)

    assert (found.kind, found.since) == ("loses", START + 5 * DAY)


def test_nothing_is_told_of_the_time_before_words_are_known() -> None:
    """Older words, which may have hidden it, are kept no more."""
    words = Words(settled=START + 3 * DAY)
    before, after = held(BEGUN), held(BEGUN, CUT_OFF, PAID)

    assert list(consequences(before, after, BUILT_IN, NOW, words)) == []


def test_what_only_another_policy_changes_begins_now() -> None:
    """A record that lags behind is decided by the policy in force with the first event that comes."""
    strict = parse('status.active = "revoke"')
    before = held(BEGUN)
    after = taken(before, updated(START + 1, PLAIN, PLAIN, "evt_9"), policy=strict)

    (found,) = consequences(before, after, strict, NOW, NOTHING_SAID)

    assert (found.kind, found.since) == ("loses", NOW)


def test_the_past_is_compared_as_far_back_as_it_is_known() -> None:
    """What old facts were folded to says nothing of what was before."""
    short = replace(BUILT_IN, log_retention=DAY)
    known = held(BEGUN, CUT_OFF, PAID, policy=short, now=START + 2 * DAY)
    later = updated(START + 20 * DAY, PLAIN, PLAIN, "evt_9")
    after = taken(known, later, policy=short, now=START + 20 * DAY)

    assert after.subscriptions["sub_1"].base
    assert list(consequences(known, after, short, START + 20 * DAY, NOTHING_SAID)) == []


@given(st.data(), policies(), wide_lives())
def test_it_is_told_exactly_where_some_instant_is_answered_otherwise(
    data: st.DataObject, policy: Policy, life: "tuple[tuple[Fact, ...], object]"
) -> None:
    """Of any life, some of whose facts are held and some more come: by asking about every instant itself."""
    facts = life[0]
    first = data.draw(st.integers(0, len(facts)))
    arrivals = data.draw(st.permutations(facts))
    now = START + data.draw(st.integers(0, 5)) * MONTH
    before = taken(NOBODY, *arrivals[:first], policy=policy, now=now) if first else NOBODY
    after = taken(before, *arrivals[first:], policy=policy, now=now)
    at = latest(after, now)

    found = {d.feature: d for d in consequences(before, after, policy, at, NOTHING_SAID)}

    was, becomes = (relived(w.record, w.subscriptions, policy) for w in (before, after))
    begins = max((c.base.at for c in after.subscriptions.values() if c.base), default=0)
    lives = [life for record in (was, becomes) for life in record.decisions.values()]
    for feature in {*features(was), *features(becomes)}:
        moments = {s.start for life in lives for s in life.features.get(feature, ())} | {begins, at}
        apart = [
            moment
            for moment in sorted(m for m in moments if begins <= m <= at)
            if entitlement(was, feature, moment).granted
            != entitlement(becomes, feature, moment).granted
        ]
        told = found.get(feature)
        assert bool(apart) <= bool(told)
        if told and told.kind in {"gains", "loses"}:
            assert at in apart
            assert told.since in apart
        elif told and told.kind == "past":
            assert told.since == apart[0]
            assert at not in apart
