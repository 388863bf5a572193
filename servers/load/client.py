"""One connection of the load."""

import socket
from collections import Counter
from typing import Any

from ..listening import text_address
from .replies import Reply, first_reply

_READ_BYTES = 64 * 1024


class ClientError(Exception):
    """Why a connection failed, in a few words that can be counted."""


class Client:
    """A non-blocking client socket with at most one request in progress, and the ground truth of its replies."""

    __slots__ = (
        "_inbox",
        "_left_to_send",
        "_request",
        "acceptor",
        "begun",
        "bytes_received",
        "bytes_sent",
        "connected",
        "left",
        "listener",
        "local",
        "readers",
        "remote",
        "requests",
        "sock",
        "turn",
        "writers",
    )

    def __init__(self, sock: socket.socket, remote: str, requests: int, request: bytes, now: float) -> None:
        self.sock = sock
        self.remote = remote
        self.local = ""
        self.left = requests
        self.begun = now  # of the connect, then of each request
        self.turn = 0  # requests begun
        self.connected = False
        self.requests = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.acceptor = ""
        self.listener = 0
        self.readers: Counter[str] = Counter()
        self.writers: Counter[str] = Counter()
        self._request = request
        self._left_to_send = b""
        self._inbox = b""

    def begin_request(self, now: float) -> None:
        """Send the next request, or as much of it as the socket takes."""
        self.begun = now
        self.turn += 1
        self.left -= 1
        self._left_to_send = self._request
        self.send_rest()

    def send_rest(self) -> None:
        """Go on sending. Raises ClientError."""
        while self._left_to_send:
            try:
                sent = self.sock.send(self._left_to_send)
            except BlockingIOError:
                return
            except OSError as error:
                raise ClientError(_reason(error)) from error
            self.bytes_sent += sent
            self._left_to_send = self._left_to_send[sent:]

    def receive(self) -> Reply | None:
        """Take what is there; the reply when it is complete. Raises ClientError.

        Reads until a reply is complete or nothing is left: the events are edge-triggered.
        """
        while True:
            try:
                data = self.sock.recv(_READ_BYTES)
            except BlockingIOError:
                return None
            except OSError as error:
                raise ClientError(_reason(error)) from error
            if not data:
                raise ClientError("closed by the server")
            self.bytes_received += len(data)
            self._inbox = self._inbox + data if self._inbox else data
            try:
                reply = first_reply(self._inbox)
            except (KeyError, ValueError):
                raise ClientError("not a reply") from None
            if reply is not None and len(self._inbox) >= reply.size:
                return self._complete(reply)

    def _complete(self, reply: Reply) -> Reply:
        if len(self._inbox) > reply.size or self._left_to_send or self.requests + 1 != self.turn:
            raise ClientError("a reply that nobody asked for")
        self._inbox = b""
        self.requests += 1
        self.acceptor, self.listener = reply.acceptor, reply.listener
        self.readers[reply.reader] += 1
        self.writers[reply.writer] += 1
        if reply.status != 200:
            raise ClientError(f"status {reply.status}")
        return reply

    def still_at(self, turn: int) -> bool:
        """Whether the step of this number, 0 for the connect, is still under way."""
        return self.turn == turn and self.requests < max(turn, 1) and self.sock.fileno() >= 0

    def truth(self) -> dict[str, Any]:
        """The connection as its client saw it."""
        return {
            "local": self.local,
            "remote": self.remote,
            "requests": self.requests,
            "acceptor": self.acceptor,
            "readers": dict(self.readers),
            "writers": dict(self.writers),
            "listener": self.listener,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
        }

    def note_local_address(self) -> None:
        """Note our own address, which is known from the connect on."""
        self.local = text_address(self.sock.getsockname())


def _reason(error: OSError) -> str:
    return error.strerror.lower() if error.strerror else type(error).__name__
