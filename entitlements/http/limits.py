"""What one client may take of the server before its request makes sense."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """The bounds of one connection: times in seconds, sizes in bytes."""

    head_seconds: float = 5.0
    """From the connection, or a later request's first byte, to the end of the request's head."""
    body_seconds: float = 10.0
    """From the end of the head to the end of the body."""
    send_seconds: float = 10.0
    """For which a client may read too little for more to be sent to it."""
    idle_seconds: int = 5
    """From an answer to the next request's first byte."""
    head_bytes: int = 16 * 1024
    """Of a head, of a body's trailers, or of anything else that is not a body."""
    pipelined: int = 100
    """Requests that wait for an earlier one's answer."""
    linger_seconds: float = 5.0
    """From an answer that came before the end of its request to the end of the connection."""
    linger_bytes: int = 64 * 1024 * 1024
    """Read and thrown away in that time."""
