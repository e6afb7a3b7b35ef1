"""`entitlements trigger`: one change of a subscription as Stripe tells of it, and what the service then answers.

As with Stripe's own command line the events are real: full bodies, signed, posted to a running service.
The subscription is remembered in the data directory: `trigger created` and then `trigger pause` speak of the same one.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from entitlements.cli.times import instant
from entitlements.cli.trigger_options import TIME, Options
from entitlements.cli.trigger_run import run
from entitlements.model import KnownBehavior
from entitlements.policy import DAY
from entitlements.sandbox import subscription as life
from entitlements.sandbox.stage import HOUR, Stage
from entitlements.sandbox.subscription import Change, Opening

app = typer.Typer(
    help="Post signed Stripe events about one subscription, and show what the service answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_COMMON = inspect.signature(Options).parameters


def _command(change: Callable[..., Change]) -> Callable[..., Change]:
    """Make a command of a change: its own options come first, those that all have in common follow."""
    own = list(inspect.signature(change).parameters.values())[1:]

    def command(**given: Any) -> None:  # noqa: ANN401  options are of every type
        options = Options(**{name: given.pop(name) for name in _COMMON})
        raise typer.Exit(run(options, lambda scene: change(scene, **given)))

    command.__dict__["__signature__"] = inspect.Signature([*own, *_COMMON.values()])
    app.command(change.__name__, help=change.__doc__)(command)
    return change


@_command
def created(
    scene: Stage,
    status: Annotated[Opening, typer.Option(help="How it begins.")] = "active",
) -> Change:
    """Subscribe a customer."""
    return scene.create(status)


@_command
def activated(scene: Stage) -> Change:
    """Make the first payment, end the trial, or pay what was owed."""
    return life.activate(scene.subscription("incomplete", age=HOUR), scene.now, scene.invoice)


@_command
def pause(
    scene: Stage,
    behavior: Annotated[KnownBehavior, typer.Option(help="What becomes of invoices meanwhile.")],
    resumes_at: Annotated[
        str | None, typer.Option(help=f"When it ends: {TIME} [default: when unset]")
    ] = None,
) -> Change:
    """Pause the collection of payments; the status stays as it is."""
    until = instant(resumes_at, scene.now) if resumes_at else None
    return life.pause_collection(scene.subscription(), behavior, until)


@_command
def unpause(scene: Stage) -> Change:
    """Collect payments again."""
    paused = scene.subscription(then=lambda s: life.pause_collection(s, "keep_as_draft"))
    return life.unpause(paused)


@_command
def renewal(scene: Stage) -> Change:
    """Roll the period on to the next one."""
    ending = scene.subscription(age=30 * DAY, end=scene.now)
    return life.renew(ending, scene.invoice, scene.wishes.period_end)


@_command
def past_due(scene: Stage) -> Change:
    """Fail a payment, which will be tried again."""
    return life.past_due(scene.subscription())


@_command
def unpaid(scene: Stage) -> Change:
    """Give up a failed payment; the subscription stays."""
    return life.unpaid(scene.subscription(then=life.past_due))


@_command
def cancel(
    scene: Stage,
    *,
    at_period_end: Annotated[
        bool, typer.Option("--at-period-end", help="Not at once, but when the period ends.")
    ] = False,
) -> Change:
    """Cancel the subscription, by request."""
    end = life.cancel_at_period_end if at_period_end else life.cancel
    return end(scene.subscription(), scene.now)


@_command
def paused(scene: Stage) -> Change:
    """Pause the subscription itself, service included (two events)."""
    return life.pause(scene.subscription(), scene.now)


@_command
def resumed(scene: Stage) -> Change:
    """Resume a paused subscription (two events)."""
    since = scene.now - 5 * DAY
    return life.resume(
        scene.subscription(then=lambda s: life.pause(s, since)), scene.now, scene.invoice
    )


@_command
def deleted(scene: Stage) -> Change:
    """End the subscription: as was scheduled, or because payment failed."""
    return life.delete(scene.subscription(), scene.now)
