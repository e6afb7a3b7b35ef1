"""The command line: one module for each group of commands, imported only as far as it is needed.

Results go to standard output, talk to standard error. Exit codes: 0 done, 1 found something wrong, 2 could not run.
"""

import sys

import typer

from entitlements.cli.at_stripe import pause, portal, resume
from entitlements.cli.carry import export, import_
from entitlements.cli.check import check
from entitlements.cli.demo import demo
from entitlements.cli.dev import dev
from entitlements.cli.doctor import doctor
from entitlements.cli.events import app as events
from entitlements.cli.explain import explain
from entitlements.cli.override import app as override
from entitlements.cli.paused import paused
from entitlements.cli.policy import app as policy
from entitlements.cli.quarantine import app as quarantine
from entitlements.cli.reconcile import reconcile
from entitlements.cli.replay import replay
from entitlements.cli.review import app as review
from entitlements.cli.serve import serve
from entitlements.cli.token import app as token
from entitlements.cli.trigger import app as trigger
from entitlements.cli.watch import watch
from entitlements.cli.worker import worker
from entitlements.errors import EntitlementsError

app = typer.Typer(
    help="May this customer use this feature now? Decided from Stripe's webhooks, answered over HTTP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(serve)
app.command()(worker)
app.command()(dev)
app.command()(demo)
app.command()(check)
app.command()(explain)
app.add_typer(trigger, name="trigger")
app.command()(watch)
app.add_typer(policy, name="policy")
app.add_typer(events, name="events")
app.add_typer(override, name="override")
app.add_typer(review, name="review")
app.add_typer(quarantine, name="quarantine")
app.command()(replay)
app.command()(pause)
app.command()(resume)
app.command()(portal)
app.command()(paused)
app.command()(doctor)
app.command()(reconcile)
app.command()(export)
app.command(name="import")(import_)
app.add_typer(token, name="token")


def main() -> None:
    """Run one command. An error of ours is one sentence on standard error, and exit code 2."""
    try:
        app()
    except EntitlementsError as error:
        sys.stderr.write(f"entitlements: {error}\n")
        sys.exit(2)
