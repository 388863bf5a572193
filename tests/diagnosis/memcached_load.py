"""A load of memcached's text protocol: ``python -m tests.diagnosis.memcached_load PORT LIGHT HEAVY SIZE``.

LIGHT connections ask ten times a second for a small value; HEAVY ones ask without pause for values
of SIZE bytes, many at a time.  With a fifth word, connections come and go that many a second.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def main(port: int, light: int, heavy: int, size: int, rate: float) -> None:
    with connect(port) as first:
        first.sendall(b"set big 0 0 %d\r\n%s\r\nset small 0 0 2\r\nok\r\n" % (size, b"x" * size))
        first.recv(100)
    waiting = selectors.DefaultSelector()
    calm = []
    for index in range(light + heavy):
        sock = connect(port)
        # heavy ones come evenly among the others, so that several threads could get them
        if index * heavy // (light + heavy) != (index + 1) * heavy // (light + heavy):
            sock.sendall(_MANY)
            sock.setblocking(False)
            waiting.register(sock, selectors.EVENT_READ, 0)
        else:
            calm.append(sock)
        time.sleep(0.003)
    due, born = time.monotonic(), time.monotonic()
    while True:
        for key, _ in waiting.select(max(min(due, born if rate else due) - time.monotonic(), 0)):
            ready = key.fileobj
            assert isinstance(ready, socket.socket)
            got = key.data + len(ready.recv(1 << 20))
            if got >= _TIMES * size:
                ready.send(_MANY)
                got = 0
            waiting.modify(ready, selectors.EVENT_READ, got)
        if time.monotonic() >= due:
            due = time.monotonic() + 0.1
            for sock in calm:
                sock.send(b"get small\r\n")
                sock.recv(100)
        if rate and time.monotonic() >= born:
            born += 1 / rate
            with connect(port) as short:
                short.sendall(b"get small\r\n")
                short.recv(100)


_TIMES = 60
_MANY = b"get" + b" big" * _TIMES + b"\r\n"

if __name__ == "__main__":
    port, light, heavy, size = (int(word) for word in sys.argv[1:5])
    main(port, light, heavy, size, float(sys.argv[5]) if len(sys.argv) > 5 else 0)
