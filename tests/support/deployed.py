"""The service of a company at a sandbox Stripe, as it is deployed: a web process and a worker on one store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entitlements.cli.dev import KEY
from entitlements.cli.token import digest
from entitlements.decode import TYPES
from entitlements.sandbox.peer import Peer
from tests.support.busy import Company
from tests.support.clusters import free_ports
from tests.support.command import environment, running, serving
from tests.support.service import READ


class Deployed:
    """Its settings and its processes; Stripe posts to it on a port that stays the same. `api` is the sandbox's."""

    def __init__(self, firm: Company, api: str, store: str, home: Path) -> None:
        self._home = home
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        secret = register(firm, f"{self.url}/webhooks/stripe")
        self.settings = {
            "PORT": str(port),
            "ENTITLEMENTS_REDIS_URL": store,
            "ENTITLEMENTS_WEBHOOK_SECRETS": secret,
            "ENTITLEMENTS_TOKENS": f"shop:read:{digest(READ).hex()}",
            "ENTITLEMENTS_STRIPE_API_KEY": KEY,
            "ENTITLEMENTS_STRIPE_API_BASE": api,
        }

    @contextmanager
    def up(self) -> Iterator[Peer]:
        """Run both processes, by the settings as they are, for as long as the block runs; both end well."""
        env = environment(**self.settings)
        homes = [self._home / name for name in ("web", "worker")]
        for home in homes:
            home.mkdir(exist_ok=True)
        with (
            running("serve", home=homes[0], env=env) as web,
            running("worker", home=homes[1], env=env) as worker,
        ):
            worker.until('"working"')
            yield serving(web, READ)
            assert (web.stop(), worker.stop()) == (0, 0)


def register(firm: Company, url: str) -> str:
    """Let Stripe post to an address what the service needs; return the signing secret."""
    form = {f"enabled_events[{n}]": kind for n, kind in enumerate(sorted(TYPES))}
    return str(firm.ask("POST", "/v1/webhook_endpoints", url=url, **form)["secret"])
