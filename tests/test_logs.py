"""The log: one line for each thing that happened, and never a secret in it."""

import io
import json
import logging

import pytest
import structlog

from entitlements import logs

log = structlog.get_logger()

SECRETS = [
    "whsec_bWRsfKOM-i7Xy3NSLAVxgY7eb9zBupjs",
    "sk_live_51Habc-123",
    "sk_test_51Habc123",
    "rk_live_51Habc123",
    "rk_test_51Habc123",
    "ent_read_oj4K4n985S5htaL7YSehD8PH-w0BsYoGRnplDtndCc8",
    "ent_operate_-_8g9udDs6phCnCiX8_7qG-hJVMfi2gJFAPaageYt55s",
    "Bearer some-token.of~another+kind/==",
    "bearer  twice",
]


def said(stream: io.StringIO) -> dict[str, object]:
    """Return the one line that was logged."""
    (line,) = stream.getvalue().splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def crash() -> ValueError:
    """Return an error that was raised, with a secret in what it says."""
    try:
        int(SECRETS[0])
    except ValueError as error:
        return error
    raise AssertionError


def test_a_line_is_json_with_a_time_and_a_level(log_lines: io.StringIO) -> None:
    """Each line is one JSON object: the event, its level, when in UTC, and what was given."""
    log.info("webhook", outcome="applied", version=3)

    line = said(log_lines)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "webhook", "level": "info", "outcome": "applied", "version": 3}


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_written(log_lines: io.StringIO, secret: str) -> None:
    """Whatever looks like a secret, a key or a token is starred out as a whole, what stands around it stays."""
    log.warning("refused", detail=f"got {secret} from x")

    assert said(log_lines)["detail"] == "got *** from x"


def test_a_password_in_an_address_is_not_written(log_lines: io.StringIO) -> None:
    """The address of a store is told without its password."""
    log.info("store", url="rediss://default:p4ss.w0rd!@redis.test:6380/0")

    assert "p4ss" not in log_lines.getvalue()
    assert "redis.test:6380/0" in log_lines.getvalue()


def test_no_secret_is_written_from_within(log_lines: io.StringIO) -> None:
    """A value inside a list, a mapping or another object is no way out for a secret."""
    secret = SECRETS[0]
    log.info("all", one=[secret], two={"a": (secret, 1)}, three=ValueError(secret), four={secret})

    assert "bWRs" not in log_lines.getvalue()
    assert "NSLA" not in log_lines.getvalue()
    assert said(log_lines)["two"] == {"a": ["***", 1]}


def test_no_secret_is_written_by_a_crash(log_lines: io.StringIO) -> None:
    """A traceback is one value of one line, and its secrets are starred out too."""
    log.error("request_crashed", exc_info=crash())

    line = said(log_lines)
    assert str(line["exception"]).endswith("base 10: '***'")


def test_the_libraries_speak_in_the_same_form(log_lines: io.StringIO) -> None:
    """Warnings of libraries are lines like ours, tracebacks and secrets included; their chatter is left out."""
    library = logging.getLogger("library")
    library.info("chatter")
    library.error("it broke: %s", SECRETS[1], exc_info=crash())

    line = said(log_lines)
    assert (line["event"], line["level"]) == ("it broke: ***", "error")
    assert str(line["exception"]).endswith("base 10: '***'")


def test_what_json_has_no_word_for_is_written_all_the_same(log_lines: io.StringIO) -> None:
    """A value of any type is no reason to lose the line."""
    log.info("odd", value=io.StringIO, number=2**70, text="\ud800")

    assert "StringIO" in str(said(log_lines)["value"])


def test_below_the_level_nothing_is_written(log_lines: io.StringIO) -> None:
    """Debugging talk stays out unless it is asked for."""
    log.debug("detail")

    assert log_lines.getvalue() == ""


def test_on_a_terminal_a_line_is_for_people(log_lines: io.StringIO) -> None:
    """The console form has columns instead of JSON, the same masks, and no colours in a file."""
    logs.configure("console", log_lines, level=logging.DEBUG)
    log.debug("serving", url="http://x.test", token=SECRETS[5])

    line = log_lines.getvalue()
    assert "serving" in line
    assert "url=http://x.test" in line
    assert "token=***" in line
    assert "\x1b[" not in line


def test_on_a_terminal_a_crash_does_not_show_variables(log_lines: io.StringIO) -> None:
    """A traceback for people has the lines of code, and neither the values of variables nor a secret."""
    logs.configure("console", log_lines)
    log.error("request_crashed", exc_info=crash())

    assert "int(SECRETS[0])" in log_lines.getvalue()
    assert "bWRs" not in log_lines.getvalue()
