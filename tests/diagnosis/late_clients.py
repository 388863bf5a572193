"""``PORT NUMBER SECONDS``: clients that connect, wait, ask once, and connect again."""

from __future__ import annotations

import contextlib
import socket
import sys
import time


def main(port: int, number: int, seconds: float) -> None:
    while True:
        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(number)
            ]
            time.sleep(seconds)
            for client in clients:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                client.recv(4096)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
