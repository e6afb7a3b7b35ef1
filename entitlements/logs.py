"""One line for each thing that happened: JSON for machines, columns for a terminal; never a secret."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Literal, TextIO

import msgspec
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["json", "console"]

_SECRET = re.compile(
    r"\b(?:whsec|[sr]k_live|[sr]k_test|ent)_[\w-]{4,}|(?i:bearer) +[^\s\"']+|:[^/@\s]+@", re.ASCII
)
_MASK = "***"

_PLAIN = frozenset({str, int, float, bool, type(None)})

_request: ContextVar[dict[str, str]] = ContextVar("request")
"""One variable for all: a request sets it once, and a line is rarely written."""


def configure(form: Format, stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Send our lines, and those of the libraries, to a stream (standard error unless given), in one form."""
    out = stream or sys.stderr
    first: list[Processor] = [
        _of_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    last: list[Processor] = [structlog.processors.format_exc_info, mask, _renderer(form, out)]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=stream is None,  # a stream that is given may be another one later
    )
    handler = logging.StreamHandler(out)
    without_meta = ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        ProcessorFormatter(processors=[without_meta, *last], foreign_pre_chain=first)
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def about_request(**named: str) -> Token[dict[str, str]]:
    """Have each line from here on name the request that it is about; what stops it is `over`."""
    return _request.set(named)


def also(**named: str) -> None:
    """Have each further line about the same request say more."""
    _request.get({}).update(named)


def over(token: Token[dict[str, str]]) -> None:
    """End what `about_request` began."""
    _request.reset(token)


def _of_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**_request.get({}), **event}


def mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put stars over whatever looks like a signing secret, a key, a token or a password in an address."""
    if _PLAIN.issuperset(map(type, event.values())) and not _suspect(
        "\n".join(map(str, event.values()))
    ):
        return event  # nearly always, and told at one look
    return {key: _masked(value) for key, value in event.items()}


def _masked(value: object) -> object:
    """Return a value as plain data, however deep a secret may be in it."""
    match value:
        case str():
            return _SECRET.sub(_MASK, value) if _suspect(value) else value
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _masked(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(inner) for inner in value]
        case _:
            return _SECRET.sub(_MASK, repr(value))


def _suspect(value: str) -> bool:
    """Tell whether text may match at all, of which most does not: in a tenth of the time that matching takes."""
    return (
        "sec_" in value
        or "k_live_" in value
        or "k_test_" in value
        or "ent_" in value
        or " " in value
        or "@" in value
    )


def _line(event: EventDict, **_: object) -> str:
    try:
        return msgspec.json.encode(event).decode()
    except (UnicodeEncodeError, OverflowError):  # half a surrogate pair, a number beyond 64 bits
        return json.dumps(event)


def _renderer(form: Format, out: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(_line)
    # Plain, since the default one prints local variables, where secrets are.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)
