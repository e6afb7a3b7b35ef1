"""`entitlements dev`: everything in one process tree, with nothing to configure."""

import secrets
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli import credentials
from entitlements.cli.credentials import Credentials
from entitlements.cli.token import digest, make
from entitlements.settings import Settings, Token

if TYPE_CHECKING:
    from entitlements.cli.running import OwnStore

KEY = "sk_test_sandbox"
"""The sandbox's key: any of test mode would do."""


def dev(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Listen here instead of PORT; 0 takes any free port."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the store here instead of ENTITLEMENTS_DATA_DIR.")
    ] = None,
) -> None:
    """Run the whole service with an embedded store, a sandbox Stripe and fresh credentials, and say how to try it."""
    from entitlements.cli import running
    from entitlements.sandbox import hosting
    from entitlements.sandbox.world import Sandbox

    given = running.settings_from_environment()
    port = given.port if port is None else port
    home = data_dir or given.data_dir
    settings, made = with_credentials(replace(given, port=port, data_dir=home))
    sandbox = Sandbox()

    def ready(url: str, base: str) -> None:
        found = replace(made, url=url, stripe_api_base=base)
        hook = f"{url}/webhooks/stripe"
        sandbox.deliveries.register(hook, [], sandbox.now(), made.webhook_secret)
        credentials.save(home, found)
        typer.echo(welcome(found, settings))

    async def serve(store: "OwnStore") -> None:
        async with hosting.running(sandbox) as base:
            await running.serve(_of(settings, base), store, lambda url: ready(url, base))

    with running.own_store(settings) as store:
        try:
            running.run(lambda: serve(store))
        finally:
            credentials.forget(home)


def _of(settings: Settings, base: str) -> Settings:
    """Let what calls Stripe call the sandbox, unless a key says that it is to be Stripe itself."""
    if settings.stripe_api_key:
        return settings
    return replace(settings, stripe_api_key=KEY, stripe_api_base=base)


def with_credentials(settings: Settings) -> tuple[Settings, Credentials]:
    """Return settings that also take a signing secret and two tokens made now, and these."""
    secret = f"whsec_{secrets.token_urlsafe(24)}"
    read, operate = make("read"), make("operate")
    callers = (
        Token("dev-read", "read", digest(read)),
        Token("dev-operate", "operate", digest(operate)),
    )
    made = replace(
        settings,
        webhook_secrets=(*settings.webhook_secrets, secret),
        tokens=(*settings.tokens, *callers),
    )
    return made, Credentials("", secret, read, operate)


def welcome(found: Credentials, settings: Settings) -> str:
    """Return what to paste into another terminal."""
    store = f"embedded Valkey, kept in {settings.data_dir}/"
    ask = f'curl -H "Authorization: Bearer {found.read_token}"'
    where = shlex.join(["--data-dir", str(settings.data_dir.absolute())])
    at = "" if settings.data_dir == Settings().data_dir else f" {where}"
    return f"""
entitlements is serving at {found.url}
  store           {"that of ENTITLEMENTS_REDIS_URL" if settings.redis_url else store}
  webhooks        {found.url}/webhooks/stripe
  signing secret  {found.webhook_secret}
  token (read)    {found.read_token}
  token (operate) {found.operate_token}
  sandbox Stripe  {found.stripe_api_base}, with the key {KEY}

Try it from another terminal:
  entitlements trigger created{at} --customer cus_demo --product pro
  {ask} {found.url}/v1/customers/cus_demo/entitlements/pro
  entitlements trigger pause{at} --behavior void --resumes-at +90d
  {ask} {found.url}/v1/customers/cus_demo/entitlements/pro

Or drive the sandbox as you would Stripe, by any of its libraries or its command line:
  STRIPE_API_KEY={KEY} stripe trigger customer.subscription.updated \
    --api-base {found.stripe_api_base} --add 'subscription_updated:pause_collection.behavior=void'
  curl -u {KEY}: {found.stripe_api_base}/_sandbox/clock -d advance=2678400

Ctrl-C stops it; what is stored stays, what the sandbox holds does not.
"""
