"""``PORT RATE SECONDS SHAPE MEAN_US SEED``: connections arrive at random, each asks for a time, reads and closes.

``SHAPE`` is ``even``, ``heavy`` (log-normal, σ = 1) or ``mixed`` (one in twenty takes ten times as long).
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import sys
import time

_PATIENCE_S = 3.0


def draw(chance: random.Random, shape: str, mean_us: float) -> int:
    if shape == "heavy":
        return min(round(mean_us * chance.lognormvariate(-0.5, 1.0)), 500_000)
    if shape == "mixed":
        return round(mean_us / 1.45 * (10 if chance.random() < 0.05 else 1))
    return round(mean_us)


def main(port: int, rate: float, seconds: float, shape: str, mean_us: float, seed: int) -> None:
    chance = random.Random(seed)
    clients: dict[int, socket.socket] = {}
    due = begin = time.monotonic()
    with select.epoll() as epoll:
        while (now := time.monotonic()) < begin + seconds + (_PATIENCE_S if clients else 0):
            while due <= now and due < begin + seconds:
                due += chance.expovariate(rate)
                client = socket.socket()
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", port))
                clients[client.fileno()] = client
                epoll.register(client.fileno(), select.EPOLLOUT)
            for number, events in epoll.poll(
                max(due - time.monotonic(), 0) if due < begin + seconds else 0.1
            ):
                client = clients[number]
                try:
                    if events & select.EPOLLOUT:
                        path = draw(chance, shape, mean_us)
                        client.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
                        epoll.modify(number, select.EPOLLIN)
                        continue
                    if client.recv(65536):
                        continue
                except OSError:
                    pass
                epoll.unregister(number)
                clients.pop(number).close()


if __name__ == "__main__":
    words = sys.argv[1:]
    main(int(words[0]), float(words[1]), float(words[2]), words[3], float(words[4]), int(words[5]))
