"""`entitlements watch`: the changes of answers at a running service, a line each, as they come."""

import inspect
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli import credentials
from entitlements.cli.credentials import URL, BearerToken, Url
from entitlements.cli.event_stream import Event, events
from entitlements.cli.times import rfc3339
from entitlements.errors import EntitlementsError, SettingsError

if TYPE_CHECKING:
    from httpx2 import Client

PATIENCE = 45.0
"""Seconds without a word after which the service is taken for gone: three heartbeats."""

AGAIN, LONGEST = 0.5, 10.0
"""Seconds from the end of one connection to the next: twice as long each time, up to the longest."""

_RETRIED = 500
"""Statuses from here on may pass; the others are for a person."""


class Gone(Exception):
    """The connection ended, or did not come about; another one may."""


class Refused(EntitlementsError):
    """The service will not let this caller follow."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command takes."""

    customer: Annotated[str | None, typer.Option(help="Show this one alone.")] = None
    feature: Annotated[str | None, typer.Option(help="Show this one alone.")] = None
    account: Annotated[
        str | None, typer.Option(help="Follow the customers of this connected account.")
    ] = None
    since: Annotated[
        str | None, typer.Option(help="Begin after this cursor. [default: at now]")
    ] = None
    url: Url = None
    token: BearerToken = None
    data_dir: Annotated[
        Path, typer.Option(envvar="ENTITLEMENTS_DATA_DIR", help="Where `dev` keeps files.")
    ] = Path(".entitlements")
    json: Annotated[bool, typer.Option("--json", help="Print each change as a line of JSON.")] = (
        False
    )


def watch(**given: Any) -> None:  # noqa: ANN401  options are of every type
    """Print every change of an answer at a running service as it comes, until Ctrl-C."""
    options = Options(**given)
    follower = _Follower(options)
    complete = True
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for event in follower.events():
            complete &= event.name != "truncated"
            if event.name == "truncated":
                typer.echo(event.data["detail"], err=True)
            elif _wanted(event, options):
                typer.echo(event.raw if options.json else _line(event))
    except KeyboardInterrupt:
        if follower.cursor:
            typer.echo(f"Go on from here with --since {follower.cursor}", err=True)
    raise typer.Exit(0 if complete else 1)


watch.__dict__["__signature__"] = inspect.signature(Options)


def _service(options: Options) -> tuple[str, str]:
    """Return where the service is, and the token to show it. Raises SettingsError where there is none."""
    found = credentials.load(options.data_dir)
    shown = options.token or (found.read_token if found else None)
    if not shown:
        raise SettingsError(
            "No token to ask with. Start `entitlements dev` in this directory, "
            "or give --token or ENTITLEMENTS_TOKEN."
        )
    return options.url or (found.url if found else URL), shown


def _wanted(event: Event, options: Options) -> bool:
    return (
        event.name == "change"
        and options.customer in {None, event.data["customer"]}
        and options.feature in {None, event.data["feature"]}
    )


def _line(event: Event) -> str:
    change = event.data
    word = "granted" if change["granted"] else "denied"
    # The clock, a person or another policy: which of them is not told.
    cause = change["event"] or "no event"
    cause += " (replayed)" if change.get("replayed") else ""
    parts = (change["customer"], change["feature"], word, change["reason"])
    return "  ".join((rfc3339(change["at"]), *parts, f"x{change['quantity']}", cause))


class _Follower:
    """Follows the feed over one connection after the other, from where the last one ended."""

    def __init__(self, options: Options) -> None:
        self._url, token = _service(options)
        self._headers = {"Authorization": f"Bearer {token}"}
        if options.account:
            self._headers["Stripe-Account"] = options.account
        self.cursor = options.since

    def events(self) -> Iterator[Event]:
        """Yield events for ever. Raises Refused, and EntitlementsError where nobody was ever there."""
        from httpx2 import Client, InvalidURL, Timeout

        wait, reached = AGAIN, False
        try:
            client = Client(
                base_url=self._url, timeout=Timeout(10.0, read=PATIENCE), trust_env=False
            )
        except InvalidURL as error:
            raise Refused(f"{self._url} is no address ({error}). Give another --url.") from error
        with client:
            while True:
                try:
                    for event in self._once(client):
                        wait, reached = AGAIN, True
                        yield event
                except Gone as gone:
                    if not reached:
                        raise EntitlementsError(
                            f"Cannot follow {self._url} ({gone}). Start a service there with "
                            "`entitlements dev`, or name another one with --url."
                        ) from gone
                    typer.echo(f"The connection ended ({gone}); connecting again.", err=True)
                time.sleep(wait)
                wait = min(LONGEST, 2 * wait)

    def _once(self, client: "Client") -> Iterator[Event]:
        """Yield the events of one connection. Raises Gone at its end, Refused."""
        from httpx2 import HTTPError

        headers = self._headers | ({"Last-Event-ID": self.cursor} if self.cursor else {})
        try:
            with client.stream("GET", "/v1/changes", headers=headers) as response:
                if response.status_code >= _RETRIED:
                    raise Gone(f"status {response.status_code}")
                if response.status_code != 200:  # noqa: PLR2004  OK
                    raise Refused(_why(response.status_code, response.read()))
                for event in events(response.iter_lines()):
                    self.cursor = event.id or self.cursor
                    yield event
        except HTTPError as error:
            raise Gone(str(error) or type(error).__name__) from error
        raise Gone("the service let go")


def _why(status: int, body: bytes) -> str:
    from entitlements.sandbox.peer import Reply, read_object

    return f"The service refused ({status}): {Reply(status, read_object(body)).why}"
