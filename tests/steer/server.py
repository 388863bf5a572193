"""A SO_REUSEPORT server of N processes: GET /US blocks its worker for US microseconds.

    server.py PORT WORKERS [SLOW_US] [--join]

Worker 0 blocks for SLOW_US more per request, and for 400 ms at SIGUSR1.  SIGUSR2 to the parent starts one more
worker.  The reply names the worker.  The pids of the workers are printed, one line whenever they change.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

STALL_S = 0.4


def serve(port: int, index: int, slow_us: int) -> None:
    """Serve as one worker."""
    family = socket.AF_INET6 if "--v6" in sys.argv else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
    listener.listen(4096)
    listener.setblocking(False)
    events = select.epoll()
    events.register(listener.fileno(), select.EPOLLIN)
    open_connections: dict[int, socket.socket] = {}
    stall = False

    def on_stall(*_: object) -> None:
        nonlocal stall
        stall = True

    signal.signal(signal.SIGUSR1, on_stall)
    while True:
        try:
            ready = events.poll(0.05)
        except InterruptedError:
            ready = []
        if stall:
            stall = False
            time.sleep(STALL_S)
        for number, _ in ready:
            if number == listener.fileno():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                open_connections[connection.fileno()] = connection
                events.register(connection.fileno(), select.EPOLLIN)
                continue
            connection = open_connections[number]
            try:
                request = connection.recv(4096)
                if request:
                    work = int(request.split(b" ")[1].lstrip(b"/") or b"0") + slow_us
                    if work:
                        time.sleep(work / 1e6)
                    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Worker: %d\r\n\r\n" % index)
                if not request or b"close" in request:
                    events.unregister(number)
                    open_connections.pop(number).close()
            except OSError:
                events.unregister(number)
                open_connections.pop(number).close()


def main() -> None:
    """Start the workers and wait for signals."""
    port, workers = int(sys.argv[1]), int(sys.argv[2])
    slow_us = int(sys.argv[3]) if len(sys.argv) > 3 and sys.argv[3].isdecimal() else 0
    pids: list[int] = []

    def start(*_: object) -> None:
        index = len(pids)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            serve(port, index, slow_us if index == 0 else 0)
        pids.append(pid)

    def end(*_: object) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)

    for _ in range(workers):
        start()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGUSR2, start)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    time.sleep(0.2)
    print(*pids, flush=True)
    while True:
        signal.pause()
        print(*pids, flush=True)


if __name__ == "__main__":
    main()
