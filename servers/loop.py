"""The epoll loop of one thread."""

import select
import time
from collections.abc import Callable

from .connection import Acceptor, Connection
from .ledger import Ledger
from .service import CLOSE, PAUSE

LINGER_S = 2.0
"""Seconds that a client has to close its side after the last reply."""

Advance = Callable[[Connection, int], int]
"""Advances a connection as far as possible; returns the events to wait for, CLOSE or PAUSE."""


class Loop:
    """Waits for its connections and advances them; calls handlers for other descriptors.

    Level-triggered. A connection belongs to one loop for life, so nothing here needs a lock.
    `closed` hears of every connection that the loop has closed.
    """

    def __init__(
        self, ledger: Ledger, advance: Advance, closed: Callable[[Connection], None] | None = None
    ) -> None:
        self._ledger = ledger
        self._advance = advance
        self._closed = closed
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._connections: dict[int, Connection] = {}
        self._interest: dict[int, int] = {}
        self._lingering: dict[int, float] = {}
        self.running = True

    def watch(self, descriptor: int, handler: Callable[[], None], events: int = select.EPOLLIN) -> None:
        """Call `handler` whenever the descriptor is ready."""
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def unwatch(self, descriptor: int) -> None:
        """Stop watching a descriptor."""
        self._epoll.unregister(descriptor)
        del self._handlers[descriptor]

    def stop(self) -> None:
        """End `run` after the current events."""
        self.running = False

    def adopt(self, connection: Connection) -> None:
        """Start to serve this connection."""
        descriptor = connection.sock.fileno()
        self._connections[descriptor] = connection
        self._interest[descriptor] = select.EPOLLIN
        self._epoll.register(descriptor, select.EPOLLIN)

    def accept_from(self, acceptor: Acceptor, at_most: int = 1) -> None:
        """Adopt up to `at_most` waiting connections."""
        for _ in range(at_most):
            connection = acceptor.take()
            if connection is None:
                return
            self.adopt(connection)

    def run(self) -> None:
        """Serve until stopped."""
        while self.running:
            self.handle(self.wait())

    def wait(self, timeout_s: float | None = None) -> list[tuple[int, int]]:
        """Call epoll_wait once; return pairs of descriptor and events."""
        if self._lingering:
            self._drop_lingerers()
            timeout_s = LINGER_S if timeout_s is None else min(timeout_s, LINGER_S)
        return self._epoll.poll(timeout_s)

    def handle(self, ready: list[tuple[int, int]]) -> None:
        """Serve the events that `wait` returned."""
        for descriptor, events in ready:
            connection = self._connections.get(descriptor)
            if connection is not None:
                self._serve(descriptor, connection, events)
            elif descriptor in self._handlers:
                self._handlers[descriptor]()

    def close(self) -> None:
        """Close every connection, so that the ledger includes open ones."""
        for descriptor in list(self._connections):
            self._drop(descriptor)
        self._epoll.close()

    def resume(self, connection: Connection) -> None:
        """Advance a paused connection; ignore one that is closed."""
        descriptor = connection.sock.fileno()
        if self._connections.get(descriptor) is connection:
            self._serve(descriptor, connection, 0)

    def _serve(self, descriptor: int, connection: Connection, events: int) -> None:
        wanted = self._advance(connection, events)
        if wanted == CLOSE:
            self._drop(descriptor)
            return
        if connection.lingering:
            self._lingering.setdefault(descriptor, time.monotonic() + LINGER_S)
        before = self._interest[descriptor]
        if wanted == before:
            return
        self._interest[descriptor] = wanted
        if wanted == PAUSE:
            self._epoll.unregister(descriptor)  # an empty mask would still report a hang-up, again and again
        elif before == PAUSE:
            self._epoll.register(descriptor, wanted)
        else:
            self._epoll.modify(descriptor, wanted)

    def _drop(self, descriptor: int) -> None:
        connection = self._connections.pop(descriptor)
        self._lingering.pop(descriptor, None)
        if self._interest.pop(descriptor) != PAUSE:
            # Closing is not enough: an acceptor process that passed the socket may still have it open.
            self._epoll.unregister(descriptor)
        connection.close(self._ledger)
        if self._closed is not None:
            self._closed(connection)

    def _drop_lingerers(self) -> None:
        now = time.monotonic()
        for descriptor in [d for d, until in self._lingering.items() if until <= now]:
            self._drop(descriptor)
