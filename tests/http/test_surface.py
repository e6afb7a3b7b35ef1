"""Everything that the service says it serves, called as it says and otherwise: a real process on a real store."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from entitlements.sandbox.peer import Peer, connect
from tests.support.bodies import SECRET, event, pausing, subscription, update
from tests.support.command import environment, running, serving
from tests.support.service import OPERATE

pytestmark = pytest.mark.acceptance

TOP = Path(__file__).parents[2]
SEED = "1"
OPERATIONS = "^/ops/"
"""The calls of people, which are called by themselves: all together take longer than one test may."""
PLAIN = subscription()


@pytest.fixture
def peer(short_path: Path) -> Iterator[Peer]:
    """Give a service with two customers and some events in the quarantine."""
    env = environment(
        ENTITLEMENTS_WEBHOOK_SECRETS=SECRET,
        ENTITLEMENTS_TOKENS=f"tests:operate:{hashlib.sha256(OPERATE.encode()).hexdigest()}",
        ENTITLEMENTS_LOG_FORMAT="json",
        PORT="0",
    )
    with running("serve", home=short_path, env=env) as service:
        found = serving(service, OPERATE)
        fill(found)
        yield found


def fill(peer: Peer) -> None:
    """Deliver what there is to ask about, all of it of a minute ago: the process goes by the clock of the machine."""
    since = int(time.time()) - 60
    odd = [event(PLAIN | {"items": None}, id=f"evt_odd_{n}", created=since) for n in range(8)]
    other = event(subscription(id="sub_2", customer="cus_2"), id="evt_3", created=since)
    paused = update(PLAIN, PLAIN | pausing("void"), created=since + 1)
    with connect(peer) as service:
        for one in (event(PLAIN, created=since), paused, other, *odd):
            assert service.deliver(one, int(time.time())).ok


@pytest.mark.parametrize("which", ["include", "exclude"])
def test_every_call_keeps_what_its_description_says(peer: Peer, tmp_path: Path, which: str) -> None:
    """Whatever fits the document is answered as it says, whatever does not is refused, and nothing is a crash."""
    unmeasured = {name: it for name, it in os.environ.items() if not name.startswith("COVERAGE_")}
    config, schema = TOP / "tests" / "support" / "surface.toml", tmp_path / "openapi.json"
    schema.write_bytes(httpx2.get(f"{peer.url}/openapi.json").content)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *(
                "run",
                str(schema),
                f"--{which}-path-regex",
                OPERATIONS,
                "--url",
                peer.url,
                "--seed",
                SEED,
                "--no-color",
            ),
            *("--header", f"Authorization: Bearer {OPERATE}"),
        ],
        env=unmeasured | {"PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    counts = re.findall(r"(?:Selected|Tested): (\S+)", done.stdout)
    found = calls(schema)
    chosen = [
        path for path in found if (re.match(OPERATIONS, path) is None) == (which == "exclude")
    ]
    assert counts == [f"{len(chosen)}/{len(found)}", str(len(chosen))], done.stdout


def calls(schema: Path) -> list[str]:
    """Return the path of each call that a document describes."""
    paths = json.loads(schema.read_bytes())["paths"]
    return [path for path, operations in paths.items() for _ in operations]
