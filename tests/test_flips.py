"""What the feed is told: replayed, it gives at every moment what queries gave; each flip comes once."""

from collections.abc import Mapping, Sequence
from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from entitlements.absorb import Held, absorb
from entitlements.flips import Flips, flips, told
from entitlements.flips import Held as Stood
from entitlements.model import (
    Change,
    CustomerRecord,
    Decision,
    Fact,
    Override,
    PauseCollection,
    Review,
    Segment,
    Snapshot,
    Subject,
    SubscriptionEvent,
    SubscriptionRecord,
)
from entitlements.policy import BUILT_IN, Policy
from entitlements.policy_file import parse
from entitlements.redecide import Whole, redecided
from entitlements.resolve import SKEW, entitlement, features, next_change, present
from entitlements.say import instant
from entitlements.words import Word, Words, judged, overridden, standing
from tests.support.histories import MONTH, START, item, lives

WHO = Subject("cus_1")
OTHER = parse(
    """
    [status]
    past_due = { access = "review", while_pending = "revoke" }
    [pause_collection]
    void = "grant"
    keep_as_draft = { access = "review", from = "period_end", while_pending = "grant" }
    """
)
Said = tuple[bool, str, int]
UNHEARD: Said = (False, "unknown_feature", 0)
"""What holds of a feature of which the feed has told nothing: an override that was over at once, for instance."""


def segment(start: int, granted: bool, quantity: int = 1) -> Segment:  # noqa: FBT001  reads like one
    """Return a stretch that is granted as active, or denied as past due."""
    word = "active" if granted else "past_due"
    return Segment(start, granted, word, f"status.{word}", quantity)


def record(*segments: Segment, version: int = 1, as_of: int = START) -> CustomerRecord:
    """Return a customer of one subscription to `pro`."""
    return CustomerRecord(version, "p", {"sub_a": Decision(as_of, {"pro": segments})})


def short(changes: Sequence[Change]) -> list[tuple[int, bool, str | None]]:
    """Return when each change holds from, what it says, and what caused it."""
    return [(c.at, c.granted, c.event) for c in changes]


# -- The clock


def test_every_flip_that_was_missed_is_told_in_order() -> None:
    """Each at its own instant, with the version that was held; then the customer is due at what comes next."""
    held = record(
        segment(START, granted=True),
        segment(START + 10, granted=False),
        segment(START + 20, granted=True),
        segment(START + 30, granted=False),
    )
    found = flips(Stood(held, START + 10), WHO, START + 29)

    assert short(found.changes) == [(START + 10, False, None), (START + 20, True, None)]
    assert {c.version for c in found.changes} == {1}
    assert found.due == START + 30


def test_nothing_is_told_before_its_second() -> None:
    """A half-open stretch: its end belongs to the next one, and the second before it does not."""
    held = record(segment(START, granted=True), segment(START + 10, granted=False))
    assert flips(Stood(held, START + 10), WHO, START + 9) == Flips((), START + 10)
    assert flips(Stood(held, START + 10), WHO, START + 10).due is None
    assert flips(Stood(held, None), WHO, START + 99) == Flips((), None)


def test_an_override_ends_by_the_clock() -> None:
    """What a person said until an instant is over at it."""
    held = replace(
        record(segment(START, granted=True)),
        overrides={"pro": Override("deny", "abuse", START + 10)},
    )
    assert short(flips(Stood(held, START + 10), WHO, START + 10).changes) == [
        (START + 10, True, None)
    ]


def test_a_change_of_the_rule_alone_is_not_told() -> None:
    """The feed tells what is granted, why and how many; the customer is due again after it."""
    held = record(
        Segment(START, granted=True, reason="active", rule="one"),
        Segment(START + 10, granted=True, reason="active", rule="other"),
        segment(START + 20, granted=False),
    )
    assert flips(Stood(held, START + 10), WHO, START + 10) == Flips((), START + 20)


# -- A write


def test_a_write_tells_what_the_clock_did_before_it() -> None:
    """A flip that nobody has told yet comes first, as the clock's own."""
    held = record(segment(START, granted=True), segment(START + 10, granted=False))
    after = record(segment(START, granted=True), version=2, as_of=START + 15)
    found = told(Stood(held, START + 10), after, WHO, "evt_1", START + 15)

    assert short(found.changes) == [(START + 10, False, None), (START + 15, True, "evt_1")]
    assert [c.version for c in found.changes] == [1, 2]


def test_a_write_tells_nothing_twice() -> None:
    """A flip that was told is not told again, also when the write comes within its second."""
    held = record(segment(START, granted=True), segment(START + 10, granted=False))
    after = replace(held, version=2)
    assert told(Stood(held, None), after, WHO, "evt_1", START + 10).changes == ()


def test_a_clock_that_lags_takes_nothing_back() -> None:
    """Whoever told the flip had a clock a little ahead: the write takes place at that flip, not before it."""
    held = record(segment(START, granted=True), segment(START + 10, granted=False))
    same = replace(held, version=2)
    assert told(Stood(held, None), same, WHO, "evt_1", START + 9) == told(
        Stood(held, None), same, WHO, "evt_1", START + 10
    )
    lifted = record(segment(START, granted=True), version=2)
    assert short(told(Stood(held, None), lifted, WHO, "evt_1", START + 9).changes) == [
        (START + 10, True, "evt_1")
    ]


def test_a_clock_that_was_far_ahead_is_put_right() -> None:
    """A flip that was told much too early is taken back by the next write, and is told again when it is due."""
    held = record(segment(START, granted=True), segment(START + SKEW + 10, granted=False))
    found = told(Stood(held, None), replace(held, version=2), WHO, "evt_1", START)

    assert short(found.changes) == [(START, True, "evt_1")]
    assert found.at == START


def test_the_present_is_never_before_what_stripe_has_sent() -> None:
    """Of all the customer's subscriptions, and whatever our clock says."""
    held = record(segment(START, granted=True))
    ahead = {**held.decisions, "sub_b": Decision(START + 60, {})}
    after = replace(held, version=2, decisions=ahead)
    assert told(Stood(held, None), after, WHO, "evt_1", START + 5).at == START + 60


# -- Laws


def said(held: CustomerRecord, feature: str, at: int) -> Said:
    """Return an answer as the feed tells it."""
    found = entitlement(held, feature, at)
    return found.granted, found.reason, found.quantity


def troubles(old: Snapshot) -> st.SearchStrategy[Snapshot]:
    """Draw changes that the clock will have something to say about."""
    ends = st.integers(START, START + 4) | st.just(START + MONTH)
    pauses = st.none() | st.builds(
        PauseCollection, st.sampled_from(["void", "keep_as_draft"]), ends
    )
    period = st.integers(START + 1, START + 5) | st.just(START + 2 * MONTH)
    return st.one_of(
        st.sampled_from(["active", "past_due", "trialing"]).map(lambda s: replace(old, status=s)),
        pauses.map(lambda p: replace(old, pause_collection=p)),
        period.map(lambda end: replace(old, items=(item(end=end),))),
        ends.map(lambda end: replace(old, cancel_at=end)),
    )


class Telling(RuleBasedStateMachine):
    """Events, policies, people's words, and workers that come late, twice or not at all, by one clock; and the feed."""

    skew = 0
    """Seconds by which a process's clock may lag, and a worker's be ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.held = CustomerRecord(version=0)
        self.colds: dict[str, SubscriptionRecord] = {}
        self.words = Words()
        self.due: int | None = None
        self.feed: list[Change] = []
        self.answers: dict[int, Mapping[str, Said]] = {}
        self.waiting: dict[str, list[Fact]] = {}

    @initialize(
        one=lives(most=6, change=troubles), other=lives(most=4, change=troubles), data=st.data()
    )
    def begin(self, one, other, data) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  hypothesis' own
        """Draw what happens to two subscriptions, in some order of arrival."""
        self.waiting = {
            "sub_a": data.draw(st.permutations(one.facts)),
            "sub_b": data.draw(st.permutations(other.facts)),
        }

    @rule(name=st.sampled_from(["sub_a", "sub_b"]), late=st.booleans(), lag=st.integers(0, 2))
    def an_event_comes(self, name: str, lag: int, *, late: bool) -> None:
        """Take in the next event, in a process whose clock may lag: when it happened, or late, at the next flip."""
        if not self.waiting.get(name):
            return
        if late:
            self.to_the_next_flip()
        fact = self.waiting[name].pop(0)
        self.until(fact.created)
        cold = self.colds.get(name, SubscriptionRecord())
        event = SubscriptionEvent(fact, WHO, name, livemode=False)
        if fact.event in {f.event for f in cold.facts}:
            return
        found = absorb(Held(self.held, cold, self.due), event, BUILT_IN, self.now - lag * self.skew)
        self.held, self.colds[name] = found.customer, found.subscription
        self.due = found.lists.due
        self.feed += found.changes
        self.remember()

    @rule(policy=st.sampled_from([BUILT_IN, OTHER]))
    def a_policy_is_applied(self, policy: Policy) -> None:
        """Decide the customer anew."""
        if not self.held.version:
            return
        whole = Whole(WHO, self.held, self.colds, self.due)
        after = redecided(whole, policy)
        found = told(Stood(self.held, self.due), after.record, WHO, None, self.now)
        self.held, self.colds = after.record, dict(after.subscriptions)
        self.due = next_change(self.held, found.at)
        self.feed += found.changes
        self.remember()

    @rule(
        feature=st.sampled_from(["pro", "other"]),
        access=st.sampled_from(["grant", "deny", None]),
        lasts=st.none() | st.sampled_from([1, 2, MONTH]),
        lag=st.integers(0, 2),
    )
    def a_person_overrides(
        self, feature: str, access: Literal["grant", "deny"] | None, lasts: int | None, lag: int
    ) -> None:
        """Set an override or take it back, in a process whose clock may lag."""
        at = instant(self.held, self.now - lag * self.skew)
        ends = None if lasts is None else at + lasts
        word = Word(at, "ann", feature, Override(access, "why", ends, at) if access else None)
        self.say(lag, *overridden(self.held, self.words, word, BUILT_IN.digest))

    @rule(
        name=st.sampled_from(["sub_a", "sub_b"]),
        access=st.sampled_from(["grant", "revoke", None]),
        lag=st.integers(0, 2),
    )
    def a_person_reviews(
        self, name: str, access: Literal["grant", "revoke"] | None, lag: int
    ) -> None:
        """Decide what policy leaves to a person or take it back, in a process whose clock may lag."""
        decision = self.held.decisions.get(name)
        if decision and (access or name in standing(self.held.reviews)):
            at = instant(self.held, self.now - lag * self.skew)
            word = Word(at, "ann", name, Review(access, decision.since, "why", at))
            self.say(lag, *judged(self.held, self.words, word))

    def say(self, lag: int, after: CustomerRecord, words: Words) -> None:
        """Write a person's word, as say.py does."""
        found = told(Stood(self.held, self.due), after, WHO, None, self.now - lag * self.skew)
        self.held, self.words, self.due = after, words, next_change(after, found.at)
        self.feed += found.changes
        self.remember()

    @rule(ahead=st.integers(0, 1))
    def the_worker_looks(self, ahead: int) -> None:
        """Tell what is due, by a clock that may be ahead."""
        found = flips(Stood(self.held, self.due), WHO, self.now + ahead * self.skew)
        self.feed, self.due = [*self.feed, *found.changes], found.due

    @rule(seconds=st.sampled_from([1, 1, 2, 86_400, MONTH]))
    def time_passes(self, seconds: int) -> None:
        """Let the clock go on: to the next flips, at times."""
        self.until(self.now + seconds)

    @rule()
    def flip(self) -> None:
        """Let the clock go on exactly to where an answer changes."""
        self.to_the_next_flip()

    def to_the_next_flip(self) -> None:
        """Go on to where an answer changes, if one will."""
        if (at := next_change(self.held, self.now)) is not None:
            self.until(at)

    def until(self, at: int) -> None:
        """Note what queries answer on the way, and go on."""
        while self.now < at:
            self.remember()
            due = next_change(self.held, self.now)
            self.now = at if due is None else min(at, due)
        self.remember()

    def remember(self) -> None:
        """Note what queries answer now: the last word of this second counts."""
        at = present(self.held, self.now)
        self.answers[at] = {f: said(self.held, f, at) for f in features(self.held)}

    @invariant()
    def nothing_is_told_twice(self) -> None:
        """Each change of an answer is one."""
        last: dict[str, Change] = {}
        for change in self.feed:
            before = last.get(change.feature)
            assert before is None or spoken(before) != spoken(change)
            last[change.feature] = change

    @invariant()
    def a_timely_worker_leaves_no_difference(self) -> None:
        """Once what is due is told, who has followed the feed knows what queries answer now."""
        at = present(self.held, self.now)
        rest = flips(Stood(self.held, self.due), WHO, self.now).changes
        known = replayed([*self.feed, *rest], None)
        if max((c.at for c in self.feed), default=0) <= at:
            for feature in features(self.held):
                assert known.get(feature, UNHEARD) == said(self.held, feature, at)

    def teardown(self) -> None:
        """Compare every moment's answers with the feed, however late it was told."""
        if self.skew:
            return
        assert [c.at for c in self.feed] == sorted(c.at for c in self.feed)
        rest = flips(Stood(self.held, self.due), WHO, self.now).changes
        for at, answers in self.answers.items():
            known = replayed([*self.feed, *rest], at)
            for feature, answer in answers.items():
                assert known.get(feature, UNHEARD) == answer, (feature, at)


class TellingBySeveralClocks(Telling):
    """The same where clocks differ by a few seconds: the feed ends in what holds, and tells nothing twice."""

    skew = 1


def spoken(change: Change) -> Said:
    """Return what a change says."""
    return change.granted, change.reason, change.quantity


def replayed(feed: Sequence[Change], at: int | None) -> dict[str, Said]:
    """Return what who has followed the feed up to an instant (null: to its end) knows."""
    return {c.feature: spoken(c) for c in feed if at is None or c.at <= at}


TestTelling = Telling.TestCase
TestTellingBySeveralClocks = TellingBySeveralClocks.TestCase
for each in (TestTelling, TestTellingBySeveralClocks):
    each.settings = settings(
        max_examples=100, stateful_step_count=30, suppress_health_check=list(HealthCheck)
    )
