"""The run book does what it says: every command of every page, in order, in the trouble that the page is for."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from entitlements.sandbox.world import Sandbox
from entitlements.store.embedded import EmbeddedStore
from tests.support.busy import (
    CANCEL,
    CREATE,
    DAY,
    FAIL,
    GIVE_UP,
    HOUR,
    MINUTE,
    PAY,
    Company,
    company,
    pause,
)
from tests.support.clusters import free_ports
from tests.support.command import environment
from tests.support.deployed import Deployed, register
from tests.support.forking import executable
from tests.support.servers import client

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

BOOK = Path(__file__).parents[2] / "deploy" / "runbook"
PAGES = sorted(path.stem for path in BOOK.glob("*.md"))
BASH = shutil.which("bash") or "bash"
SECTIONS = ["Context", "When", "Steps", "Check", "Undo"]
SCREENS = 130
"""Lines of a page, its blocks included: two screens of them."""

SWITCHES = {"$START", "$STOP", "$RESTART"}
"""What depends on the platform: done here to the processes of the test."""


class Command(NamedTuple):
    """What a page has people paste, and what it says that they will see."""

    lines: str
    claims: list[str]
    code: int


def commands(page: str) -> list[Command]:
    """Return the commands of a page: each block of shell, with what stands below it."""
    text = (BOOK / f"{page}.md").read_text()
    found = re.findall(
        r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", text, re.DOTALL | re.MULTILINE
    )
    return [_command(lines, said.splitlines()) for lines, said in found]


def _command(lines: str, said: list[str]) -> Command:
    codes = [int(line.removeprefix("exit code ")) for line in said if line.startswith("exit code ")]
    claims = [line for line in said if line and not line.startswith("exit code ")]
    return Command(lines, claims, *(codes or [0]))


def fits(claim: str, line: str) -> bool:
    """Tell whether a line says what is claimed, in whole words; … stands for whatever there is, or for nothing."""
    pattern = re.escape(" ".join(claim.split()))
    for written, meant in (
        (r"\ …\ ", r"\s(?:.*\s)?"),
        (r"\ …", r"\s.*"),
        ("…", ".*"),
        (r"\ ", r"\s+"),
    ):
        pattern = pattern.replace(written, meant)
    return re.search(rf"(?<!\w){pattern}(?!\w)", line) is not None


class Scene:
    """A service in trouble, and somebody on call beside it."""

    def __init__(self, firm: Company, service: Deployed, store: EmbeddedStore, home: Path) -> None:
        self.firm = firm
        self.service = service
        self.store = store
        self.file = home / "settings.env"
        self.file.write_text("".join(f"{k}={v}\n" for k, v in service.settings.items()))
        self.variables = {
            "ENV_FILE": str(self.file),
            "SERVICE": service.url,
            "CUSTOMER": "cus_ann",
            "FEATURE": "pro",
            "REASON": "ticket 4711",
            "BACKUP": str(home / "store.jsonl"),
        }
        self.meanwhile: dict[str, Callable[[], object]] = {}
        """What happens before the first command of a page that has these words in it."""
        self._processes = ExitStack()
        self._commands = executable(home).parent

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings, as their file has them now."""
        return dict(line.split("=", 1) for line in self.file.read_text().splitlines())

    def start(self) -> None:
        """Start the service by the settings in its file."""
        self.service.settings = self.settings
        self._processes.enter_context(self.service.up())

    def stop(self) -> None:
        """Stop it."""
        self._processes.close()

    def comes_to_now(self) -> None:
        """Let Stripe's time go on to now, and deliver."""
        self.firm.advance(int(time.time()))

    def follow(self, page: str) -> None:
        """Do what a page says; fail where it is not as the page says."""
        for command in commands(page):
            for words in [words for words in self.meanwhile if words in command.lines]:
                self.meanwhile.pop(words)()
            said = self._do(command)
            if name := re.findall(r"^(rp_\w+):", said, re.MULTILINE):
                self.variables["RUN"] = name[-1]

    def _do(self, command: Command) -> str:
        said = ""
        for part in re.split(r"^(\$\w+)\n", command.lines, flags=re.MULTILINE):
            if part in SWITCHES:
                self._switch(part)
            elif part:
                said += self.paste(part, command.code)
        lines = iter(said.splitlines())
        for claim in command.claims:
            assert any(fits(claim, line) for line in lines), f"{command.lines}: {claim}\n{said}"
        return said

    def _switch(self, name: str) -> None:
        if name != "$START":
            self.stop()
        if name != "$STOP":
            self.start()

    def paste(self, lines: str, code: int = 0) -> str:
        """Run lines of shell, which end with an exit code; return what is on the screen then."""
        place = f"{self._commands}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [BASH, "-euo", "pipefail", "-c", lines],
            env=environment(**self.settings) | self.variables | {"PATH": place},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, f"{lines}{done.returncode}\n{done.stdout}"
        return done.stdout


@pytest.fixture
def scene(own_store: EmbeddedStore, tmp_path: Path) -> Iterator[Scene]:
    """Give one in which it is an hour ago at Stripe, and the service is up."""
    with company(Sandbox(ahead=-HOUR, seed=1), 0) as (firm, api):
        firm.opens(0)
        found = Scene(firm, Deployed(firm, api, own_store.url, tmp_path), own_store, tmp_path)
        found.start()
        yield found
        found.stop()


def nothing_is_wrong(scene: Scene) -> None:
    """Set the scene of the index."""
    scene.firm.do("cus_ann", CREATE)
    scene.comes_to_now()


def a_payment_was_not_told(scene: Scene) -> None:
    """Set the scene: given up as unpaid, and paid after all without an event."""
    for step in (CREATE, FAIL, GIVE_UP, PAY.silently()):
        scene.firm.do("cus_ann", step)
    scene.comes_to_now()


def an_end_was_not_told(scene: Scene) -> None:
    """Set the scene: canceled without an event. Somebody else has service for nothing."""
    for step in (CREATE, CANCEL.silently()):
        scene.firm.do("cus_ann", step)
    for step in (CREATE, pause("mark_uncollectible")):
        scene.firm.do("cus_free", step)
    scene.comes_to_now()


def it_was_down(scene: Scene) -> None:
    """Set the scene: the service is down, and Stripe has given up on two events."""
    scene.firm.ask("POST", "/_sandbox/retries")
    scene.firm.do("cus_ann", CREATE)
    scene.firm.advance(scene.firm.now())
    scene.stop()
    for step in (FAIL, CANCEL):
        scene.firm.advance(scene.firm.now() + MINUTE)
        scene.firm.do("cus_ann", step)
    scene.comes_to_now()


def an_event_is_missing(scene: Scene) -> None:
    """Set the scene: of two events of the last hour one was given up."""
    scene.firm.ask("POST", "/_sandbox/retries")
    scene.firm.do("cus_ann", CREATE)
    scene.firm.advance(scene.firm.now() + MINUTE)
    scene.stop()
    scene.firm.do("cus_ann", CANCEL)
    scene.comes_to_now()
    scene.start()
    scene.variables |= {"SINCE": "-2h", "UNTIL": "-1m"}


def the_store_is_gone(scene: Scene) -> None:
    """Set the scene: a backup of before the last customer and the last change; then the store is empty."""
    scene.firm.do("cus_ann", CREATE)
    scene.comes_to_now()
    for words in (
        "entitlements override set cus_ann pro --access grant --expires-at +9d --reason x --apply",
        'entitlements export "$BACKUP"',
    ):
        scene.paste(words)
    for customer, step in (("cus_new", CREATE), ("cus_ann", FAIL)):
        scene.firm.do(customer, step)
    scene.comes_to_now()
    scene.meanwhile["doctor --local"] = lambda: _emptied(scene.store.url)


def _emptied(url: str) -> None:
    with client(url) as store:
        store.flushall()


def a_secret_leaked(scene: Scene) -> None:
    """Set the scene: the endpoint gets another secret, and Stripe signs with that."""
    scene.firm.do("cus_ann", CREATE)
    scene.comes_to_now()
    (old,) = scene.firm.ask("GET", "/v1/webhook_endpoints")["data"]
    scene.firm.ask("DELETE", f"/v1/webhook_endpoints/{old['id']}")
    scene.variables |= {
        "OLD_SECRET": scene.settings["ENTITLEMENTS_WEBHOOK_SECRETS"],
        "NEW_SECRET": register(scene.firm, old["url"]),
    }

    def sends() -> None:
        scene.firm.do("cus_ann", FAIL)
        scene.comes_to_now()

    scene.meanwhile["doctor --local"] = sends


def stripe_is_away(scene: Scene) -> None:
    """Set the scene: Stripe cannot be reached; later it can. It gave up on one event, and failed to make one."""
    scene.firm.ask("POST", "/_sandbox/retries")
    for customer in ("cus_ann", "cus_bob", "cus_eve", "cus_paused"):
        scene.firm.do(customer, CREATE)
    scene.firm.do("cus_ann", FAIL)
    scene.firm.do("cus_paused", pause("void", resumes_at=str(int(time.time()) + DAY)))
    scene.firm.advance(scene.firm.now() + MINUTE)
    scene.stop()
    scene.firm.do("cus_bob", FAIL)
    scene.firm.do("cus_eve", FAIL.silently())
    scene.comes_to_now()
    scene.start()
    base, (port,) = scene.settings["ENTITLEMENTS_STRIPE_API_BASE"], free_ports(1)
    away = f"http://127.0.0.1:{port}"
    there = scene.file.read_text()
    scene.file.write_text(there.replace(base, away))
    scene.meanwhile["replay --source stripe"] = lambda: scene.file.write_text(there)


SCENES: dict[str, Callable[[Scene], None]] = {
    "README": nothing_is_wrong,
    "customer-lost-access": a_payment_was_not_told,
    "customer-kept-access": an_end_was_not_told,
    "webhooks-failing": it_was_down,
    "replay-a-window": an_event_is_missing,
    "store-lost": the_store_is_gone,
    "secret-rotation": a_secret_leaked,
    "stripe-outage": stripe_is_away,
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page: str, scene: Scene) -> None:
    """In the trouble that it is for, every command ends and says as the page says."""
    SCENES[page](scene)
    scene.follow(page)
    assert not scene.meanwhile


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"README"}))
def test_a_page_has_its_parts(page: str) -> None:
    """In their order, short, and in the index."""
    text = (BOOK / f"{page}.md").read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert len(text.splitlines()) <= SCREENS
    assert f"]({page}.md)" in (BOOK / "README.md").read_text()


@pytest.mark.parametrize(
    ("claim", "line", "holds"),
    [
        ("applied … 2", "applied    2      ", True),
        ("applied … 2", "applied    12     ", False),
        ("applied … 2", "applied    20     ", False),
        ("rp_…: 2 events", "rp_12ab: 2 events, and more", True),
        ("OK    drift …", "OK    drift              all the same", True),
        ("OK drift …", "WARN  drift              all the same", False),
        ("denied … to cus_…", "denied       pro to cus_ann", True),
        ("1 healed.", "0 looked at, 1 healed.", True),
    ],
)
def test_a_claim_is_of_whole_words(claim: str, line: str, *, holds: bool) -> None:
    """So that two is not twelve."""
    assert fits(claim, line) == holds


def test_remedies_name_pages_that_there_are() -> None:
    """What doctor says of a run book is in it."""
    sources = [path.read_text() for path in (BOOK.parents[1] / "entitlements/doctor").glob("*.py")]
    named = {name for text in sources for name in re.findall(r"run book: ([a-z-]+)", text)}
    assert named
    assert named <= set(PAGES)
