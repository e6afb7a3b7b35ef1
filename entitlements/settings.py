"""The settings: read once from the environment, checked, frozen.

`SETTINGS` is the one table of them: it drives the reading, and the README's table and
`deploy/env.example` are compared with it. No message repeats a value, since any value may be a
secret, if only one that was put into the wrong variable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

from entitlements.errors import SettingsError
from entitlements.settings_values import (
    Durability,
    LogFormat,
    Scope,
    Surface,
    Token,
    Wrong,
    base,
    boolean,
    each,
    filled,
    host,
    livemode_of,
    nearest_of,
    one_of,
    port,
    redis_url,
    span,
    surface,
    tokens,
    word,
)

__all__ = [
    "FOR_CALLERS",
    "SETTINGS",
    "Durability",
    "LogFormat",
    "Scope",
    "Setting",
    "Settings",
    "Surface",
    "Token",
    "markdown_table",
]


_PREFIX = "ENTITLEMENTS_"

FOR_CALLERS = frozenset({"ENTITLEMENTS_URL", "ENTITLEMENTS_TOKEN"})
"""Variables of the commands that call a service; they may stand in the environment of one, and say nothing to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment said, or the defaults. What is secret stays out of its `repr`."""

    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    redis_url: str | None = field(default=None, repr=False)
    data_dir: Path = Path(".entitlements")
    policy_file: Path | None = None
    tokens: tuple[Token, ...] = ()
    stripe_api_key: str | None = field(default=None, repr=False)
    stripe_api_base: str = "https://api.stripe.com"
    livemode: bool | None = None
    reconcile_every: int | None = None
    surfaces: frozenset[str] = frozenset(get_args(Surface))
    durability: Durability = "fsync"
    log_format: LogFormat = "json"
    port: int = 8000
    host: str = "127.0.0.1"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, stdout_is_terminal: bool = False) -> Self:
        """Read the variables of `SETTINGS` out of `environ`, which is `os.environ` or a test's own.

        Raises SettingsError for the first variable that is wrong, or that has our prefix and is not
        a setting: a misspelt one would otherwise pass in silence.
        """
        _refuse_unknown(environ)
        given: dict[str, Any] = {
            s.field: s.parse(environ[s.variable]) for s in SETTINGS if s.variable in environ
        }
        given.setdefault("livemode", livemode_of(given.get("stripe_api_key", "")))
        given.setdefault("log_format", "console" if stdout_is_terminal else "json")
        return cls(**given)

    def missing_for_serve(self) -> str | None:
        """Return the sentence that says what `entitlements serve` lacks, or None."""
        if self.webhook_secrets or "webhooks" not in self.surfaces:
            return None
        return (
            "ENTITLEMENTS_WEBHOOK_SECRETS is not set, and the webhooks surface accepts nothing "
            "unsigned: set it to the endpoint's signing secret (whsec_…), or leave webhooks out of "
            "ENTITLEMENTS_SURFACES."
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its name, its meaning and its default for people, and how its text is read."""

    variable: str
    meaning: str
    default: str
    read: Callable[[str], object]

    @property
    def field(self) -> str:
        """Return the name of the field of `Settings` that holds the value."""
        return self.variable.removeprefix(_PREFIX).lower()

    def parse(self, text: str) -> object:
        """Return the value; raise SettingsError, which names the variable."""
        try:
            return self.read(filled(text))
        except Wrong as wrong:
            raise SettingsError(f"{self.variable} {wrong}.") from None


def markdown_table() -> str:
    """Return `SETTINGS` as the README shows it."""
    rows = [f"| `{s.variable}` | {s.meaning} | {s.default} |" for s in SETTINGS]
    return "\n".join(["| variable | meaning | default |", "| --- | --- | --- |", *rows])


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    variables = {setting.field: setting.variable for setting in SETTINGS}
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in FOR_CALLERS.union(variables.values()):
            nearest = variables[nearest_of(name.removeprefix(_PREFIX), variables)]
            raise SettingsError(
                f"{name} is not a setting, the nearest is {nearest}: correct its name, or remove it."
            )


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "ENTITLEMENTS_WEBHOOK_SECRETS",
        "signing secrets of the webhook endpoint, comma separated; any of them may verify",
        "none (`serve` refuses to start with the webhooks surface)",
        lambda text: tuple(each(word, text)),
    ),
    Setting(
        "ENTITLEMENTS_REDIS_URL",
        "the store: `redis://`, `rediss://`, `unix://`, `redis+cluster://host:port,host:port` or "
        "`redis+sentinel://host:port,host:port/service/db`",
        "none (an embedded Valkey in the data directory)",
        redis_url,
    ),
    Setting(
        "ENTITLEMENTS_DATA_DIR",
        "where the embedded store keeps its files",
        "`.entitlements`",
        Path,
    ),
    Setting(
        "ENTITLEMENTS_POLICY_FILE",
        "the policy, a TOML file",
        "none (the built-in policy)",
        Path,
    ),
    Setting(
        "ENTITLEMENTS_TOKENS",
        "callers' bearer tokens as `name:scope:sha256hex`, comma separated; scope `read`, or "
        "`operate`, which includes it",
        "none (queries and operations answer 401 to everything)",
        tokens,
    ),
    Setting(
        "ENTITLEMENTS_STRIPE_API_KEY",
        "a secret or restricted key, for what calls Stripe: reconcile, replay from Stripe, pause, "
        "resume, portal, and events whose order is ambiguous",
        "none (those commands say what they need)",
        word,
    ),
    Setting(
        "ENTITLEMENTS_STRIPE_API_BASE",
        "where Stripe's API is: another address for a sandbox or a proxy",
        "`https://api.stripe.com`",
        lambda text: base(text).rstrip("/"),
    ),
    Setting(
        "ENTITLEMENTS_LIVEMODE",
        "`true` or `false`; an event of the other mode is quarantined, never applied",
        "none (taken from the API key's prefix, else pinned by the first verified event)",
        lambda text: boolean(text) == "true",
    ),
    Setting(
        "ENTITLEMENTS_RECONCILE_EVERY",
        "how often a worker walks Stripe's subscriptions and heals what is missing or stale here: `1d`, `12h`",
        "none (a person does: `entitlements reconcile`)",
        span,
    ),
    Setting(
        "ENTITLEMENTS_SURFACES",
        "what this process serves, comma separated; so the public listener can carry webhooks alone",
        "`webhooks,queries,operations,console`",
        lambda text: frozenset(each(surface, text)),
    ),
    Setting(
        "ENTITLEMENTS_DURABILITY",
        "what precedes a 2xx: `fsync`, the write is on disk (needs `appendfsync always`); "
        "`replica`, and one replica received it; `memory`, neither",
        "`fsync`",
        one_of(*get_args(Durability)),
    ),
    Setting(
        "ENTITLEMENTS_LOG_FORMAT",
        "`json` or `console`",
        "`json`; on a terminal `console`",
        one_of(*get_args(LogFormat)),
    ),
    Setting("PORT", "port to listen on", "`8000`", lambda text: int(port(text))),
    Setting("HOST", "address to listen on", "`127.0.0.1`", host),
)
