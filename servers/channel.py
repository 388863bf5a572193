"""Pass connections from an acceptor to another thread or process."""

import array
import json
import os
import select
import socket
import time
from abc import ABC, abstractmethod
from collections import deque

from .connection import Connection
from .errors import EXHAUSTED
from .stop import Stop

_MESSAGE_BYTES = 4096
_TAKE_AT_MOST = 64
_EXHAUSTED_PAUSE_S = 0.001


class Channel(ABC):
    """A channel from one acceptor to one worker; `fileno` is readable when connections are available."""

    ended = False
    """Seen by the worker: the acceptor has closed the channel."""

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor on which the worker waits."""

    @abstractmethod
    def give(self, connection: Connection, stop: Stop) -> bool:
        """Pass the connection on; return False if the worker has ended or the server stops."""

    @abstractmethod
    def take(self) -> list[Connection]:
        """Return the connections that were passed since the last call."""

    @abstractmethod
    def end(self) -> None:
        """Close the channel on the side of the acceptor."""

    def keep_taking_end(self, mine: bool) -> None:  # noqa: B027 (threads have nothing to let go of)
        """Close the descriptors of the acceptor, in a worker process."""

    def keep_giving_end(self) -> None:  # noqa: B027
        """Close the descriptors of the worker, in the process of the acceptor."""


class ThreadChannel(Channel):
    """A queue in memory and an eventfd to wake the reader."""

    def __init__(self) -> None:
        self._queue: deque[Connection | None] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._wake

    def give(self, connection: Connection, stop: Stop) -> bool:
        self._queue.append(connection)
        os.eventfd_write(self._wake, 1)
        return True

    def take(self) -> list[Connection]:
        os.eventfd_read(self._wake)  # first: what is queued from here on writes again
        taken = []
        while self._queue:
            connection = self._queue.popleft()
            if connection is None:
                self.ended = True
            else:
                taken.append(connection)
        return taken

    def end(self) -> None:
        self._queue.append(None)
        os.eventfd_write(self._wake, 1)


class ProcessChannel(Channel):
    """A Unix socket with message boundaries: each message is a descriptor and the id of its acceptor."""

    def __init__(self) -> None:
        self._giving, self._taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._giving.setblocking(False)
        self._taking.setblocking(False)

    def fileno(self) -> int:
        return self._taking.fileno()

    def give(self, connection: Connection, stop: Stop) -> bool:
        facts = [connection.local, connection.remote, connection.listener, connection.acceptor]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.sock.fileno()]))]
        waiting = select.poll()
        waiting.register(self._giving, select.POLLOUT)
        waiting.register(stop.fd, select.POLLIN)
        while True:
            try:
                self._giving.sendmsg([json.dumps(facts).encode()], rights)
            except BlockingIOError:  # the reader is behind: wait for it, as a full pipe would make us
                if any(descriptor == stop.fd for descriptor, _ in waiting.poll()):
                    return False
            except ConnectionError:
                return False
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                time.sleep(_EXHAUSTED_PAUSE_S)  # too many descriptors are on their way: let readers take some
            else:
                connection.sock.close()
                return True

    def take(self) -> list[Connection]:
        taken: list[Connection] = []
        while len(taken) < _TAKE_AT_MOST:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._taking, _MESSAGE_BYTES, 1)
            except BlockingIOError:
                break
            if not message:
                self.ended = True
                break
            if not descriptors:  # this process has no descriptor left: the kernel closed the connection
                continue
            local, remote, listener, acceptor = json.loads(message)
            sock = socket.socket(fileno=descriptors[0])
            taken.append(Connection(sock, local, remote, listener, tuple(acceptor)))
        return taken

    def end(self) -> None:
        self._giving.close()

    def keep_taking_end(self, mine: bool) -> None:
        self._giving.close()
        if not mine:
            self._taking.close()

    def keep_giving_end(self) -> None:
        self._taking.close()
