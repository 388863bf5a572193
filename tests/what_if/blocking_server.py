"""``SHARING WORKERS BACKLOG``: workers block in accept(), and sleep as many microseconds as the path says.

``SHARING`` is ``shared`` (one socket) or ``reuseport`` (one per worker).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path


def listen(port: int, backlog: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(backlog)
    return listener


def serve(listener: socket.socket) -> None:
    while True:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError, ValueError, IndexError):
            path = client.recv(4096).split()[1]
            time.sleep(int(path[1:]) / 1e6)
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\nok")


def main(sharing: str, workers: int, backlog: int) -> None:
    listeners = [listen(0, backlog)]
    port = listeners[0].getsockname()[1]
    if sharing == "reuseport":
        listeners += [listen(port, backlog) for _ in range(workers - 1)]
    children = []
    for worker in range(workers):
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            mine = listeners[worker % len(listeners)]
            for other in listeners:
                if other is not mine:
                    other.close()
            serve(mine)
        children.append(child)
    for listener in listeners:
        listener.close()

    def end(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print(f"{Path(__file__).stem} listening on 127.0.0.1:{port}", flush=True)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
