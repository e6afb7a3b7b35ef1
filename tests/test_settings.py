"""Settings: what each variable takes, what it refuses, and what never shows."""

import dataclasses
import hashlib
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.errors import SettingsError
from entitlements.settings import SETTINGS, Setting, Settings, Token, markdown_table

DIGEST = hashlib.sha256(b"a token").digest()
OTHER = hashlib.sha256(b"another token").digest()
HEX = DIGEST.hex()
ALL_SURFACES = frozenset({"webhooks", "queries", "operations", "console"})

GOOD = [
    ("WEBHOOK_SECRETS", "whsec_a", ("whsec_a",)),
    ("WEBHOOK_SECRETS", " new , old\n", ("new", "old")),
    ("REDIS_URL", "redis://store", "redis://store"),
    ("REDIS_URL", "redis://me:p%40ss@10.0.0.1:6379/2", "redis://me:p%40ss@10.0.0.1:6379/2"),
    ("REDIS_URL", "redis://:p@ss,word@[::1]:6379", "redis://:p@ss,word@[::1]:6379"),
    ("REDIS_URL", "rediss://s?ssl_ca_certs=/a&ssl_certfile=/b", None),
    ("REDIS_URL", "unix:///run/my%20store.sock?db=3", None),
    ("REDIS_URL", "unix://me:word@/run/store.sock", None),
    ("REDIS_URL", "redis+cluster://a:7000,b:7001,[::1]:65535", None),
    ("REDIS_URL", "redis+cluster://me:word@a:7000,b:7001/", None),
    ("REDIS_URL", "redis+sentinel://a:26379,b:26379/main/0", None),
    ("REDIS_URL", "redis+sentinel://a:26379/main", None),
    ("DATA_DIR", "/var/lib/entitlements", Path("/var/lib/entitlements")),
    ("POLICY_FILE", "policy.toml", Path("policy.toml")),
    ("TOKENS", f"web-1:read:{HEX}", (Token("web-1", "read", DIGEST),)),
    (
        "TOKENS",
        f"a:read:{HEX.upper()}, b:operate:{OTHER.hex()}",
        (Token("a", "read", DIGEST), Token("b", "operate", OTHER)),
    ),
    ("STRIPE_API_KEY", "rk_test_1\n", "rk_test_1"),
    ("STRIPE_API_BASE", "http://127.0.0.1:12111/", "http://127.0.0.1:12111"),
    ("STRIPE_API_BASE", "https://proxy.internal/stripe", "https://proxy.internal/stripe"),
    ("LIVEMODE", "true", True),
    ("LIVEMODE", "false", False),
    ("SURFACES", "webhooks", frozenset({"webhooks"})),
    ("SURFACES", "queries, operations", frozenset({"queries", "operations"})),
    ("DURABILITY", "fsync", "fsync"),
    ("DURABILITY", "replica", "replica"),
    ("DURABILITY", "memory", "memory"),
    ("LOG_FORMAT", "json", "json"),
    ("LOG_FORMAT", "console", "console"),
    ("PORT", "0", 0),
    ("PORT", "65535", 65535),
    ("HOST", "0.0.0.0", "0.0.0.0"),  # noqa: S104 - a value to read, nothing listens
    ("HOST", "::", "::"),
    ("HOST", "web.internal", "web.internal"),
]

BAD = [
    ("WEBHOOK_SECRETS", "a,,b", "item 2 is empty"),
    ("WEBHOOK_SECRETS", "a b", "item 1 is not printable ASCII"),
    ("WEBHOOK_SECRETS", "a,schlüssel", "item 2 is not printable ASCII"),
    ("WEBHOOK_SECRETS", "a\0b", "item 1 is not printable ASCII"),
    ("REDIS_URL", "store:6379", "scheme is not one of redis, rediss, unix"),
    ("REDIS_URL", "REDISS://store", "the nearest is rediss"),
    ("REDIS_URL", "redis+centinel://a:1/m", "the nearest is redis+sentinel"),
    ("REDIS_URL", "redis://", "of the form redis://"),
    ("REDIS_URL", "redis://store:0", "of the form redis://"),
    ("REDIS_URL", "redis://store:65536", "of the form redis://"),
    ("REDIS_URL", "redis://store/first", "of the form redis://"),
    ("REDIS_URL", "redis://a:1,b:2", "of the form redis://"),
    ("REDIS_URL", "redis://store?socket_timeout=60", "of the form redis://"),
    ("REDIS_URL", "rediss://store?retry_on_timeout=1", "of the form rediss://"),
    ("REDIS_URL", "unix://run/store.sock", "of the form unix://"),
    ("REDIS_URL", "redis+cluster://a:7000,b", "of the form redis+cluster://"),
    ("REDIS_URL", "redis+cluster://a:7000,,b:7000", "of the form redis+cluster://"),
    ("REDIS_URL", "redis+cluster://a:7000/0", "of the form redis+cluster://"),
    ("REDIS_URL", "redis+sentinel://a:26379", "of the form redis+sentinel://"),
    ("REDIS_URL", "redis+sentinel://a:26379/m/x", "of the form redis+sentinel://"),
    ("TOKENS", HEX, "item 1 is not name:scope:sha256hex"),
    ("TOKENS", f"a:read:{HEX[:-1]}", "item 1 is not name:scope:sha256hex"),
    ("TOKENS", f"a:read:{HEX[:-2]} f", "item 1 is not name:scope:sha256hex"),
    ("TOKENS", f"a:read:{HEX},b c:read:{HEX}", "item 2 is not name:scope:sha256hex"),
    ("TOKENS", f"{'a' * 65}:read:{HEX}", "item 1 is not name:scope:sha256hex"),
    ("TOKENS", f"a:operator:{HEX}", "scope is not one of read, operate: the nearest is operate"),
    ("TOKENS", f"a:read:{HEX},a:read:{OTHER.hex()}", "a name or a digest twice"),
    ("TOKENS", f"a:read:{HEX},b:operate:{HEX}", "a name or a digest twice"),
    ("STRIPE_API_KEY", "sk_test_1 sk_test_2", "is not printable ASCII without spaces"),
    ("STRIPE_API_BASE", "api.stripe.com", "an address like https://"),
    ("STRIPE_API_BASE", "ftp://api.stripe.com", "an address like https://"),
    ("STRIPE_API_BASE", "https://me:word@proxy", "an address like https://"),
    ("LIVEMODE", "True", "not one of true, false: the nearest is true"),
    ("LIVEMODE", "0", "not one of true, false"),
    ("SURFACES", "webhooks,query", "item 2 is not one of webhooks, queries, operations, console"),
    ("SURFACES", "webhook", "the nearest is webhooks"),
    ("SURFACES", "webhooks,", "item 2 is empty"),
    ("DURABILITY", "FSYNC", "not one of fsync, replica, memory: the nearest is fsync"),
    ("LOG_FORMAT", "jsonl", "not one of json, console: the nearest is json"),
    ("PORT", "65536", "is not a port, 0 to 65535"),
    ("PORT", "-1", "is not a port, 0 to 65535"),
    ("PORT", "8_000", "is not a port, 0 to 65535"),
    ("PORT", "8" * 5000, "is not a port, 0 to 65535"),
    ("HOST", "0.0.0.0:8000", "is not a host name or an IP address"),
    ("HOST", "http://web", "is not a host name or an IP address"),
]

VARIABLES = [setting.variable for setting in SETTINGS]
BARE = {"PORT", "HOST"}

UNKNOWN = [
    ("ENTITLEMENTS_WEBHOOK_SECRET", "ENTITLEMENTS_WEBHOOK_SECRETS"),
    ("ENTITLEMENTS_REDIS", "ENTITLEMENTS_REDIS_URL"),
    ("ENTITLEMENTS_STRIPE_KEY", "ENTITLEMENTS_STRIPE_API_KEY"),
    ("ENTITLEMENTS_PORT", "PORT"),
]

PLANTED = "Xq7planted0secretZ"
SECRET_SHAPES = [
    ("WEBHOOK_SECRETS", f"a,{PLANTED} b"),
    ("WEBHOOK_SECRETS", f"{PLANTED},,b"),
    ("STRIPE_API_KEY", f"sk_live_{PLANTED} é"),
    ("REDIS_URL", f"redis://me:{PLANTED}@store:port"),
    ("REDIS_URL", f"redis+cluster://me:{PLANTED}@store"),
    ("REDIS_URL", f"{PLANTED}://store"),
    ("TOKENS", PLANTED),
    ("TOKENS", f"a:{PLANTED}:{HEX}"),
    ("PORT", PLANTED),
    ("HOST", f"{PLANTED}:"),
    ("LIVEMODE", PLANTED),
    ("SURFACES", f"webhooks,{PLANTED}"),
]


def variable(name: str) -> str:
    """Return the variable of a short name."""
    return name if name in BARE else f"ENTITLEMENTS_{name}"


def refusal(environ: dict[str, str]) -> str:
    """Return the message with which these variables are refused."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ)
    return str(caught.value)


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_right_value_is_read(name: str, text: str, value: object) -> None:
    """Each variable gives its field the typed value; a URL (None here) stays as it was written."""
    settings = Settings.from_environ({variable(name): text})

    assert (text if value is None else value) == getattr(settings, name.lower())


@pytest.mark.parametrize(("name", "text", "part"), BAD)
def test_a_wrong_value_stops_the_start(name: str, text: str, part: str) -> None:
    """The refusal is one sentence that names the variable and says what is expected."""
    message = refusal({variable(name): text})

    assert message.startswith(f"{variable(name)} ")
    assert part in message
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_value_is_not_taken_for_an_unset_one(name: str, text: str) -> None:
    """A variable that a template left empty is refused, rather than read as the default."""
    assert refusal({name: text}) == f"{name} is empty: give it a value, or remove it."


@pytest.mark.parametrize(("name", "nearest"), UNKNOWN)
def test_a_misspelt_variable_is_refused(name: str, nearest: str) -> None:
    """A variable with our prefix that is no setting is refused, with the nearest one that is."""
    message = refusal({name: "1"})

    assert f"{name} is not a setting, the nearest is {nearest}:" in message


def test_other_variables_are_none_of_our_business() -> None:
    """Without our variables, whatever else is set, the defaults hold."""
    assert Settings.from_environ({"PATH": "/bin", "REDIS_URL": ""}) == Settings()


@pytest.mark.parametrize(("terminal", "log_format"), [(True, "console"), (False, "json")])
def test_logs_are_for_people_on_a_terminal(terminal: bool, log_format: str) -> None:  # noqa: FBT001 - a parametrised value
    """The format follows the terminal until it is set, and then no longer."""
    unset = Settings.from_environ({}, stdout_is_terminal=terminal)
    fixed = Settings.from_environ({"ENTITLEMENTS_LOG_FORMAT": "json"}, stdout_is_terminal=terminal)

    assert (log_format, "json") == (unset.log_format, fixed.log_format)


@pytest.mark.parametrize(
    ("key", "livemode"),
    [
        ("sk_live_1", True),
        ("rk_live_1", True),
        ("sk_test_1", False),
        ("rk_test_1", False),
        ("sk_org_1", None),
        ("pk_live_1", None),
        ("sandbox", None),
    ],
)
def test_the_key_tells_the_mode(key: str, livemode: bool | None) -> None:  # noqa: FBT001 - a parametrised value
    """Stripe writes the mode into a key's prefix; a mode that is set wins over it."""
    environ = {"ENTITLEMENTS_STRIPE_API_KEY": key}

    assert Settings.from_environ(environ).livemode is livemode
    assert Settings.from_environ({**environ, "ENTITLEMENTS_LIVEMODE": "true"}).livemode is True


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (Settings(), True),
        (Settings(webhook_secrets=("whsec_a",)), False),
        (Settings(surfaces=ALL_SURFACES - {"webhooks"}), False),
    ],
)
def test_webhooks_need_a_secret(settings: Settings, missing: bool) -> None:  # noqa: FBT001 - a parametrised value
    """Only the webhooks surface needs a signing secret, and without one `serve` is told so."""
    sentence = settings.missing_for_serve() or ""

    assert missing == sentence.startswith("ENTITLEMENTS_WEBHOOK_SECRETS is not set")


def test_secrets_stay_out_of_the_repr() -> None:
    """Neither repr nor str of the settings or of a token shows what would let somebody in."""
    settings = Settings.from_environ(
        {
            "ENTITLEMENTS_WEBHOOK_SECRETS": f"whsec_{PLANTED}",
            "ENTITLEMENTS_STRIPE_API_KEY": f"sk_test_{PLANTED}",
            "ENTITLEMENTS_REDIS_URL": f"redis://me:{PLANTED}@store",
            "ENTITLEMENTS_TOKENS": f"web:read:{HEX}",
        }
    )
    shown = f"{settings!r} {settings} {settings.tokens!r}"

    assert "Token(name='web', scope='read')" in shown
    assert not re.search(f"{PLANTED}|{HEX}|{re.escape(repr(DIGEST))}", shown)


@pytest.mark.parametrize("setting", SETTINGS, ids=VARIABLES)
def test_settings_do_not_change(setting: Setting) -> None:
    """No field can be set once the settings are read."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Settings(), setting.field, None)


def test_the_table_is_the_settings() -> None:
    """Every field has its variable, in the same order, and no variable is without a field."""
    assert [f.name for f in dataclasses.fields(Settings)] == [s.field for s in SETTINGS]


@pytest.mark.parametrize("setting", SETTINGS, ids=VARIABLES)
def test_the_default_in_the_table_is_true(setting: Setting) -> None:
    """A default that the table quotes reads as the field's own; any other says that there is none."""
    quoted = re.match("`(.+?)`", setting.default)
    held = getattr(Settings(), setting.field)

    if quoted:
        assert setting.parse(quoted[1]) == held
    else:
        assert setting.default.startswith("none (")
        assert held in (None, ())


def test_the_table_for_the_readme() -> None:
    """The Markdown table has a header, a rule, and three cells for each variable."""
    lines = markdown_table().splitlines()

    assert lines[:2] == ["| variable | meaning | default |", "| --- | --- | --- |"]
    assert [line.split("`")[1] for line in lines[2:]] == VARIABLES
    assert {line.count("|") for line in lines} == {4}


@pytest.mark.parametrize(("name", "text"), SECRET_SHAPES)
def test_a_refusal_repeats_no_value(name: str, text: str) -> None:
    """What was written stays out of the message and of the traceback that would be printed."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({variable(name): text})

    assert PLANTED not in "".join(traceback.format_exception(caught.value))


def message_of(environ: dict[str, str]) -> str:
    """Return the refusal of these variables, or nothing when they are read."""
    try:
        Settings.from_environ(environ)
    except SettingsError as refused:
        return str(refused)
    return ""


anything = st.text("azAZ09 _-.,:/@?#[]%=\\|`\t\n\0é٣\u2028", max_size=30)
near_miss = st.sampled_from([text for _, text, _ in (*GOOD, *BAD)]) | anything
planted = st.tuples(near_miss, near_miss).map(PLANTED.join)


@given(st.dictionaries(st.sampled_from(VARIABLES), near_miss | planted))
def test_any_environment_is_read_or_refused(environ: dict[str, str]) -> None:
    """No value raises anything but SettingsError, whose message holds no planted secret."""
    message = message_of(environ)

    assert PLANTED not in message
    assert not message or message.split()[0] in environ


@given(st.dictionaries(anything.map("ENTITLEMENTS_".__add__), st.just(PLANTED), min_size=1))
def test_any_unknown_variable_is_refused(environ: dict[str, str]) -> None:
    """Whatever follows our prefix and is no setting is refused by its name, without its value."""
    message = message_of(environ)

    assert message.startswith(min(environ))
    assert PLANTED not in message
