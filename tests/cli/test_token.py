"""`entitlements token`: a token for the caller, and the entry by which the service knows it."""

import hashlib

import pytest
from typer.testing import CliRunner

from entitlements.cli import app
from entitlements.cli.token import digest, make
from entitlements.errors import BadRequest
from entitlements.settings import Settings


def new(*options: str) -> list[str]:
    """Return what `token new` prints on standard output."""
    return (
        CliRunner().invoke(app, ["token", "new", *options], catch_exceptions=False).stdout.split()
    )


@pytest.mark.parametrize("scope", ["read", "operate"])
def test_the_entry_is_what_the_service_takes(scope: str) -> None:
    """The second line, put into ENTITLEMENTS_TOKENS, makes the first one known under its name and scope."""
    token, entry = new("--name", "shop-1_a", "--scope", scope)
    (known,) = Settings.from_environ({"ENTITLEMENTS_TOKENS": entry}).tokens

    assert (known.name, known.scope) == ("shop-1_a", scope)
    assert known.digest == hashlib.sha256(token.encode()).digest()
    assert token not in entry


def test_a_token_may_read_unless_more_is_asked_for() -> None:
    """The smaller scope is the default, and the token shows its scope to people."""
    token, entry = new("--name", "shop")

    assert token.startswith("ent_read_")
    assert entry.startswith("shop:read:")


def test_only_results_are_on_standard_output() -> None:
    """The talk around them goes to standard error, and does not repeat the token."""
    result = CliRunner().invoke(app, ["token", "new", "--name", "shop"])
    token, _ = result.stdout.split()

    assert result.exit_code == 0
    assert "cannot be shown again" in result.stderr
    assert token not in result.stderr


@pytest.mark.parametrize("name", ["", "a:b", "a,b", "a b", "café", "x" * 65, "a\n"])
def test_a_name_that_the_service_would_refuse_is_refused(name: str) -> None:
    """No token is made whose entry could not be read back."""
    with pytest.raises(BadRequest, match="is no name for a caller"):
        new("--name", name)


def test_tokens_cannot_be_guessed() -> None:
    """Each token is new, holds 256 random bits, and has a digest of its own."""
    tokens = {make("read") for _ in range(100)}

    assert len(tokens) == len({digest(token) for token in tokens}) == 100
    assert all(len(token) == len("ent_read_") + 43 for token in tokens)
