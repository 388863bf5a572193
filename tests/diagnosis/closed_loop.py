"""``PORT CLIENTS SECONDS PAUSE_MS FILE``: each client connects, asks, reads to the end, and begins again.

The file gets one list: milliseconds from connect() to the last byte, of each connection in its turn.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path

_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
_PATIENCE_S = 1.5


def main(port: int, clients: int, seconds: float, pause_s: float, file: Path) -> None:
    spent_ms: list[float] = []
    open_: dict[int, tuple[socket.socket, float]] = {}
    end = time.monotonic() + seconds
    with select.epoll() as epoll:

        def begin() -> None:
            client, begun = socket.socket(), time.monotonic()
            client.connect(("127.0.0.1", port))
            client.sendall(_REQUEST)
            epoll.register(client.fileno(), select.EPOLLIN)
            open_[client.fileno()] = client, begun

        for _ in range(clients):
            begin()
        # wait for the requests that are in progress at the end, so that slow ones count, but not indefinitely
        while open_ and time.monotonic() < end + _PATIENCE_S:
            for number, _ in epoll.poll(0.1):
                client, begun = open_[number]
                try:
                    more = client.recv(65536)
                except ConnectionResetError:
                    more = b""
                if more:
                    continue
                spent_ms.append((time.monotonic() - begun) * 1e3)
                epoll.unregister(number)
                del open_[number]
                client.close()
                time.sleep(pause_s)
                if time.monotonic() < end:
                    begin()
    file.write_text(json.dumps(spent_ms))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]) / 1e3, Path(sys.argv[5]))
