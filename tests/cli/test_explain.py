"""`entitlements explain` as its users run it: a process and a store. The text is asserted whole."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from click import unstyle
from msgspec.structs import replace

from entitlements.cli.chain import EVENTS, lines
from entitlements.explained import Explanation
from entitlements.ingest import Ingest
from entitlements.model import Override, Review
from entitlements.policy import BUILT_IN
from entitlements.sandbox.ids import random_ids
from entitlements.store import audit
from entitlements.store.audit import Deed
from entitlements.store.store import Store
from tests.http.test_explain import told
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.command import refusal, run
from tests.support.customers import opened
from tests.support.histories import START
from tests.support.service import OPERATE, bearer, serving
from tests.support.stories import CREATED, DAY, WEEK, void_pause

AT = START + 15 * DAY


def command(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Run the command against a store."""
    return run("explain", *arguments, ENTITLEMENTS_REDIS_URL=url)


def within(url: str, do: Callable[[Store], Awaitable[object]]) -> None:
    """Do something in a store."""

    async def done() -> None:
        async with opened(url) as store:
            await do(store)

    asyncio.run(done())


@pytest.fixture
def url(store_url: str) -> str:
    """Return a store in which the story has happened."""
    within(store_url, lambda store: void_pause(Ingest(store, BUILT_IN)))
    return store_url


STORY = f"""\
cus_1 at 2027-01-30T08:00:00Z

pro
  denied: collection is paused, invoices are voided: granted while what was paid
    lasts, denied after it
  rule pause_collection.void: the policy's cell for the behaviour `void`
  2027-01-15                   # granted  . denied                    2027-02-01
  ################################..............................................
                                                  2027-01-30T08:00:00Z ^
  2027-01-15T08:00:00Z  2027-01-17T08:00:00Z  granted  active
  2027-01-17T08:00:00Z  2027-01-22T08:00:00Z  granted  paused_void
> 2027-01-22T08:00:00Z  for good              denied   paused_void

sub_1
  active
  collection paused with void since 2027-01-17T08:00:00Z, until it is unset;
    what was paid when it began lasts until 2027-01-22T08:00:00Z
  1  2027-01-15T08:00:00Z  +1 s          applied      created
     evt_1: status active; items.si_1 added: product pro, price price_pro,
       quantity 1, current_period_end 2027-01-22T08:00:00Z
  2  2027-01-17T08:00:00Z  +5 d 1 h      applied      updated
     evt_2: collection paused with void until unset
     arrived in place 3, after evt_3, which comes later
  3  2027-01-22T08:00:00Z  +2 s          applied      updated
     evt_3: items.si_1.current_period_end 2027-01-22T08:00:00Z ->
       2027-01-29T08:00:00Z
  4  2027-01-29T08:00:00Z  +3 s          unchanged    updated
     evt_4: items.si_1.current_period_end 2027-01-29T08:00:00Z ->
       2027-02-05T08:00:00Z

policy {BUILT_IN.digest}
"""

BEFORE_THE_PAUSE_WAS_KNOWN = """\
cus_1 at 2027-01-22T08:30:00Z, as known at 2027-01-22T08:30:00Z
Left out: 2 events that were created after 2027-01-22T08:30:00Z or received
  after 2027-01-22T08:30:00Z.
"""


def test_the_story_is_told_whole(url: str) -> None:
    """A pause with void, renewals during it, out of order, a duplicate: on one screen, without colours."""
    found = command("cus_1", "--at", str(AT), url=url)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == STORY


def test_the_story_is_told_as_it_was_known(url: str) -> None:
    """Before the pause was heard of, what the renewal says of it is what there was; a gap is seen."""
    at = str(START + WEEK + 1_800)
    found = command("cus_1", "--at", at, "--known-at", at, "--feature", "pro", url=url)
    assert found.stdout.startswith(BEFORE_THE_PAUSE_WAS_KNOWN)
    assert "pause_start_assumed: no event tells when the pause began" in found.stdout
    assert "one between them\n       may be missing" in found.stdout
    assert "evt_2" not in found.stdout


def test_json_is_what_http_says(url: str) -> None:
    """The same value, byte by byte."""
    asked: dict[str, str | int] = {"feature": "pro", "at": AT, "known_at": AT}

    async def over_http() -> str:
        async with serving(url) as service:
            path = "/ops/v1/customers/cus_1/explain"
            found = await service.http.get(path, params=asked, headers=bearer(OPERATE))
            assert found.status_code == 200
            return found.text

    options = ("--feature", "pro", "--at", str(AT), "--known-at", str(AT), "--json")
    found = command("cus_1", *options, url=url)
    assert found.stdout == asyncio.run(over_http()) + "\n"
    assert json.loads(found.stdout)["object"] == "explanation"


def test_who_was_never_heard_of_is_said_to_be(url: str) -> None:
    """With exit code 0: that is an explanation too."""
    options = ("--account", "acct_1", "--feature", "pro", "--at", str(AT))
    found = command("cus_9", *options, url=url)
    assert found.returncode == 0
    assert found.stdout.splitlines() == [
        "acct_1/cus_9 at 2027-01-30T08:00:00Z",
        "Nothing was ever heard of this customer.",
        "",
        "pro",
        "  denied: nothing was ever heard of this customer",
        "",
        f"policy {BUILT_IN.digest}",
    ]


def test_what_cannot_be_asked_is_refused(url: str) -> None:
    """In one sentence."""
    assert "is not a time" in refusal(command("cus_1", "--at", "soon", url=url))


PLAIN = subscription()


def text(url: str, at: int = START + 40) -> str:
    """Return the text of an explanation, without its colours."""

    async def read() -> Explanation:
        async with opened(url) as store:
            return await told(store, at=at)

    return unstyle("\n".join(lines(asyncio.run(read()), 80)))


def test_what_is_in_doubt_and_what_people_did_is_told(store_url: str) -> None:
    """Doubts, resumption, events in the quarantine, deeds."""

    async def happened(store: Store) -> None:
        ingest = Ingest(store, BUILT_IN)
        dated = PLAIN | pausing("void", START + 90 * DAY)
        other = PLAIN | pausing("keep_as_draft") | {"status": "past_due"}
        odd = event(PLAIN | {"items": None}, id="evt_odd", created=START)
        for body in (
            event(PLAIN),
            update(PLAIN, dated, created=START + 20),
            event(other, "customer.subscription.resumed", id="evt_3", created=START + 20),
            odd,
        ):
            await ingest.deliver(encoded(body), START + 30)
        deed = Deed("ann", "asked by phone", START + 35)
        await audit.write(store, deed.record("override.set", "cus_1", "deny"))

    within(store_url, happened)
    found = text(store_url)
    assert "  ambiguous: two events of one second could not be put in order" in found
    assert "  evt_3 and evt_2 of 2027-01-15T08:00:20Z cannot be put in order" in found or (
        "  evt_2 and evt_3 of 2027-01-15T08:00:20Z cannot be put in order" in found
    )
    assert (
        "\nin the quarantine, naming this customer\n  evt_odd (customer.subscription.created)"
        in found
    )
    assert (
        "\ndone by people\n  2027-01-15T08:00:35Z  ann: override.set deny, because asked by phone"
        in found
    )
    assert max(map(len, found.splitlines())) <= 80


def test_what_people_say_is_told_where_it_counts(url: str) -> None:
    """An override beside the feature, a review beside the subscription."""

    async def read() -> Explanation:
        async with opened(url) as store:
            return await told(store, at=AT)

    found = asyncio.run(read())
    (answer,), (one,) = found.answers, found.subscriptions
    for override, words in (
        (Override("deny", "chargeback"), "  override: deny, because chargeback"),
        (
            Override("grant", "asked by phone", AT),
            "  override: grant until 2027-01-30T08:00:00Z, because asked by phone",
        ),
    ):
        review = Review("grant", one.since, "a good customer")
        said = lines(
            replace(
                found,
                answers=(replace(answer, override=override),),
                subscriptions=(replace(one, review=review),),
            ),
            80,
        )
        assert {words, "  review: grant, because a good customer"} <= set(said)


def test_it_fits_a_terminal_with_ids_as_long_as_stripes(store_url: str) -> None:
    """Two subscriptions, of which now one and now the other is answered by; and a clock that runs behind Stripe's."""
    ids = random_ids(Random(3))  # noqa: S311  a test's own
    event_ids, names = [ids("evt") for _ in range(3)], [ids("sub"), ids("sub")]

    async def happened(store: Store) -> None:
        ingest = Ingest(store, BUILT_IN)
        one, other = (subscription(id=name) for name in names)
        marked = one | pausing("mark_uncollectible")
        for body in (
            event(one, id=event_ids[0]),
            update(one, marked, id=event_ids[1]),
            event(other, id=event_ids[2], created=START + 20),
        ):
            await ingest.deliver(encoded(body), START + 15)

    within(store_url, happened)
    found = text(store_url).splitlines()
    assert max(map(len, found)) <= 80
    assert [line.split() for line in found if " by " in line] == [
        *(["by", names[0]] for _ in range(2)),
        ["by", max(names)],
    ]
    assert any("  -5 s  " in line for line in found)


def test_of_many_events_the_latest_are_told(store_url: str) -> None:
    """JSON has all."""

    async def happened(store: Store) -> None:
        ingest = Ingest(store, BUILT_IN)
        await ingest.deliver(encoded(CREATED), START)
        for n in range(EVENTS + 2):
            old, new = PLAIN | {"cancel_at": None}, PLAIN | {"cancel_at": START + 90 * DAY + n}
            changed = update(old, new, id=f"evt_n{n}", created=START + n + 1)
            await ingest.deliver(encoded(changed), START + 30)

    within(store_url, happened)
    found = text(store_url)
    assert "\n  3 earlier events: --json has all\n" in found
    assert found.count("  updated\n") == EVENTS


def test_what_is_not_known_any_more_is_said(store_url: str) -> None:
    """From when on it is known; before that no answer is made up."""

    async def happened(store: Store) -> None:
        ingest = Ingest(store, BUILT_IN)
        await ingest.deliver(encoded(event(PLAIN)), START)
        later = update(PLAIN, PLAIN | {"status": "unpaid"}, created=START + 50 * DAY)
        await ingest.deliver(encoded(later), START + 50 * DAY)

    within(store_url, happened)
    assert "What led to its state at 2027-01-15T08:00:00Z is older than what is kept" in text(
        store_url, START + 60 * DAY
    )
    refused = text(store_url, START - 5)
    assert "is not known any more" in refused
    assert "pro" not in refused
