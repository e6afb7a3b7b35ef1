"""A company with customers at a sandbox Stripe, who do all that customers do; and what is true of each.

Everything is asked for over the sandbox's API. The truth is in its own record, and what it failed to record.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

from anyio.from_thread import start_blocking_portal
from httpx2 import Client

from entitlements.cli.dev import KEY
from entitlements.sandbox.hosting import running
from entitlements.sandbox.shapes import Body
from entitlements.sandbox.world import Sandbox
from tests.simulation.life import PRODUCT, History, Moment
from tests.support.servers import until

MINUTE, HOUR, DAY = 60, 3_600, 86_400


class Step(NamedTuple):
    """One thing that is asked of Stripe about a subscription. `{later}` in a value is an instant after the hour."""

    path: str = "/v1/subscriptions/{}"
    form: Mapping[str, str] = {}
    method: str = "POST"
    silent: bool = False
    """Whether Stripe fails to make an event of it."""

    def silently(self) -> "Step":
        """Return the same, of which no event will tell."""
        return self._replace(silent=True)


class Life(NamedTuple):
    """How customers of a kind subscribe, and what follows, at minutes of the hour that chance chooses."""

    steps: Sequence[Step] = ()
    before: bool = True
    """Whether they had subscribed before the hour began."""
    renews: bool = False
    """Whether a paid period ends in the middle of the hour."""


def pause(behavior: str, **more: str) -> Step:
    """Return the pause of collection."""
    more = {f"pause_collection[{name}]": value for name, value in more.items()}
    return Step(form={"pause_collection[behavior]": behavior, **more})


UNPAUSE = Step(form={"pause_collection": ""})
LEAVE_LATER = Step(form={"cancel_at_period_end": "true"})
CANCEL = Step(method="DELETE")
PAUSE_ITSELF, RESUME_ITSELF = (
    Step("/v1/subscriptions/{}/pause"),
    Step("/v1/subscriptions/{}/resume"),
)
FAIL, GIVE_UP, PAY = (
    Step(f"/_sandbox/subscriptions/{{}}/{what}") for what in ("past_due", "unpaid", "activate")
)
NOTE = Step(form={"metadata[note]": "called"})
CREATE = Step()

LIVES: Mapping[str, Life] = {
    "quiet": Life(),
    "renewed": Life(renews=True),
    "new": Life([CREATE, NOTE], before=False),
    "void": Life([pause("void"), NOTE]),
    "void_past_its_period": Life([pause("void")], renews=True),
    "void_for_a_time": Life([pause("void", resumes_at="{later}")], renews=True),
    "draft": Life([pause("keep_as_draft")]),
    "uncollectible": Life([pause("mark_uncollectible")], renews=True),
    "another_behavior": Life([pause("keep_as_draft"), pause("void")]),
    "unpaused": Life([pause("void"), UNPAUSE]),
    "past_due": Life([FAIL]),
    "paid": Life([FAIL, PAY]),
    "unpaid": Life([FAIL, GIVE_UP]),
    "canceled": Life([CANCEL]),
    "left": Life([LEAVE_LATER], renews=True),
    "paused_itself": Life([PAUSE_ITSELF]),
    "resumed_itself": Life([PAUSE_ITSELF, RESUME_ITSELF]),
    "never_told_new": Life([CREATE.silently()], before=False),
    "never_told_void": Life([NOTE, pause("void").silently()]),
    "never_told_unpaused": Life([pause("void"), UNPAUSE.silently()]),
    "never_told_canceled": Life([FAIL, CANCEL.silently()]),
}


def of_kind(customer: str) -> str:
    """Return the kind of a customer."""
    return customer.removeprefix("cus_").rpartition("_")[0]


class Company:
    """Its customers, some of each kind, and Stripe's side of them. `base` is the sandbox's API."""

    def __init__(self, http: Client, each: int, seed: int) -> None:
        self._http = http
        self._rng = Random(seed)  # noqa: S311  a test's own
        self.customers = [f"cus_{kind}_{n}" for kind in LIVES for n in range(each)]
        self._subscriptions: dict[str, str] = {}
        self._untold: dict[str, Moment] = {}
        self._price = ""

    def ask(self, method: str, path: str, **form: Any) -> Body:  # noqa: ANN401  any parameter
        """Make a call."""
        sent, asked = (None, form) if method == "GET" else (form, None)
        answer = self._http.request(method, path, data=sent, params=asked)
        assert answer.is_success, answer.text
        body: Body = answer.json()
        return body

    def now(self) -> int:
        """Return Stripe's time, in Unix seconds."""
        return int(self.ask("GET", "/_sandbox/clock")["now"])

    def advance(self, to: int) -> None:
        """Put Stripe's clock forward, and wait until it has made the deliveries that are due."""
        self.ask("POST", "/_sandbox/clock", advance=max(0, to - self.now()))
        until(lambda: self.ask("GET", "/_sandbox/clock")["due"] == 0, 60)

    def opens(self, hour: int) -> None:
        """Begin: those who are there before an hour subscribe. Some of them will renew in the middle of it."""
        self.ask("POST", "/v1/products", id=PRODUCT)
        self._price = self.ask("POST", "/v1/prices", product=PRODUCT)["id"]
        for customer in self.customers:
            life = LIVES[of_kind(customer)]
            if life.before:
                middle = hour + HOUR // 2 - MINUTE // 2
                anchor = {"billing_cycle_anchor": middle} if life.renews else {}
                self.subscribe(customer, **anchor)
        self.advance(self.now())

    def lives(self, hour: int) -> None:
        """Live through an hour, minute by minute."""
        agenda: dict[int, list[tuple[str, Step]]] = {}
        for customer in self.customers:
            steps = LIVES[of_kind(customer)].steps
            minutes = sorted(self._rng.sample(range(60), len(steps)))
            for minute, step in zip(minutes, steps, strict=True):
                agenda.setdefault(minute, []).append((customer, step))
        for minute in range(60):
            self.advance(hour + minute * MINUTE)
            for customer, step in agenda.get(minute, ()):
                self.do(customer, step, str(hour + 10 * DAY))
        self.advance(hour + HOUR)

    def do(self, customer: str, step: Step, later: str = "") -> None:
        """Ask one thing of Stripe about a customer's subscription; a customer without one subscribes."""
        if step.silent:
            self.ask("POST", "/_sandbox/silence", times=1)
        if customer in self._subscriptions:
            path = step.path.format(self._subscriptions[customer])
            form = {name: value.format(later=later) for name, value in step.form.items()}
            body = self.ask(step.method, path, **form)
        else:
            body = self.subscribe(customer)
        if step.silent:
            self._untold[customer] = Moment(self.now(), "no event tells of it", body, ())

    def subscribe(self, customer: str, **more: int) -> Body:
        """Let a customer subscribe to the product; return the subscription."""
        self.ask("POST", "/v1/customers", id=customer)
        item = {"items[0][price]": self._price}
        body = self.ask("POST", "/v1/subscriptions", customer=customer, **item, **more)
        self._subscriptions[customer] = body["id"]
        return body

    @property
    def untold(self) -> set[str]:
        """Return who had something happen of which there is no event."""
        return set(self._untold)

    def events(self, **filters: str) -> list[Body]:
        """Return the events that Stripe has, the oldest first."""
        return [*self._listed("/v1/events", **filters)][::-1]

    def histories(self) -> dict[str, History]:
        """Return what truly happened to each customer. Its end is what Stripe holds, or the record is not whole."""
        found: dict[str, list[Moment]] = {}
        for event in self.events():
            body = event["data"]["object"]
            moment = Moment(event["created"], event["type"], body, ())
            found.setdefault(body["customer"], []).append(moment)
        for customer, moment in self._untold.items():
            found.setdefault(customer, []).append(moment)
        held = {one["customer"]: one for one in self._listed("/v1/subscriptions", status="all")}
        for customer, moments in found.items():
            assert _plain(moments[-1].body) == _plain(held[customer]), customer
        return {customer: tuple(moments) for customer, moments in found.items()}

    def _listed(self, path: str, **filters: str) -> Iterator[Body]:
        page = self.ask("GET", path, limit=100, **filters)
        yield from page["data"]
        while page["has_more"]:
            last = page["data"][-1]["id"]
            page = self.ask("GET", path, limit=100, starting_after=last, **filters)
            yield from page["data"]


def _plain(body: Body) -> Body:
    """Return a subscription without what only lists say of its items."""
    return body | {"items": body["items"]["data"]}


@contextmanager
def company(sandbox: Sandbox, each: int, seed: int = 1) -> Iterator[tuple[Company, str]]:
    """Give a company at a sandbox, which serves for as long as the block runs, and the address of its API."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running(sandbox)) as url,
        Client(base_url=url, auth=(KEY, ""), timeout=30, trust_env=False) as http,
    ):
        yield Company(http, each, seed), url
