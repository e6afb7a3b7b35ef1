"""`entitlements trigger` against a small server on a real socket that checks signatures with Stripe's library."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import stripe
from typer.testing import CliRunner, Result

from entitlements.cli.trigger import app
from entitlements.errors import BadRequest, EntitlementsError, SettingsError

SECRET, OTHER_SECRET = "whsec_test", "whsec_other"
READ, UNKNOWN = "ent_read_1", "ent_read_2"
UNSET = dict.fromkeys(
    ("ENTITLEMENTS_URL", "ENTITLEMENTS_TOKEN", "ENTITLEMENTS_WEBHOOK_SECRETS"), None
)
ANSWER = {
    "object": "entitlement",
    "feature": "pro",
    "granted": True,
    "reason": "paused_void",
    "rule": "pause_collection.void",
    "subscription": "sub_1",
    "quantity": 1,
    "until": 1_798_761_600,
    "then": {"granted": False, "reason": "paused_void"},
    "policy": "0123",
}


class Service(ThreadingHTTPServer):
    """Accepts what is signed with SECRET, and remembers all it was told and asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str | None, str | None]] = []

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            stripe.Webhook.construct_event(body, self.headers["Stripe-Signature"], SECRET)
        except stripe.SignatureVerificationError:
            self._say(400, {"title": "Refused", "detail": "The signature is wrong."})
            return
        self.server.events.append(json.loads(body))
        self._say(200, {"outcome": "applied", "version": len(self.server.events)})

    def do_GET(self) -> None:
        token = self.headers["Authorization"]
        self.server.asked.append((self.path, token, self.headers["Stripe-Account"]))
        known = token == f"Bearer {READ}"
        self._say(200 if known else 401, ANSWER if known else {"detail": "No such token."})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


Trigger = Callable[..., Result]


@pytest.fixture
def service() -> Iterator[Service]:
    """Give a service that listens."""
    with Service() as found:
        thread = Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def trigger(service: Service, tmp_path: Path) -> Trigger:
    """Give a function that runs one command against that service, in a data directory of the test's own."""

    def run(*args: str, secret: str = SECRET, token: str = READ) -> Result:
        to = ["--url", service.url, "--secret", secret, "--token", token]
        return CliRunner(env=UNSET).invoke(app, [*args, *to, "--data-dir", str(tmp_path)])

    return run


KINDS = {
    "created": ["created"],
    "activated": ["updated"],
    "pause --behavior void": ["updated"],
    "unpause": ["updated"],
    "renewal": ["updated"],
    "past_due": ["updated"],
    "unpaid": ["updated"],
    "cancel": ["deleted"],
    "cancel --at-period-end": ["updated"],
    "paused": ["paused", "updated"],
    "resumed": ["resumed", "updated"],
    "deleted": ["deleted"],
}


@pytest.mark.parametrize(("command", "types"), KINDS.items())
def test_every_kind_posts_its_events_without_a_history(
    service: Service, trigger: Trigger, command: str, types: list[str]
) -> None:
    """With nothing remembered a subscription is made up, and the events are those that Stripe would send."""
    result = trigger(*command.split())
    assert result.exit_code == 0, result.output
    assert [e["type"] for e in service.events] == [f"customer.subscription.{t}" for t in types]
    assert ("made up sub_" in result.stderr) == (command != "created")


def test_a_second_command_goes_on_with_the_subscription_of_the_first(
    service: Service, trigger: Trigger
) -> None:
    """The pause tells of the subscription that was created, and of what it was like before."""
    trigger("created", "--customer", "cus_1", "--product", "pro", "--quantity", "3")
    trigger("pause", "--behavior", "void", "--resumes-at", "1798761600")
    created, paused = (e["data"]["object"] for e in service.events)
    assert paused["id"] == created["id"]
    assert (paused["customer"], paused["quantity"]) == ("cus_1", 3)
    assert paused["pause_collection"] == {"behavior": "void", "resumes_at": 1_798_761_600}
    assert service.events[1]["data"]["previous_attributes"] == {"pause_collection": None}


def test_an_earlier_subscription_can_be_named(service: Service, trigger: Trigger) -> None:
    """By its id, or by its customer; the most recent one is only the default."""
    for name in ("1", "2"):
        trigger("created", "--subscription", f"sub_{name}", "--customer", f"cus_{name}")
    trigger("past_due", "--subscription", "sub_1")
    trigger("past_due", "--customer", "cus_2")
    told = [e["data"]["object"]["id"] for e in service.events]
    assert told == ["sub_1", "sub_2", "sub_1", "sub_2"]


def test_options_shape_the_subscription_and_its_event(service: Service, trigger: Trigger) -> None:
    """Price, lookup key, mode, account, times and the endpoint's version are all as asked."""
    trigger(
        *("created", "--price", "price_9", "--lookup-key", "pro_monthly", "--livemode"),
        *("--account", "acct_1", "--api-version", "2024-06-20"),
        *("--created", "1798700000", "--period-end", "+7d"),
    )
    [event] = service.events
    subscription = event["data"]["object"]
    price = subscription["items"]["data"][0]["price"]
    assert (price["id"], price["lookup_key"]) == ("price_9", "pro_monthly")
    assert (event["livemode"], event["account"], event["created"]) == (True, "acct_1", 1798700000)
    assert event["api_version"] == "2024-06-20"
    assert subscription["current_period_end"] == 1798700000 + 7 * 86_400
    assert service.asked[0][2] == "acct_1"


def test_a_later_event_stays_with_its_connected_account(service: Service, trigger: Trigger) -> None:
    """The account is remembered with the subscription."""
    trigger("created", "--account", "acct_1")
    trigger("past_due")
    assert [e["account"] for e in service.events] == ["acct_1", "acct_1"]


def test_options_of_a_new_subscription_are_not_dropped_in_silence(trigger: Trigger) -> None:
    """Where the subscription exists already, it is said that they were not used."""
    trigger("created")
    assert (
        "--product, --lookup-key: not used"
        in trigger("past_due", "--product", "pro", "--lookup-key", "x").stderr
    )


def test_people_read_a_line_for_each_event_and_the_answer(
    service: Service, trigger: Trigger
) -> None:
    """Results are on standard output, with times in RFC 3339."""
    result = trigger("paused", "--customer", "cus_1", "--feature", "pro")
    paused, updated, header, row = (line.split() for line in result.stdout.splitlines())
    ids = [e["id"] for e in service.events]
    assert paused == ["customer.subscription.paused", ids[0], "200", "applied", "version", "1"]
    assert updated == ["customer.subscription.updated", ids[1], "200", "applied", "version", "2"]
    assert header == ["feature", "granted", "reason", "rule", "until", "then"]
    assert row[:2] == ["pro", "yes"]
    assert row[4:] == ["2027-01-01T00:00:00Z", "no,", "paused_void"]
    assert service.asked == [("/v1/customers/cus_1/entitlements/pro", f"Bearer {READ}", None)]


def test_machines_read_one_json_object(service: Service, trigger: Trigger) -> None:
    """Standard output has the object alone, the answer as the service gave it."""
    told = json.loads(trigger("created", "--json").stdout)
    subscription = service.events[0]["data"]["object"]
    assert (told["subscription"], told["customer"]) == (
        subscription["id"],
        subscription["customer"],
    )
    assert told["answer"] == ANSWER
    assert [(e["status"], e["outcome"], e["version"]) for e in told["events"]] == [
        (200, "applied", 1)
    ]


def test_the_answer_is_asked_for_the_time_of_an_event_that_is_yet_to_come(
    service: Service, trigger: Trigger
) -> None:
    """Asking about now would not show what the event changes."""
    trigger("created", "--created", "+1d", "--product", "pro")
    [(path, _, _)] = service.asked
    assert path.endswith(f"/pro?at={service.events[0]['created']}")


def test_a_refused_event_is_exit_code_1_and_is_not_remembered(
    service: Service, trigger: Trigger
) -> None:
    """The service's reason is shown; the same command can be given again once it is mended."""
    trigger("created")
    refused = trigger("past_due", secret=OTHER_SECRET)
    assert refused.exit_code == 1
    assert "400  refused" in refused.stdout
    assert "The signature is wrong." in refused.stdout
    assert trigger("past_due").exit_code == 0
    assert len(service.events) == 2


def test_a_refused_question_is_exit_code_1(trigger: Trigger) -> None:
    """The event was taken in, and the talk says why there is no answer."""
    result = trigger("created", token=UNKNOWN)
    assert result.exit_code == 1
    assert "401 No such token." in result.stderr


def test_a_change_that_changes_nothing_is_not_sent(service: Service, trigger: Trigger) -> None:
    """Stripe would send no event either."""
    trigger("created")
    result = trigger("unpause")
    assert isinstance(result.exception, BadRequest)
    assert len(service.events) == 1


def test_the_running_dev_is_found_in_the_data_directory(service: Service, tmp_path: Path) -> None:
    """Address, secret and token come from its file, so that no option is needed."""
    dev = {"webhook_secret": SECRET, "read_token": READ, "operate_token": UNKNOWN}
    (tmp_path / "dev.json").write_text(json.dumps(dev | {"url": service.url}))
    result = CliRunner(env=UNSET).invoke(app, ["created", "--data-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert len(service.events) == 1


def test_without_a_secret_it_says_where_to_get_one(tmp_path: Path) -> None:
    """Nothing is sent unsigned."""
    result = CliRunner(env=UNSET).invoke(app, ["created", "--data-dir", str(tmp_path)])
    assert isinstance(result.exception, SettingsError)
    assert "entitlements dev" in str(result.exception)


def test_a_service_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The sentence says what to start, or which option to give."""
    nobody = ["--url", "http://127.0.0.1:1", "--secret", SECRET, "--data-dir", str(tmp_path)]
    result = CliRunner(env=UNSET).invoke(app, ["created", *nobody])
    assert isinstance(result.exception, EntitlementsError)
    assert "Cannot reach http://127.0.0.1:1" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_run_is_exit_code_2_of_the_real_command(tmp_path: Path) -> None:
    """A process of its own says one sentence on standard error, and nothing on standard output."""
    command = [sys.executable, "-m", "entitlements", "trigger", "created"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ENTITLEMENTS_")}
    found = subprocess.run(
        [*command, "--data-dir", str(tmp_path)],
        check=False,
        capture_output=True,
        env=environment,
        text=True,
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("entitlements: No signing secret")
