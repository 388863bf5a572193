"""Clients that keep books: what each connection sent and received, by its own end."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

REQUESTS = 3
_numbers = itertools.count()


class Wire:
    """One connection to a server on loopback; bytes are counted both ways."""

    def __init__(self, port: int, timeout_s: float = 20, own: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s, (own, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local = "{}:{}".format(*self.socket.getsockname()[:2])
        self.sent = self.received = 0
        self._left = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.sent += len(data)

    def until(self, mark: bytes) -> bytes:
        """Everything up to and with ``mark``."""
        while mark not in self._left:
            self._more()
        head, _, self._left = self._left.partition(mark)
        return head + mark

    def exactly(self, size: int) -> bytes:
        while len(self._left) < size:
            self._more()
        head, self._left = self._left[:size], self._left[size:]
        return head

    def to_the_end(self) -> bytes:
        try:
            while True:
                self._more()
        except ConnectionError:
            return self._left

    def close(self) -> None:
        """Close, and count what still was on its way: the server wrote it, so it must be booked."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            self.to_the_end()
        except OSError:  # the server was quicker
            pass
        self.socket.close()

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.received += len(data)
        self._left += data


@dataclass(frozen=True)
class Booked:
    """A connection as its client knows it."""

    local: str
    sent: int
    received: int


Talk = Callable[[Wire], None]


def drive(
    port: int, talk: Talk, connections: int, concurrency: int = 16, *, spread: bool = False
) -> list[Booked]:
    """So many connections, each talking once; ``concurrency`` at a time.

    :param spread: each from a loopback address of its own
    """
    books: list[Booked] = []
    lock = threading.Lock()

    def once(_: int) -> None:
        wire = Wire(port, own=_another_address()) if spread else Wire(port)
        try:
            talk(wire)
        finally:
            wire.close()
        with lock:
            books.append(Booked(wire.local, wire.sent, wire.received))

    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(once, range(connections)))
    return books


def _another_address() -> str:
    """Of 127.0.0.0/8, each handed out once."""
    number = next(_numbers)
    return f"127.1.{number // 250 % 250}.{number % 250 + 1}"


def http(wire: Wire) -> None:
    """Keep-alive requests, one after another."""
    for _ in range(REQUESTS):
        wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _response(wire)


def http_once(wire: Wire) -> None:
    """For servers that close after each answer."""
    wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b" 200 " in wire.to_the_end()


def _response(wire: Wire) -> None:
    head = wire.until(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0] + b" ", head
    names = {
        line.split(b":", 1)[0].strip().lower(): line.split(b":", 1)[1].strip()
        for line in head.split(b"\r\n")[1:]
        if b":" in line
    }
    if b"content-length" in names:
        wire.exactly(int(names[b"content-length"]))
        return
    while size := int(wire.until(b"\r\n"), 16):
        wire.exactly(size + 2)
    wire.exactly(2)


def memcached(wire: Wire) -> None:
    for number in range(REQUESTS):
        wire.send(b"set key%d 0 0 5\r\nvalue\r\n" % number)
        wire.until(b"STORED\r\n")


def redis(wire: Wire) -> None:
    for _ in range(REQUESTS):
        wire.send(b"*1\r\n$4\r\nPING\r\n")
        wire.until(b"+PONG\r\n")


def postgresql(wire: Wire) -> None:
    """Protocol 3.0: start-up without a password, then queries, then good-bye."""
    words = b"user\0postgres\0database\0postgres\0\0"
    wire.send(struct.pack("!II", 8 + len(words), 196608) + words)
    _until_ready(wire)
    for _ in range(REQUESTS):
        query = b"select 1\0"
        wire.send(b"Q" + struct.pack("!I", 4 + len(query)) + query)
        _until_ready(wire)
    wire.send(b"X\0\0\0\4")


def _until_ready(wire: Wire) -> None:
    while True:
        kind, length = struct.unpack("!cI", wire.exactly(5))
        text = wire.exactly(length - 4)
        assert kind != b"E", text
        if kind == b"Z":
            return


def dns(wire: Wire) -> None:
    """A name that is configured, asked over TCP (RFC 1035, 4.2.2)."""
    for _ in range(REQUESTS):
        question = b"\4name\4test\0" + struct.pack("!HH", 1, 1)
        message = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question
        wire.send(struct.pack("!H", len(message)) + message)
        (length,) = struct.unpack("!H", wire.exactly(2))
        answer = wire.exactly(length)
        assert struct.unpack("!H", answer[6:8]) == (1,), "no answer"


def ssh(wire: Wire) -> None:
    """Greetings both ways (RFC 4253, 4.2); the key exchange that the server begins is left there."""
    wire.until(b"\n")
    wire.send(b"SSH-2.0-test\r\n")
    (length,) = struct.unpack("!I", wire.exactly(4))
    wire.exactly(length)


def echo(wire: Wire) -> None:
    """The binary protocol of polling_dispatch.c: length, number, then as many bytes."""
    for number in range(REQUESTS):
        body = b"x" * 40
        wire.send(struct.pack("<II", len(body), number) + body)
        length, told = struct.unpack("<II", wire.exactly(8))
        assert told == number
        assert wire.exactly(length) == body
