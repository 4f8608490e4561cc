"""Connections that do not wait for ever: for the head of a request, and for a client that does not read its answer."""

import asyncio
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 30.0  # seconds


class Connection(H11Protocol):
    """uvicorn's, which itself waits as long as a client likes. Bodies have a limit of their own, `LimitedBody`."""

    patience = PATIENCE
    _head: asyncio.TimerHandle | None = None  # until a head is here
    _answer: asyncio.TimerHandle | None = None  # until the client has read what was sent

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        # asyncio does so for sockets that name TCP as their protocol, which uvicorn's does not: each answer on a
        # connection that is kept would wait 40 ms for the client's acknowledgement of its head
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = self.loop.call_later(self.patience, transport.close)

    def data_received(self, data: bytes) -> None:
        """Some bytes are there. What follows an answer is the head of the next request."""
        super().data_received(data)
        is_head = self in self.connections and (self.cycle is None or self.cycle.response_complete)
        if is_head and self._head is None:
            self._head = self.loop.call_later(self.patience, self.transport.close)
        elif not is_head:
            self._stop_head()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """The client has read most of it."""
        self._stop_answer()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """The answer is written, as far as the client has read it."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_head()
        self._stop_answer()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._stop_answer()
        self._answer = self.loop.call_later(self.patience, self._give_up)

    def _give_up(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # closing would wait until all is read

    def _stop_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_answer(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None


def connection(patience: float) -> type[asyncio.Protocol]:
    """Connections that wait for so many seconds."""
    return type("Connection", (Connection,), {"patience": patience})
