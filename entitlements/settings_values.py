"""How the text of each setting is read. No message repeats a value: any may be a secret, if only a misplaced one."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import IPv6Address
from typing import Any, Literal, TypeVar, get_args

from entitlements.span import seconds

Scope = Literal["read", "operate"]
Surface = Literal["webhooks", "queries", "operations", "console"]
Durability = Literal["fsync", "replica", "memory"]
LogFormat = Literal["json", "console"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Token:
    """A caller: its name in the audit trail, what it may do, the SHA-256 of its bearer token."""

    name: str
    scope: Scope
    digest: bytes = field(repr=False)


class Wrong(Exception):
    """What is wrong with a value and what is expected, to be read after the variable's name."""


def nearest_of(word: str, names: Iterable[str]) -> str:
    """Return the name that is most like a word."""
    return get_close_matches(word.lower(), names, n=1, cutoff=0)[0]


def filled(text: str) -> str:
    """Return a text trimmed; an empty one is wrong."""
    if not text.strip():
        raise Wrong("is empty: give it a value, or remove it")
    return text.strip()


def each(read: Callable[[str], T], text: str) -> list[T]:
    """Read every item of a comma separated list."""
    return [_item(read, number, part) for number, part in enumerate(text.split(","), 1)]


def _item(read: Callable[[str], T], number: int, text: str) -> T:
    try:
        return read(filled(text))
    except Wrong as wrong:
        raise Wrong(f"item {number} {wrong}") from None


def one_of(*names: str, part: str = "") -> Callable[[str], str]:
    """Return a reader that takes one of some names."""

    def read(text: str) -> str:
        if text in names:
            return text
        nearest = nearest_of(text, names)
        raise Wrong(f"{part}is not one of {', '.join(names)}: the nearest is {nearest}")

    return read


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Return a reader that takes what a pattern matches."""

    def read(text: str) -> str:
        if re.fullmatch(pattern, text, re.ASCII):
            return text
        raise Wrong(f"is not {expected}")

    return read


_HOST = r"(?:[\w.-]+|\[[\da-fA-F:.]+\])"
_PORT = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
_LOGIN = r"(?:[^/?#\s]*@)?"
_NODE = rf"{_LOGIN}{_HOST}(?::{_PORT})?(?:/\d*)?"
_NODES = rf"{_LOGIN}{_HOST}:{_PORT}(?:,{_HOST}:{_PORT})*"
_TLS = r"ssl_(?:ca_certs|certfile|keyfile|cert_reqs|check_hostname)=[^&#\s]+"

# Of each scheme: what follows `://`, for people and for `re`. redis-py takes any argument of its
# client out of a URL; only those pass that leave the store's own time limits and retries alone.
_REDIS_URLS = {
    "redis": ("[user:password@]host[:port][/db]", _NODE),
    "rediss": (
        "[user:password@]host[:port][/db][?ssl_ca_certs=path]",
        rf"{_NODE}(?:\?{_TLS}(?:&{_TLS})*)?",
    ),
    "unix": ("[user:password@]/path/to/socket[?db=number]", rf"{_LOGIN}/[^?#\s]+(?:\?db=\d+)?"),
    "redis+cluster": ("[user:password@]host:port,host:port", rf"{_NODES}/?"),
    "redis+sentinel": (
        "[user:password@]host:port,host:port/service[/db]",
        rf"{_NODES}/[\w.-]+(?:/\d+)?",
    ),
}

word = matching("[!-~]+", "printable ASCII without spaces")
port = matching(f"0|{_PORT}", "a port, 0 to 65535")
base = matching(
    rf"https?://{_HOST}(?::{_PORT})?(?:/[\w.~/-]*)?", "an address like https://api.stripe.com"
)
_scheme = one_of(*_REDIS_URLS, part="scheme ")
_scope: Callable[[str], Any] = one_of(*get_args(Scope), part="scope ")
surface = one_of(*get_args(Surface))
boolean = one_of("true", "false")


def redis_url(text: str) -> str:
    """Read the address of a store."""
    scheme, _, rest = text.partition("://")
    form, pattern = _REDIS_URLS[_scheme(scheme)]
    matching(pattern, f"of the form {scheme}://{form}")(rest)
    return text


def host(text: str) -> str:
    """Read a host name or an IP address."""
    if re.fullmatch(r"[\w.-]+", text, re.ASCII):
        return text
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise Wrong("is not a host name or an IP address, such as 0.0.0.0 or ::") from None


def tokens(text: str) -> tuple[Token, ...]:
    """Read the entries of callers."""
    found = tuple(each(_token, text))
    if len({t.name for t in found}) < len(found) or len({t.digest for t in found}) < len(found):
        raise Wrong("holds a name or a digest twice: each caller needs a token of its own")
    return found


def _token(text: str) -> Token:
    match = re.fullmatch(r"([\w-]{1,64}):([^:]*):([\da-fA-F]{64})", text, re.ASCII)
    if not match:
        raise Wrong(
            "is not name:scope:sha256hex, as `entitlements token new` prints it: expected a name of "
            "up to 64 letters, digits, _ and -, a scope, and 64 hexadecimal digits"
        )
    name, scope, digest = match.groups()
    return Token(name, _scope(scope), bytes.fromhex(digest))


def livemode_of(key: str) -> bool | None:
    """Return the mode that Stripe writes into its keys: https://docs.stripe.com/keys."""
    mode = re.match(r"[sr]k_(live|test)_", key)
    return mode[1] == "live" if mode else None


def span(text: str) -> int:
    """Read a stretch of time that is not nothing, as seconds."""
    found = seconds(text)
    if not found:
        raise Wrong("should be a time such as 1d, 12h or 30m")
    return found
