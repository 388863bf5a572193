"""Servers and a client that know, for each connection, which thread read how many bytes of it.

``python -m tests.faults.replying HOW [PORT]`` prints its port, reads once from each connection, answers
``PID TID BYTES``, and closes it.  HOW says by whom: ``one`` thread, a ``fork``, a new ``thread``, one
whose number is always the ``same``, or a thread that becomes another program (``exec``) every so often.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
_BETWEEN_EXECS = 50


class Answer(NamedTuple):
    """What the server said of a connection: the client's address, the reader, the number of bytes."""

    remote: str
    pid: int
    tid: int
    octets: int


def ask(port: int, octets: int, source_port: int = 0) -> Answer:
    """One connection; it ends with a reset when it comes from a port that is to be used again at once."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if source_port:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.bind(("127.0.0.1", source_port))
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        client.sendall(b"x" * octets)
        said = b""
        while not said.endswith(b"\n"):
            said += client.recv(100)
        pid, tid, read = map(int, said.split())
        assert read == octets
        return Answer(f"127.0.0.1:{client.getsockname()[1]}", pid, tid, octets)


def _answer(connection: socket.socket) -> None:
    with connection:
        octets = len(connection.recv(4096))
        connection.sendall(f"{os.getpid()} {threading.get_native_id()} {octets}\n".encode())


def _by_one(listener: socket.socket) -> None:
    while True:
        _answer(listener.accept()[0])


def _by_fork(listener: socket.socket) -> None:
    while True:
        connection = listener.accept()[0]
        if os.fork() == 0:
            _answer(connection)
            os._exit(0)
        connection.close()
        os.wait()


def _by_thread(listener: socket.socket) -> None:
    while True:
        thread = threading.Thread(target=_answer, args=(listener.accept()[0],))
        thread.start()
        thread.join()


def _by_same(listener: socket.socket) -> None:
    """As if thread numbers had come round after each connection: see pid_namespaces(7)."""
    wanted = int(_LAST_PID.read_text()) + 500
    while True:
        connection = listener.accept()[0]
        _LAST_PID.write_text(str(wanted))
        thread = threading.Thread(target=_answer, args=(connection,))
        thread.start()
        thread.join()


def _by_exec(listener: socket.socket) -> None:
    """A thread other than the first calls exec: it gets the number of the first, which is gone."""

    def become() -> None:
        os.set_inheritable(listener.fileno(), True)
        os.execv(sys.executable, [sys.executable, "-m", __spec__.name, "exec", f"={listener.fileno()}"])

    for _ in range(_BETWEEN_EXECS):
        _answer(listener.accept()[0])
    threading.Thread(target=become).start()
    threading.Event().wait()


HOW: dict[str, Callable[[socket.socket], None]] = {
    "one": _by_one,
    "fork": _by_fork,
    "thread": _by_thread,
    "same": _by_same,
    "exec": _by_exec,
}


def main(how: str, where: str = "0") -> None:
    if where.startswith("="):
        listener = socket.socket(fileno=int(where[1:]))
    else:
        listener = socket.create_server(("127.0.0.1", int(where)), backlog=256)
        print(listener.getsockname()[1], flush=True)
    HOW[how](listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
