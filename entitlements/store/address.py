"""The address of a cluster or of Sentinels, out of its URL. Without a `+` in its scheme redis-py reads one itself."""

from urllib.parse import parse_qsl, unquote

from msgspec import Struct


class Address(Struct, frozen=True):
    """Where to begin to look for a store of several nodes. `repr` is for tests: it shows the password."""

    nodes: list[tuple[str, int]]
    login: dict[str, str]
    """`username` and `password`, as far as they are given."""
    service: str
    """The name under which Sentinels know the store; empty of a cluster."""
    db: int
    tls: dict[str, str | bool]
    """Empty where the store is spoken to in the clear; else `ssl` and the `ssl_…` arguments."""


def address(url: str) -> Address:
    """Read a URL that the settings have accepted (settings_values.py has the forms)."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    login, _, rest = rest.rpartition("@")  # a password may have an @ of its own
    nodes, _, path = rest.partition("/")
    service, _, db = path.partition("/")
    tls = scheme.startswith("rediss")
    return Address(
        nodes=[_node(text) for text in nodes.split(",")],
        login=_login(login),
        service=unquote(service),
        db=int(db or 0),
        tls={"ssl": True, **dict(parse_qsl(query))} if tls else {},
    )


def _node(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _login(text: str) -> dict[str, str]:
    username, _, password = text.partition(":")
    found = {"username": unquote(username), "password": unquote(password)}
    return {name: value for name, value in found.items() if value}
