"""Clients of a field case: connect, ask, hold, close, and count how it went for them.

``python -m tests.field.clients PORT [options]``; bounded in connections and time.  At SIGTERM, and when all is done,
one line of JSON: connections that were answered, reset, closed without a reply, refused, and those still waiting.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter

HTTP = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Clients:
    """A number of connections, so many at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.left = options.connections
        self.counts: Counter[str] = Counter()
        self.slow = 0
        self.longest = 0.0
        self._lock = threading.Lock()
        self._pending: dict[int, float] = {}

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._work, args=(index,), daemon=True)
            for index in range(self.options.parallel)
        ]
        for thread in threads:
            thread.start()
            time.sleep(self.options.ramp)
        for thread in threads:
            thread.join()

    def summary(self) -> dict[str, float]:
        now = time.monotonic()
        with self._lock:
            pending = [now - begin for begin in self._pending.values()]
            longest = max([self.longest, *pending])
            return {**self.counts, "pending": len(pending), "slow": self.slow, "longest_s": round(longest, 3)}

    def _work(self, index: int) -> None:
        while True:
            with self._lock:
                if self.left <= 0:
                    return
                self.left -= 1
            outcome = "error"
            try:
                outcome = self._one(index)
            except ConnectionResetError:
                outcome = "reset"
            except ConnectionRefusedError:
                outcome = "refused"
            except TimeoutError:
                outcome = "timeout"
            except OSError:
                outcome = "error"
            with self._lock:
                self.counts[outcome] += 1
                self._pending.pop(index, None)
            time.sleep(self.options.gap)

    def _one(self, index: int) -> str:
        options = self.options
        with socket.socket() as sock:
            sock.settimeout(options.timeout)
            sock.connect(("127.0.0.1", options.port))
            if options.silent:
                time.sleep(options.hold)
                return "silent"
            for _ in range(options.requests):
                begin = time.monotonic()
                with self._lock:
                    self._pending[index] = begin
                sock.sendall(options.send.encode().decode("unicode_escape").encode())
                if not sock.recv(65536):
                    return "closed"
                with self._lock:
                    self._pending.pop(index, None)
                    spent = time.monotonic() - begin
                    self.longest = max(self.longest, spent)
                    self.slow += spent >= 0.5
                time.sleep(options.think)
            time.sleep(options.hold)
        return "answered"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.field.clients")
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--requests", type=int, default=1)
    parser.add_argument("--send", default=HTTP)
    parser.add_argument("--silent", action="store_true", help="send nothing")
    parser.add_argument("--ramp", type=float, default=0.005, help="seconds between the first connections")
    parser.add_argument("--gap", type=float, default=0.0, help="seconds between connections of one client")
    parser.add_argument("--think", type=float, default=0.0, help="seconds after each reply")
    parser.add_argument("--hold", type=float, default=0.0, help="seconds before a connection is closed")
    parser.add_argument("--timeout", type=float, default=30.0)
    clients = Clients(parser.parse_args())

    def end(*_: object) -> None:
        print(json.dumps(clients.summary()), flush=True)
        sys.stdout.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=clients.run, daemon=True).start()
    while True:  # bounded by the case, and by this
        time.sleep(0.2)
        if not any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
            end()


if __name__ == "__main__":
    sys.exit(main())
