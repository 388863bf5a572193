"""A server that writes down between which moments it read and answered: ``python -m tests.kernel.timekeeper``.

One connection after another, each in a way of its own, named by the arguments.  On stdout its port, then a
JSON object a connection: its peer's port, and (before, after) of its first read and of its first write.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable

_LATE_S = 0.02
_MUCH = 16 << 20

Moments = tuple[int, int]


def _timed(deed: Callable[[], object]) -> Moments:
    before = time.monotonic_ns()
    deed()
    return before, time.monotonic_ns()


def _read(connection: socket.socket) -> Moments:
    time.sleep(_LATE_S)  # what came is old by then
    return _timed(lambda: connection.recv(65536))


def _peek_and_read(connection: socket.socket) -> Moments:
    connection.recv(65536, socket.MSG_PEEK)
    return _read(connection)


def _write(connection: socket.socket) -> Moments:
    time.sleep(_LATE_S)
    return _timed(lambda: connection.send(b"yes\n"))


def _write_with_more_to_come(connection: socket.socket) -> Moments:
    time.sleep(_LATE_S)
    moments = _timed(lambda: connection.send(b"no", socket.MSG_MORE))  # the kernel keeps it for 200 ms
    time.sleep(_LATE_S)
    connection.send(b"!\n")
    return moments


def _write_more_than_is_taken(connection: socket.socket) -> Moments:
    time.sleep(_LATE_S)
    connection.setblocking(False)
    return _timed(lambda: connection.send(bytes(_MUCH)))


#: Way → what is done first, and second.
WAYS: dict[str, tuple[Callable[[socket.socket], Moments], Callable[[socket.socket], Moments]]] = {
    "plain": (_read, _write),
    "peeked": (_peek_and_read, _write),
    "more": (_read, _write_with_more_to_come),
    "much": (_read, _write_more_than_is_taken),
    "greeting": (_write, _read),
}


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        for way in sys.argv[1:]:
            connection, peer = listening.accept()
            with connection:
                first, second = (deed(connection) for deed in WAYS[way])
                read, write = (second, first) if way == "greeting" else (first, second)
                print(json.dumps({"peer": peer[1], "read": read, "write": write}), flush=True)


if __name__ == "__main__":
    main()
