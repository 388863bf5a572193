"""Small HTTP servers, each with one fault that the reference servers cannot have.

``python -m tests.diagnosis.faulty KIND``: says ``listening on ADDRESS:PORT`` and serves until SIGTERM.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_IN = select.EPOLLIN

Handle = Callable[[], bytes]


def listen(port: int = 0, *, reuseport: bool = False, backlog: int = 511) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuseport:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


def announce(listener: socket.socket) -> None:
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)


def fork(count: int, work: Callable[[int], None]) -> None:
    parent = os.getpid()
    for index in range(count):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            if os.getppid() == parent:
                work(index)
            os._exit(0)


def burn(microseconds: int) -> None:
    end = time.thread_time_ns() + microseconds * 1000
    while time.thread_time_ns() < end:
        hashlib.pbkdf2_hmac("sha256", b"a", b"b", 60)


class Loop:
    """Accepts and serves in one thread."""

    def __init__(self, listener: socket.socket | None, handle: Handle, events: int = _IN) -> None:
        self.listener, self.handle, self.events = listener, handle, events
        self.epoll = select.epoll()
        self.open: dict[int, socket.socket] = {}
        if listener is not None:
            self.epoll.register(listener.fileno(), _IN)

    def adopt(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.open[connection.fileno()] = connection
        self.epoll.register(connection.fileno(), self.events)

    def accept(self) -> bool:
        assert self.listener is not None
        try:
            self.adopt(self.listener.accept()[0])
        except BlockingIOError:
            return False
        return True

    def serve(self, number: int) -> None:
        connection = self.open.get(number)
        if connection is None:
            return
        try:
            asked = connection.recv(65536)
            reply = self.handle() if asked else b""
            if reply:
                connection.send(reply)
        except BlockingIOError:
            return
        except OSError:
            reply = b""
        if reply != _REPLY:
            self.open.pop(number).close()

    def run(self) -> None:
        while True:
            for number, _ in self.epoll.poll():
                if self.listener is not None and number == self.listener.fileno():
                    self.accept()
                else:
                    self.serve(number)


def plain() -> bytes:
    return _REPLY


def block() -> None:
    """One loop; each fortieth request waits for something slow, in the loop."""
    listener = listen()
    served = 0

    def handle() -> bytes:
        nonlocal served
        served += 1
        if served % 40 == 0:
            time.sleep(0.3)
        return _REPLY

    announce(listener)
    Loop(listener, handle).run()


def leak() -> None:
    """Two workers with a socket each; the parent keeps a third member open and never accepts."""
    members = [listen(reuseport=True)]
    members += [listen(members[0].getsockname()[1], reuseport=True) for _ in range(2)]

    def work(index: int) -> None:
        for other in range(3):
            if other != index:
                members[other].close()
        Loop(members[index], plain).run()

    fork(2, work)
    members[0].close()
    members[1].close()
    announce(members[2])
    signal.pause()


def prefork() -> None:
    """SO_REUSEPORT set, bound once, before the fork: all workers share one socket."""
    listener = listen(reuseport=True)
    fork(4, lambda _: Loop(listener, plain).run())
    announce(listener)
    signal.pause()


def slow_acceptor() -> None:
    """The acceptor works 4 ms for each connection; three readers have little to do."""
    listener = listen()
    loops = []
    for index in range(3):
        loop = Loop(None, plain)
        loops.append(loop)
        threading.Thread(target=loop.run, name=f"reader-{index}", daemon=True).start()
    announce(listener)
    turn = 0
    with select.epoll() as epoll:
        epoll.register(listener.fileno(), _IN)
        while True:
            epoll.poll()
            connection, _ = listener.accept()
            burn(4000)
            loops[turn % 3].adopt(connection)
            turn += 1


def slow_dispatcher() -> None:
    """One thread accepts, reads, and works 3 ms for each request; three threads only reply."""
    listener = listen()
    jobs: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

    def reply() -> None:
        while True:
            with contextlib.suppress(OSError):
                jobs.get().send(_REPLY)

    for _ in range(3):
        threading.Thread(target=reply, daemon=True).start()

    announce(listener)
    loop = Loop(listener, plain)
    while True:
        for number, _ in loop.epoll.poll():
            if number == listener.fileno():
                loop.accept()
                continue
            connection = loop.open[number]
            with contextlib.suppress(OSError):
                if connection.recv(65536):
                    burn(3000)
                    jobs.put(connection)
                    continue
            loop.open.pop(number).close()


def accept_lock() -> None:
    """Three workers share an accept lock, and its holder serves a request before it releases the lock."""
    listener = listen()
    lock = os.memfd_create("lock")

    def work(_: int) -> None:
        mine = os.open(f"/proc/self/fd/{lock}", os.O_RDWR)
        loop = Loop(listener, lambda: (time.sleep(0.06), _CLOSING)[1])  # type: ignore[func-returns-value]
        with select.epoll() as idle:
            while True:
                try:
                    fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    idle.poll(0.04)
                    continue
                for number, _ in loop.epoll.poll(0.5):
                    if number != listener.fileno():
                        loop.serve(number)
                    elif loop.accept():
                        for served, _ in loop.epoll.poll(0.5):
                            loop.serve(served)
                fcntl.flock(mine, fcntl.LOCK_UN)
                time.sleep(0.001)

    fork(3, work)
    announce(listener)
    signal.pause()


def keeper() -> None:
    """Three workers with a socket each; two close after a reply, one keeps connections open."""
    members = [listen(reuseport=True)]
    members += [listen(members[0].getsockname()[1], reuseport=True) for _ in range(2)]

    def work(index: int) -> None:
        for other in range(3):
            if other != index:
                members[other].close()
        Loop(members[index], (lambda: _REPLY) if index == 0 else (lambda: _CLOSING)).run()

    fork(3, work)
    announce(members[0])
    for member in members:
        member.close()
    signal.pause()


def late_reader() -> None:
    """Accepts at once, and reads only every quarter of a second."""
    listener = listen()
    loop = Loop(listener, plain)
    announce(listener)
    due = time.monotonic() + 0.25
    with select.epoll() as epoll:
        epoll.register(listener.fileno(), _IN)
        while True:
            if epoll.poll(max(due - time.monotonic(), 0)):
                loop.accept()
            if time.monotonic() >= due:
                due = time.monotonic() + 0.25
                for number, _ in loop.epoll.poll(0):
                    if number != listener.fileno():
                        loop.serve(number)


def rare_acceptor() -> None:
    """Accepts all that waits, but only three times a second."""
    listener = listen()
    loop = Loop(None, plain)
    loop.listener = listener
    announce(listener)
    due = time.monotonic() + 0.33
    while True:
        for number, _ in loop.epoll.poll(max(due - time.monotonic(), 0)):
            loop.serve(number)
        if time.monotonic() >= due:
            due = time.monotonic() + 0.33
            while loop.accept():
                pass


def always_writable() -> None:
    """Watches every connection for EPOLLOUT, which is true all the time."""
    listener = listen()
    announce(listener)
    Loop(listener, plain, _IN | select.EPOLLOUT).run()


def herd() -> None:
    """Eight workers; all are woken for each connection and look for it a moment later."""
    listener = listen()

    def work(_: int) -> None:
        loop = Loop(listener, plain)
        while True:
            for number, _ in loop.epoll.poll():
                if number == listener.fileno():
                    time.sleep(0.0005)
                    loop.accept()
                else:
                    loop.serve(number)

    fork(8, work)
    announce(listener)
    signal.pause()


def pool() -> None:
    """Sound: one acceptor, and a pool of threads that block in recv() for one connection at a time."""
    listener = listen()
    listener.setblocking(True)
    waiting: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

    def work() -> None:
        while True:
            with waiting.get() as connection:
                connection.setblocking(True)
                while connection.recv(65536):
                    connection.sendall(_REPLY)

    for _ in range(16):
        threading.Thread(target=work, daemon=True).start()
    announce(listener)
    while True:
        waiting.put(listener.accept()[0])


def timers() -> None:
    """Sound: one loop that wakes ten times a second for nothing."""
    listener = listen()
    announce(listener)
    loop = Loop(listener, plain)
    while True:
        for number, _ in loop.epoll.poll(0.1):
            if number == listener.fileno():
                while loop.accept():
                    pass
            else:
                loop.serve(number)


def crossing() -> None:
    """One acceptor on one CPU gives its connections to a reader on another."""
    listener = listen()
    listener.setblocking(True)
    waiting: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
    cpus = sorted(os.sched_getaffinity(0))

    def read() -> None:
        os.sched_setaffinity(0, cpus[-1:])
        while True:
            with waiting.get() as connection:
                connection.setblocking(True)
                while connection.recv(65536):
                    connection.sendall(_REPLY)

    for _ in range(4):
        threading.Thread(target=read, daemon=True).start()
    os.sched_setaffinity(0, cpus[:1])
    announce(listener)
    while True:
        waiting.put(listener.accept()[0])


KINDS: dict[str, Callable[[], None]] = {
    work.__name__.replace("_", "-"): work
    for work in (
        block, leak, prefork, slow_acceptor, slow_dispatcher, accept_lock, keeper, late_reader, rare_acceptor, always_writable, herd,
        pool, timers, crossing,
    )
}  # fmt: skip

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
