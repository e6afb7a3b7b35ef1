"""`entitlements dev`: one command, and everything that is needed to try the service is on the screen."""

import json
import shlex
import signal
import stat
from pathlib import Path

import pytest
from stripe import StripeClient

from entitlements.cli.credentials import FILE, Credentials
from entitlements.cli.dev import KEY, welcome, with_credentials
from entitlements.cli.token import digest
from entitlements.sandbox.peer import Peer, Question, connect
from entitlements.settings import Settings, Token
from entitlements.store.embedded import running_url
from tests.support.command import environment, refusal, run, running
from tests.support.servers import until

FOUND = Credentials("http://127.0.0.1:1", "whsec_x", "ent_read_x", "ent_operate_x")


def pasted(text: str) -> list[list[str]]:
    """Return the words of each line that is there to be pasted."""
    lines = text.partition("Try it from another terminal:\n")[2].partition("\n\n")[0]
    return [shlex.split(line) for line in lines.splitlines()]


def test_what_is_configured_goes_on_to_work() -> None:
    """The fresh secret and tokens come beside those of the environment, not in their place."""
    own = Token("shop", "read", digest("mine"))
    made, credentials = with_credentials(Settings(webhook_secrets=("whsec_mine",), tokens=(own,)))

    assert made.webhook_secrets == ("whsec_mine", credentials.webhook_secret)
    assert made.tokens[0] == own
    assert {token.scope: token.digest for token in made.tokens[1:]} == {
        "read": digest(credentials.read_token),
        "operate": digest(credentials.operate_token),
    }


def test_two_starts_have_nothing_in_common() -> None:
    """Secrets are made anew each time."""
    assert with_credentials(Settings())[1] != with_credentials(Settings())[1]


def test_a_directory_of_ones_own_is_in_the_lines_to_paste() -> None:
    """Where the data are elsewhere, `trigger` is told so, from whichever directory it is started in."""
    elsewhere = Settings(data_dir=Path("my data"))
    here = str(Path("my data").absolute())

    assert pasted(welcome(FOUND, elsewhere))[0][:5] == [
        "entitlements",
        "trigger",
        "created",
        "--data-dir",
        here,
    ]
    assert "--data-dir" not in welcome(FOUND, Settings())


def test_the_password_of_a_store_is_not_shown() -> None:
    """What is on the screen may be seen by others: of a configured store only the variable is named."""
    said = welcome(FOUND, Settings(redis_url="redis://:hunter2@redis.test"))

    assert "hunter2" not in said
    assert "ENTITLEMENTS_REDIS_URL" in said


def test_what_it_shows_works_until_ctrl_c(tmp_path: Path) -> None:
    """Its lines can be pasted as they are; Ctrl-C ends it with exit code 0, and takes store and secrets away."""
    data = tmp_path / "my data"
    with running(
        "dev", "--port", "0", "--data-dir", str(data), home=tmp_path, env=environment()
    ) as service:
        service.until("Ctrl-C stops it")
        path = data / FILE
        found = Credentials(**json.loads(path.read_text()))
        mode = stat.S_IMODE(path.stat().st_mode)
        triggers = [words[1:] for words in pasted(service.out) if words[0] == "entitlements"]
        told = [run(*words, "--json") for words in triggers]
        with connect(Peer(found.url, found.webhook_secret, found.read_token)) as http:
            answer = http.ask(Question("cus_demo", "pro"))
        stopped = service.stop(signal.SIGINT)

    assert all(
        secret in service.out for secret in (found.url, found.webhook_secret, found.read_token)
    )
    assert mode == 0o600
    assert [said.returncode for said in told] == [0, 0]
    assert [json.loads(said.stdout)["answer"]["reason"] for said in told] == [
        "active",
        "paused_void",
    ]
    assert (answer.body["granted"], answer.body["reason"]) == (True, "paused_void")
    assert stopped == 0
    assert "Traceback" not in service.err
    assert not path.exists()
    assert running_url(data) is None


def test_it_can_use_a_store_that_runs(tmp_path: Path, store_url: str) -> None:
    """With a store of the environment none is started, and the directory for the credentials is made."""
    env = environment(ENTITLEMENTS_REDIS_URL=store_url, PORT="0")
    with running("dev", "--data-dir", "made", home=tmp_path, env=env) as service:
        service.until("Ctrl-C stops it")

        assert [file.name for file in (tmp_path / "made").iterdir()] == [FILE]
        assert service.stop() == 0


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    """`--port` is held to what PORT is held to."""
    found = run("dev", "--port", port)

    assert (found.returncode, found.stdout) == (2, "")
    assert "port" in found.stderr.lower()
    assert "Traceback" not in found.stderr


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """Where the data cannot be kept, one sentence says so."""
    (tmp_path / "file").write_text("")

    assert "Put that right" in refusal(
        run("dev", "--port", "0", "--data-dir", f"{tmp_path}/file/x")
    )


def test_its_sandbox_is_driven_as_stripe_is(tmp_path: Path) -> None:
    """A subscription made, paused and unpaused there by Stripe's own library is answered for by the service."""
    with running(
        "dev", "--port", "0", "--data-dir", str(tmp_path), home=tmp_path, env=environment()
    ) as service:
        service.until("Ctrl-C stops it")
        found = Credentials(**json.loads((tmp_path / FILE).read_text()))
        v1 = StripeClient(KEY, base_addresses={"api": found.stripe_api_base}).v1
        customer = v1.customers.create({"name": "A customer"}).id
        product = v1.products.create({"name": "Pro"}).id
        price = v1.prices.create({"product": product, "currency": "usd", "unit_amount": 1500}).id
        made = v1.subscriptions.create({"customer": customer, "items": [{"price": price}]})
        with connect(Peer(found.url, found.webhook_secret, found.read_token)) as http:

            def reason() -> str:
                return str(http.ask(Question(customer, product)).body["reason"])

            until(lambda: reason() == "active")
            v1.subscriptions.update(made.id, {"pause_collection": {"behavior": "void"}})
            until(lambda: reason() == "paused_void")
            v1.subscriptions.update(made.id, {"pause_collection": ""})
            until(lambda: reason() == "active")
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(20) == 0
