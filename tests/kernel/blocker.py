"""A single-threaded server that blocks in known ways, and counts the time of each with its own clock.

``python -m tests.kernel.blocker DIRECTORY`` prints its ledger, a JSON object per line, when asked by a line.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable

BLOCK_S = 0.06
_IDLE_S = 0.1


def main() -> None:
    directory = sys.argv[1]
    listener = socket.create_server(("127.0.0.1", 0))
    upstream_listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    upstream = socket.create_connection(upstream_listener.getsockname())
    backend, _ = upstream_listener.accept()
    port = listener.getsockname()[1]
    upstream_port = upstream.getpeername()[1]
    upstream_listener.close()
    reader, writer = os.pipe()
    mutex = threading.Lock()
    log = open(f"{directory}/app.log", "wb", buffering=0)  # noqa: SIM115
    locked = open(f"{directory}/app.lock", "wb")  # noqa: SIM115
    loop = select.epoll()
    loop.register(listener, select.EPOLLIN)

    def later(action: Callable[[], object]) -> None:
        threading.Thread(target=lambda: (time.sleep(BLOCK_S), action())).start()

    def sleep_in_handler() -> None:
        time.sleep(BLOCK_S)

    def take_lock() -> None:
        mutex.acquire()
        later(mutex.release)
        mutex.acquire()
        mutex.release()

    def take_file_lock() -> None:
        other = open(f"{directory}/app.lock", "wb")  # noqa: SIM115
        fcntl.flock(other, fcntl.LOCK_EX)
        later(other.close)
        fcntl.flock(locked, fcntl.LOCK_EX)
        fcntl.flock(locked, fcntl.LOCK_UN)

    def read_pipe() -> None:
        later(lambda: os.write(writer, b"x"))
        os.read(reader, 1)

    def read_client() -> None:
        later(lambda: client.send(b"x"))
        accepted.recv(1)

    def ask_upstream() -> None:
        later(lambda: backend.send(b"x"))
        upstream.settimeout(5)  # poll() and then recv()
        upstream.recv(1)

    def write_log() -> None:
        log.write(b"x" * 100_000)
        os.fsync(log.fileno())

    def burn() -> None:
        end = time.process_time() + BLOCK_S
        while time.process_time() < end:
            pass

    def wait_for_work() -> None:
        loop.poll(_IDLE_S)

    ways = (
        sleep_in_handler,
        take_lock,
        take_file_lock,
        read_pipe,
        read_client,
        ask_upstream,
        write_log,
        burn,
    )
    ledger = {way.__name__: 0.0 for way in (*ways, wait_for_work)}
    print(json.dumps({"port": port, "upstream": upstream_port}), flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    for _ in range(4):
        for way in (*ways, wait_for_work):
            before = time.monotonic()
            way()
            ledger[way.__name__] += time.monotonic() - before
    print(json.dumps(ledger | {"total": time.monotonic() - begin}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
