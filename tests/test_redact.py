"""Bodies for people's eyes: secrets are left out, all else is as it was sent."""

import json

import pytest

from entitlements.redact import REDACTED, shown


def test_secrets_are_not_shown() -> None:
    """Wherever they stand; all else is as it was sent."""
    body = b'{"a":[{"client_secret":"pi_x_secret_y"},{"secret":null}],"n":NaN,"odd":"\\ud800"}'
    found = shown(body)
    assert "pi_x" not in found
    assert REDACTED in found
    assert '"secret": null' in found
    assert '"n": "NaN"' in found
    assert '"odd": "\\ud800"' in found


@pytest.mark.parametrize(
    "value",
    ["sk_live_1", "rk_test_2", "say whsec_3", "seti_1_secret_4", "ek_live_5"],
)
def test_what_has_the_form_of_a_secret_is_none_of_ours_to_show(value: str) -> None:
    """Under any name: metadata is anybody's."""
    body = json.dumps({"metadata": {"note": value}, "list": [value]}).encode()
    assert json.loads(shown(body)) == {"metadata": {"note": REDACTED}, "list": [REDACTED]}


@pytest.mark.parametrize("name", ["password", "Access_Token", "refresh_token", "clientSecret"])
def test_what_has_the_name_of_a_secret_is_not_shown(name: str) -> None:
    """Whatever it looks like, or has inside."""
    assert json.loads(shown(json.dumps({name: {"a": 1}}).encode())) == {name: REDACTED}


def test_an_id_is_no_secret() -> None:
    """Nor is a word that only begins like one."""
    body = {"id": "sub_1", "price": "price_sk", "task_test": "ask_them"}
    assert json.loads(shown(json.dumps(body).encode())) == body


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' + b"9" * 5_000 + b"}"])
def test_what_cannot_be_read_is_not_shown(body: bytes) -> None:
    """It says how large it is."""
    assert shown(body).startswith(f'"{len(body)} bytes that cannot be shown')
