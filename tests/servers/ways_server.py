"""A server that takes connections and bytes in one of many ways: ``ways_server.py WAY PORT``.

Every way sends back what it got, message by message, until the client closes.
"""

from __future__ import annotations

import ctypes
import os
import queue
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_ROOM = 4096


def main(way: str, port: int) -> None:
    if port < 0:  # executed anew, with the listener as descriptor -port
        serve_in_turn(socket.socket(fileno=-port), recv)
        return
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    WAYS[way](listener)


def serve_in_turn(listener: socket.socket, receive: Callable[[socket.socket], bytes]) -> None:
    """One thread, one connection after the other, blocking everywhere."""
    while True:
        connection, _ = listener.accept()
        answer(connection, receive)


def answer(connection: socket.socket, receive: Callable[[socket.socket], bytes]) -> None:
    with connection:
        while data := receive(connection):
            connection.sendall(data)


def recv(connection: socket.socket) -> bytes:
    return connection.recv(_ROOM)


def peeked(connection: socket.socket) -> bytes:
    seen = connection.recv(_ROOM, socket.MSG_PEEK)
    return connection.recv(len(seen)) if seen else b""


def readv(connection: socket.socket) -> bytes:
    parts = [bytearray(2), bytearray(_ROOM)]
    size = os.readv(connection.fileno(), parts)
    return bytes(b"".join(parts)[:size])


def recvmsg(connection: socket.socket) -> bytes:
    return connection.recvmsg(_ROOM)[0]


def recvmmsg(connection: socket.socket) -> bytes:
    buffer = ctypes.create_string_buffer(_ROOM)
    vector = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(buffer), _ROOM))
    # struct mmsghdr: a msghdr of 56 bytes, and the length received
    header = ctypes.create_string_buffer(
        struct.pack("@PIxxxxPNPNixxxxIxxxx", 0, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0)
    )
    if _libc.recvmmsg(connection.fileno(), header, 1, 0, None) != 1:
        raise OSError(ctypes.get_errno(), "recvmmsg")
    (size,) = struct.unpack_from("@I", header, 56)
    return buffer.raw[:size]


def spliced(connection: socket.socket) -> bytes:
    into, out_of = os.pipe()
    try:
        size = os.splice(connection.fileno(), out_of, _ROOM)
        return os.read(into, size) if size else b""
    finally:
        os.close(into)
        os.close(out_of)


def old_accept(listener: socket.socket) -> None:
    """accept(2), not accept4(2)."""
    while True:
        number = _libc.accept(listener.fileno(), None, None)
        answer(socket.socket(fileno=number), recv)


def sent_from_file(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection, open(os.memfd_create("answer"), "r+b") as file:
            at = 0
            while data := connection.recv(_ROOM):
                file.write(data)
                file.flush()
                at += os.sendfile(connection.fileno(), file.fileno(), at, len(data))


def moved_descriptors(listener: socket.socket) -> None:
    """Both sockets get other numbers; the old ones are closed."""
    moved = socket.socket(fileno=os.dup2(listener.detach(), 200))
    while True:
        connection, _ = moved.accept()
        number = os.dup2(connection.fileno(), 300)
        connection.close()
        answer(socket.socket(fileno=number), recv)


def executed(listener: socket.socket) -> None:
    """The listener survives exec; the process that listened is another program now."""
    os.set_inheritable(listener.fileno(), True)
    os.execv(sys.executable, [sys.executable, __file__, "executed", str(-listener.fileno())])


def passed(listener: socket.socket) -> None:
    """Descriptors go over a Unix socket to a process that is no child of the acceptor."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        if os.fork() == 0:  # an orphan, with a session of its own
            os.setsid()
            listener.close()
            ours.close()
            while True:
                _, numbers, _, _ = socket.recv_fds(theirs, 16, 1)
                if not numbers:
                    os._exit(0)
                answer(socket.socket(fileno=numbers[0]), recv)
        os._exit(0)
    os.wait()
    theirs.close()
    while True:
        connection, _ = listener.accept()
        with connection:
            socket.send_fds(ours, [b"take it"], [connection.fileno()])


def polled_apart(listener: socket.socket) -> None:
    """One thread accepts and waits for all; a pool reads and answers, whichever thread is free."""
    ready: queue.SimpleQueue[int] = queue.SimpleQueue()
    events = select.epoll()
    events.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    once = select.EPOLLIN | select.EPOLLONESHOT

    def work() -> None:
        while True:
            number = ready.get()
            connection = connections[number]
            if data := connection.recv(_ROOM):
                connection.sendall(data)
                events.modify(number, once)
            else:
                del connections[number]
                connection.close()

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    while True:
        for number, _ in events.poll():
            if number == listener.fileno():
                connection, _ = listener.accept()
                connections[connection.fileno()] = connection
                events.register(connection, once)
            else:
                ready.put(number)


def nested(listener: socket.socket) -> None:
    """An epoll inside an epoll, edge-triggered, the listener exclusive."""
    inner, outer = select.epoll(), select.epoll()
    outer.register(inner, select.EPOLLIN)
    listener.setblocking(False)
    inner.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    connections: dict[int, socket.socket] = {}
    while True:
        outer.poll()
        for number, _ in inner.poll(0):
            if number == listener.fileno():
                connection, _ = listener.accept()
                connection.setblocking(False)
                connections[connection.fileno()] = connection
                inner.register(connection, select.EPOLLIN | select.EPOLLET)
                continue
            try:
                while data := connections[number].recv(_ROOM):
                    connections[number].sendall(data)
                connections.pop(number).close()
            except BlockingIOError:
                pass


def selected(listener: socket.socket) -> None:
    everybody = {listener.fileno(): listener}
    while True:
        for number in select.select(list(everybody), [], [])[0]:
            if number == listener.fileno():
                connection, _ = listener.accept()
                everybody[connection.fileno()] = connection
            elif data := everybody[number].recv(_ROOM):
                everybody[number].sendall(data)
            else:
                everybody.pop(number).close()


def polled(listener: socket.socket) -> None:
    """poll(2): the listener and each connection are named anew in every call."""
    everybody = {listener.fileno(): listener}
    asked = select.poll()
    asked.register(listener, select.POLLIN)
    while True:
        for number, _ in asked.poll():
            if number == listener.fileno():
                connection, _ = listener.accept()
                everybody[connection.fileno()] = connection
                asked.register(connection, select.POLLIN)
            elif data := everybody[number].recv(_ROOM):
                everybody[number].sendall(data)
            else:
                asked.unregister(number)
                everybody.pop(number).close()


def deferred(listener: socket.socket) -> None:
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    serve_in_turn(listener, recv)


def fast_open(listener: socket.socket) -> None:
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
    serve_in_turn(listener, recv)


def _in_turn(receive: Callable[[socket.socket], bytes]) -> Callable[[socket.socket], None]:
    return lambda listener: serve_in_turn(listener, receive)


WAYS: dict[str, Callable[[socket.socket], None]] = {
    "recv": _in_turn(recv),
    "peek": _in_turn(peeked),
    "readv": _in_turn(readv),
    "recvmsg": _in_turn(recvmsg),
    "recvmmsg": _in_turn(recvmmsg),
    "splice": _in_turn(spliced),
    "old-accept": old_accept,
    "sendfile": sent_from_file,
    "dup2": moved_descriptors,
    "exec": executed,
    "scm-rights": passed,
    "poller": polled_apart,
    "nested-epoll": nested,
    "select": selected,
    "poll": polled,
    "defer-accept": deferred,
    "fast-open": fast_open,
}

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
