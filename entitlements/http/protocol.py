"""uvicorn's HTTP protocol with the bounds that it lacks.

uvicorn waits for ever for a request's head and its body, httptools collects a head of any size, and a client that
pipelines may queue requests without end (https://github.com/Kludex/uvicorn/issues/157). A reverse proxy can hold all
that off as well; nobody should need one for it.
"""

import asyncio
from typing import ClassVar, cast

from httptools import HttpParserError
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from entitlements.http.deadline import Deadline
from entitlements.http.limits import Limits
from entitlements.http.linger import Lingering
from entitlements.http.refusal import refusal


def guarded(limits: Limits) -> type["GuardedProtocol"]:
    """Return the protocol for uvicorn's `http`, with its limits."""

    class Guarded(GuardedProtocol):
        pass

    Guarded.limits = limits
    return Guarded


class GuardedProtocol(HttpToolsProtocol):
    """One connection. Only what the client still owes has a deadline: a request that comes whole sets none."""

    limits: ClassVar[Limits] = Limits()

    _edge: Lingering
    _deadline: Deadline
    _stalled: Deadline
    _room: int  # bytes that may still come until a head or a part of a body must be there
    _newest: RequestResponseCycle | None = None  # the last whose head has been read
    _answering: RequestResponseCycle | None = None  # the last that the application was given
    _timed: RequestResponseCycle | None = None  # the newest when the deadline was set
    _reusable = False  # whether the connection lives on if the newest request's body comes in time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time of the first head."""
        limits, wire = self.limits, cast("asyncio.Transport", transport)
        self._edge = Lingering(
            wire, self.loop, self._unread, limits.linger_seconds, limits.linger_bytes
        )
        self._deadline = Deadline(self.loop, self._on_late)
        self._stalled = Deadline(self.loop, self._edge.abort)
        self._room = limits.head_bytes
        super().connection_made(self._edge)
        self._expect(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application. uvicorn tells only the newest request, which may still be queued."""
        self._deadline.cancel()
        self._stalled.cancel()
        self._edge.lost()
        super().connection_lost(exc)
        if self._answering is not None:
            _disconnect(self._answering)

    def pause_writing(self) -> None:
        """Give the client its time to read what was sent."""
        super().pause_writing()
        self._stalled.set(self.limits.send_seconds)

    def resume_writing(self) -> None:
        """Send on."""
        super().resume_writing()
        self._stalled.lift()

    def data_received(self, data: bytes) -> None:
        """Parse. Most requests come whole and in one piece, and then there is nothing to wait for."""
        if len(data) < self._room and not self._edge.deaf:
            self._room -= len(data)
            super().data_received(data)
        else:
            self._take(data)
        newest = self._newest
        if newest is None or newest.more_body or newest.response_complete:
            self._expect(newest)
        else:
            self._deadline.lift()

    def on_headers_complete(self) -> None:
        """Hand the request on, unless too many wait."""
        if self.pipeline and len(self.pipeline) >= self.limits.pipelined:
            raise HttpParserError
        super().on_headers_complete()
        self._newest = self.cycle
        self._room = self.limits.head_bytes
        self.headers = []  # RFC 9110 6.5.1: trailers must not become headers

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        super().on_body(body)
        self._room = self.limits.head_bytes

    def on_message_complete(self) -> None:
        """Let the connection live on, unless its end has been announced."""
        super().on_message_complete()
        self._room = self.limits.head_bytes
        if self._reusable:
            self._reusable = False
            self.cycle.keep_alive = not self.cycle.response_started

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one: uvicorn makes a timer for each wait, and drops it again."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._timed = None  # of the next one nothing has come: its head has its time from the first byte on
            self._deadline.set(self.timeout_keep_alive)

    def shutdown(self) -> None:
        """Close if idle, else after the answer; of the server's grace, a body has half and an answer three quarters."""
        self._reusable = False
        grace = self.config.timeout_graceful_shutdown
        if self._edge.is_closing():
            self._edge.close()
        else:
            super().shutdown()
        if grace is not None:
            self._edge.seconds = min(self._edge.seconds, grace / 8)
            self._deadline.set(grace / 2 if self._deadline.is_set else grace * 3 / 4)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refuses."""
        self._refuse(400, f"{msg} Send a well-formed HTTP/1.1 request.")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _unread(self) -> bool:
        newest = self._newest
        return self._edge.deaf or (newest is not None and newest.more_body)

    def _unanswered(self) -> RequestResponseCycle | None:
        newest = self._newest
        return None if newest is None or newest.response_complete else newest

    def _take(self, data: bytes) -> None:
        """Parse in pieces that leave no more unparsed than there is room for."""
        read, edge = 0, self._edge
        while read < len(data) and not edge.deaf:
            piece = data[read : read + self._room]
            read += len(piece)
            self._room -= len(piece)
            super().data_received(piece)
            if self._room <= 0 and not edge.deaf:
                size = self.limits.head_bytes
                self._refuse(431, f"The headers may take {size} bytes. Send fewer.")
        edge.discard(len(data) - read)

    def _expect(self, newest: RequestResponseCycle | None) -> None:
        """Give the client its time: for the body of the newest request, or for the head of the next."""
        if self._edge.deaf or (self._deadline.is_set and self._timed is newest):
            return
        self._timed = newest
        if newest is None or newest.response_complete:
            self._deadline.set(self.limits.head_seconds)
        else:
            self._deadline.set(self.limits.body_seconds)
            # An answer that comes before the body does is the connection's last, and has to say so.
            self._reusable, newest.keep_alive = newest.keep_alive, False

    def _on_late(self) -> None:
        pending = self._unanswered()
        if self._edge.is_closing():
            return
        if pending is not None and not pending.more_body:  # only a server that stops gets here
            self._end(503, "The server is stopping. Send the request again.")
        elif self.flow.read_paused:  # it is we who do not read
            self._deadline.set(self.limits.body_seconds)
        elif pending is None and self._room == self.limits.head_bytes:
            self._edge.close()  # not a byte came
        else:
            self._end(408, "The rest of the request did not come in time. Send it again.")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer what is being read, and close; after the answer to an earlier request if there is one."""
        pending = self._unanswered()
        if pending is not None and not pending.more_body:
            pending.keep_alive = False
            self._deadline.lift()
            self._edge.deaf = True
        else:
            self._end(status, detail)

    def _end(self, status: int, detail: str) -> None:
        """Answer in place of the application, if it is still time and turn for that, and close."""
        self.logger.info("Refused with %d: %s", status, detail)
        pending = self._unanswered()
        if pending is not None and (self.pipeline or pending.response_started):
            self._edge.abort()
            return
        self._edge.deaf |= pending is None
        self._edge.write(refusal(status, detail, self.server_state.default_headers))
        self._edge.close()
        _disconnect(pending)


def _disconnect(cycle: RequestResponseCycle | None) -> None:
    if cycle is not None and not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()
