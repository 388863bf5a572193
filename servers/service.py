"""What one thread does with a connection that is ready, whatever loop it waits in."""

import os
import select
import threading

from .connection import Connection
from .http1 import Request, render_reply
from .model import Context

CLOSE = 0
"""In place of events to wait for: nothing more will come of this connection."""

PAUSE = -1
"""Instead of events to wait for: ignore the connection until its loop is asked to resume it."""

_FLUSH_BYTES = 256 * 1024
_DRAIN_READS = 16


class Service:
    """Reads, works and answers in the calling thread (make it there: it takes that thread's identity).

    `drain` reads on until the socket is empty, as Memcached does; otherwise one read an event.
    """

    def __init__(self, context: Context, worker: int, drain: bool = False) -> None:
        self.context = context
        self.who = f"{os.getpid()}/{threading.get_native_id()}"
        self._work_us = context.work_of(worker)
        self._drain = drain

    def work(self) -> None:
        """Burn what one request costs this worker."""
        self.context.burner.burn(self._work_us)

    def reply(self, connection: Connection, request: Request, reader: str) -> bytes:
        """The reply to a request that `reader` read and that this thread will send."""
        acceptor = "{}/{}".format(*connection.acceptor)
        return render_reply(request, self.context.pid, acceptor, reader, self.who, connection.listener)

    def advance(self, connection: Connection, events: int) -> int:
        """Take the connection as far as it goes without waiting; the epoll events to wait for, or CLOSE."""
        try:
            return self._advance(connection, events)
        except OSError:  # reset by the client, or it no longer answers
            return CLOSE

    def _advance(self, connection: Connection, events: int) -> int:
        if not connection.flush(self.who):
            return select.EPOLLOUT
        if events & ~select.EPOLLOUT and not connection.ended:
            self._read(connection)
        while (request := connection.next_request()) is not None:
            self.work()
            connection.queue(self.reply(connection, request, self.who))
            if connection.unsent >= _FLUSH_BYTES and not connection.flush(self.who):
                return select.EPOLLOUT
        if not connection.flush(self.who):
            return select.EPOLLOUT
        return after_replies(connection)

    def _read(self, connection: Connection) -> None:
        for _ in range(_DRAIN_READS):
            if not connection.receive(self.who) or not self._drain:
                break


def after_replies(connection: Connection) -> int:
    """What a connection whose replies are all sent waits for next."""
    if connection.ended:
        return CLOSE
    if connection.refused and not connection.lingering:
        connection.linger()
    return select.EPOLLIN
