"""Requests as bytes, and where an answer ends: as little of HTTP and of Redis' protocol as a load needs."""

from collections.abc import Iterable, Mapping
from typing import Protocol

_SIZE = b"content-length: "
_NONE: Mapping[str, str] = {}

REFUSED = b"HTTP/1.1 503 "


class Wrong(Exception):
    """An answer that is not the one expected: the whole measurement is void."""


class Wire(Protocol):
    """A protocol of requests and answers in turn."""

    def end(self, received: bytes) -> int:
        """Return where the first answer ends; 0 while it has not come whole. Raises Wrong where it is an error."""


class Http:
    """HTTP/1.1, as far as uvicorn answers in it: 200 with a length, or 503."""

    def end(self, received: bytes) -> int:
        """Return where the first answer ends; 0 while it has not come whole."""
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return 0
        at = received.find(_SIZE, 0, head)
        if at < 0 or not received.startswith((b"HTTP/1.1 200 ", REFUSED)):
            raise Wrong(received[:500].decode(errors="replace"))
        at += len(_SIZE)
        whole = head + 4 + int(received[at : received.index(b"\r", at)])
        return whole if len(received) >= whole else 0


class Resp:
    """Redis' protocol, as far as a commit answers in it: an integer."""

    def end(self, received: bytes) -> int:
        """Return where the first answer ends; 0 while it has not come whole."""
        if not received.startswith(b":"):
            raise Wrong(received[:500].decode(errors="replace"))
        return received.find(b"\r\n") + 2 if b"\r\n" in received else 0


WIRES: Mapping[str, Wire] = {"http": Http(), "resp": Resp()}


def get(path: str, token: str, headers: Mapping[str, str] = _NONE) -> bytes:
    """Return a question."""
    lines = _lines({"Authorization": f"Bearer {token}", **headers})
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{lines}\r\n".encode()


def post(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a request with a body of JSON."""
    about = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = _lines({**headers, **about})
    return f"POST {path} HTTP/1.1\r\nHost: bench\r\n{lines}\r\n".encode() + body


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def command(words: Iterable[str | int | bytes]) -> bytes:
    """Return a command to Redis."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n%s" % (len(parts), b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
