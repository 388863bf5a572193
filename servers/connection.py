"""One accepted connection and its accounting: the only module that calls recv() and send()."""

import errno
import os
import socket
import threading
import time
from typing import Any

from .errors import EXHAUSTED
from .http1 import Request, take_request
from .ledger import Ledger
from .linux import inode_of
from .listening import text_address

_READ_BYTES = 64 * 1024
_EXHAUSTED_PAUSE_S = 0.01


class Connection:
    """A non-blocking socket, its unserved and unsent bytes, and the byte counts per thread.

    Threads are named `pid/tid` with the kernel's thread id. Only calls that moved bytes make a reader
    or a writer; an end of file and an empty read are counted apart.
    """

    __slots__ = (
        "_empty_reads",
        "_eof_reads",
        "_inbox",
        "_outbox",
        "_readers",
        "_writers",
        "acceptor",
        "ended",
        "lingering",
        "listener",
        "local",
        "refused",
        "remote",
        "sock",
    )

    def __init__(
        self, sock: socket.socket, local: str, remote: str, listener: int, acceptor: tuple[int, int]
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.local = local
        self.remote = remote
        self.listener = listener
        self.acceptor = acceptor
        self.ended = False  # the client will send no more
        self.refused = False  # no further request will be answered
        self.lingering = False  # our half is closed; what still comes in is thrown away
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._readers: dict[str, list[int]] = {}
        self._writers: dict[str, list[int]] = {}
        self._eof_reads = 0
        self._empty_reads = 0

    def receive(self, who: str) -> bool:
        """Call recv() once for `who`; return False if nothing was readable. Raises OSError on a reset."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            self._empty_reads += 1
            return False
        if not data:
            self._eof_reads += 1
            self.ended = True
            return False
        _count(self._readers, who, len(data))
        if not self.lingering:
            self._inbox += data
        return True

    def next_request(self) -> Request | None:
        """Return the next complete request."""
        if self.refused or not self._inbox:
            return None
        request = take_request(self._inbox)
        if request is not None and not request.keep_alive:
            self.refused = True
        return request

    def queue(self, reply: bytes) -> None:
        """Queue `reply` for sending."""
        self._outbox += reply

    @property
    def unsent(self) -> int:
        """Return the number of unsent bytes."""
        return len(self._outbox)

    def flush(self, who: str) -> bool:
        """Call send() for `who` until all is sent; return False if the socket buffer is full."""
        while self._outbox:
            try:
                sent = self.sock.send(self._outbox)
            except BlockingIOError:
                return False
            _count(self._writers, who, sent)
            del self._outbox[:sent]
        return True

    def linger(self) -> None:
        """Shut down writing only: a close with unread bytes would send a reset, and the last reply could be lost."""
        self.sock.shutdown(socket.SHUT_WR)
        self.lingering = True
        self._inbox.clear()

    def close(self, ledger: Ledger) -> None:
        """Close the socket and write its counts to the ledger."""
        self.sock.close()
        if ledger.kept:
            ledger.add(self._account())

    def _account(self) -> dict[str, Any]:
        return {
            "local": self.local,
            "remote": self.remote,
            "listener": self.listener,
            "acceptor": self.acceptor,
            "readers": self._readers,
            "writers": self._writers,
            "eof_reads": self._eof_reads,
            "empty_reads": self._empty_reads,
        }


class Acceptor:
    """Accepts connections from one listener for the thread that created this object."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self._inode = inode_of(listener.fileno())
        self._identity = (os.getpid(), threading.get_native_id())

    def take(self) -> Connection | None:
        """Call accept() once; return None if no connection could be accepted."""
        try:
            sock, remote = self.listener.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EBADF):  # no longer a listener: the server ends
                raise
            if error.errno in EXHAUSTED:
                time.sleep(_EXHAUSTED_PAUSE_S)  # the listener stays readable: do not spin on it
            return None  # otherwise the client gave up while it was queued
        local = text_address(sock.getsockname())
        return Connection(sock, local, text_address(remote), self._inode, self._identity)


def _count(table: dict[str, list[int]], who: str, size: int) -> None:
    entry = table.get(who)
    if entry is None:
        table[who] = [1, size]
    else:
        entry[0] += 1
        entry[1] += size
