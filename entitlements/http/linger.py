"""An end of the connection that lets the client read its last answer.

A close with unread data makes the kernel send a reset, and a client that meets the reset may lose an answer it has not
read yet: "connection reset" instead of 413. So, as RFC 9112 9.6 asks: close the write side, go on reading for a bounded
time, then close.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TOGETHER = 64 * 1024
"""Bytes that may wait for the end of a turn of the loop, so that nobody who writes without a pause fills memory."""


class Lingering(asyncio.Transport):
    """The transport as uvicorn uses it, whose `close` lingers if the client has more to send (`unread`).

    What is written within one turn of the loop is sent as one: uvicorn writes the head of an answer and its body apart.
    The lingering, or the sending of what a slow client has yet to read, takes at most `seconds`, and `spare` bytes.
    While it is `deaf`, what comes belongs to no request, and is for `discard`.
    """

    def __init__(
        self,
        wire: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        unread: Callable[[], bool],
        seconds: float,
        spare: int,
    ) -> None:
        super().__init__()
        self._wire = wire
        self._loop = loop
        self._unread = unread
        self.seconds = seconds
        self._spare = spare
        self._open = True
        self._end: asyncio.TimerHandle | None = None
        self.deaf = False
        self._unsent = bytearray()

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Send at the end of this turn; after the end, drop: uvloop raises there, and nobody would read it."""
        if not self._open:
            return
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent += data
        if len(self._unsent) > TOGETHER:
            self._send()

    def is_closing(self) -> bool:
        """Tell whether the last answer has been given."""
        return not self._open or self._wire.is_closing()

    def close(self) -> None:
        """Let the client finish, then close; if it is finishing already, close at once."""
        self._send()
        if self._open and self._unread():
            self._linger()
        elif not self._wire.is_closing():
            self._close()

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        self._open, self.deaf = False, True
        self._wire.abort()

    def lost(self) -> None:
        """Note that the connection is gone."""
        self._open = False
        if self._end is not None:
            self._end.cancel()

    def discard(self, size: int) -> None:
        """Count bytes that nobody wants; too many end the connection."""
        self._spare -= size
        if self._spare < 0:
            self.abort()

    def pause_reading(self) -> None:
        """Pass on."""
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        """Pass on."""
        self._wire.resume_reading()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Pass on."""
        return self._wire.get_extra_info(name, default)

    def _send(self) -> None:
        if self._unsent and self._open:
            self._wire.write(self._unsent)
            self._unsent = bytearray()

    def _linger(self) -> None:
        self._open, self.deaf = False, True
        self._end = self._loop.call_later(self.seconds, self.abort)
        with suppress(OSError):  # asyncio's own transport: the client may be gone already
            self._wire.write_eof()
        self._wire.resume_reading()

    def _close(self) -> None:
        self._open, self.deaf = False, True
        self._wire.close()
        if self._end is None and self._wire.get_write_buffer_size():
            self._end = self._loop.call_later(self.seconds, self.abort)
