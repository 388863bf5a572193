"""Open-loop load: one connection per request, at times that do not depend on the replies.

A latency counts from the scheduled start, so that a slow server cannot slow the clock that measures it.
"""

from __future__ import annotations

import random
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

_GRACE_S = 10.0


@dataclass
class Outcome:
    """What the clients saw: latencies in seconds, errors, and (start, worker) of each reply."""

    latencies: list[float] = field(default_factory=list)
    replies: list[tuple[float, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def quantile(self, part: float) -> float:
        """Return a quantile of the latencies, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def by_worker(self) -> Counter[int]:
        """Return worker → replies."""
        return Counter(worker for _, worker in self.replies)


def run(
    address: tuple[str, int],
    rate: float,
    seconds: float,
    work: Callable[[random.Random], int],
    seed: int,
    path: str | None = None,
) -> Outcome:
    """Offer ``rate`` connections per second (Poisson).

    :param work: microseconds that a request asks its worker to block for
    :param path: request this path instead
    """
    rng = random.Random(seed)
    outcome = Outcome()
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, float, bool]] = {}
    begin = time.monotonic()
    due = begin + rng.expovariate(rate)
    while True:
        now = time.monotonic()
        while due <= now and due < begin + seconds:
            client = socket.socket(family)
            client.setblocking(False)
            client.connect_ex(address)
            waiting[client.fileno()] = (client, due, False)
            poll.register(client.fileno(), select.EPOLLOUT)
            due += rng.expovariate(rate)
        ending = due >= begin + seconds
        if ending and (not waiting or now > begin + seconds + _GRACE_S):
            break
        for number, event in poll.poll(0.2 if ending else max(0.0, min(due - time.monotonic(), 0.2))):
            client, since, sent = waiting[number]
            try:
                if not sent and event & select.EPOLLOUT:
                    wanted = path or f"/{work(rng)}"
                    client.send(f"GET {wanted} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                    waiting[number] = (client, since, True)
                    poll.modify(number, select.EPOLLIN)
                    continue
                reply = client.recv(65536)
                if not reply:
                    raise ConnectionError("closed without a reply")
                outcome.latencies.append(time.monotonic() - since)
                named = re.search(rb"X-Worker: (\d+)", reply)
                outcome.replies.append((since, int(named[1]) if named else -1))
            except OSError as error:
                outcome.errors.append(str(error))
            poll.unregister(number)
            del waiting[number]
            client.close()
    outcome.errors += ["no reply"] * len(waiting)
    for client, _, _ in waiting.values():
        client.close()
    poll.close()
    return outcome
