"""The event loop that makes a load."""

import errno
import heapq
import os
import select
import socket
import time
from collections import deque

from ..linux import allow_many_descriptors
from ..listening import text_address
from .client import Client, ClientError
from .plan import Plan
from .replies import Reply
from .result import Result
from .totals import Totals

_IP_BIND_ADDRESS_NO_PORT = 24
_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
_START_AT_ONCE = 256


def run(plan: Plan) -> Result:
    """Make the load and say what came of it. Raises ServerError when the truth cannot be written."""
    allow_many_descriptors()
    with Totals(plan.truth) as totals, select.epoll() as epoll:
        return _Engine(plan, totals, epoll).run()


class _Engine:
    def __init__(self, plan: Plan, totals: Totals, epoll: select.epoll) -> None:
        self._plan = plan
        self._totals = totals
        self._epoll = epoll
        self._family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
        self._remote = text_address((plan.host, plan.port))
        self._request = f"GET / HTTP/1.1\r\nHost: {self._remote}\r\nUser-Agent: servers.load\r\n\r\n".encode()
        self._clients: dict[int, Client] = {}
        self._started = 0
        self._thinking: list[tuple[float, int, Client]] = []
        self._limits: deque[tuple[float, int, Client]] = deque()  # in order: every step has the same limit
        self._begin = time.perf_counter()
        self._end = self._begin + plan.duration_s

    def run(self) -> Result:
        while True:
            now = time.perf_counter()
            self._start_due(now)
            if not self._clients and self._no_more(now):
                return self._totals.result(time.perf_counter() - self._begin)
            for descriptor, events in self._epoll.poll(self._pause(now)):
                client = self._clients[descriptor]
                try:
                    self._advance(client, events)
                except ClientError as failure:
                    self._finish(client, str(failure))
            self._resume_thinkers()
            self._enforce_limits()

    def _no_more(self, now: float) -> bool:
        return self._started == self._plan.connections or now >= self._end

    def _next_start(self) -> float:
        return self._begin + self._started / self._plan.rate if self._plan.rate else self._begin

    def _pause(self, now: float) -> float:
        until = self._end if now < self._end else now + self._plan.timeout_s
        if self._limits:
            until = min(until, self._limits[0][0])
        if self._thinking:
            until = min(until, self._thinking[0][0])
        if not self._no_more(now) and len(self._clients) < self._plan.concurrency:
            until = min(until, self._next_start())
        return max(until - now, 0.0)

    def _start_due(self, now: float) -> None:
        for _ in range(_START_AT_ONCE):
            if len(self._clients) >= self._plan.concurrency or self._no_more(now) or self._next_start() > now:
                return
            self._start(self._started)
            self._started += 1

    def _start(self, index: int) -> None:
        try:
            sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._totals.not_connected(str(error.strerror).lower())
            return
        now = time.perf_counter()
        code = self._connect(sock, self._plan.source_of(index))
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            self._totals.not_connected(os.strerror(code).lower())
            return
        client = Client(sock, self._remote, self._plan.requests_of(index), self._request, now)
        self._clients[sock.fileno()] = client
        self._epoll.register(sock.fileno(), _EVENTS)
        self._limit(client)

    def _connect(self, sock: socket.socket, source: str | None) -> int:
        if source is not None:
            try:
                if self._family == socket.AF_INET:  # else a port is taken before the destination is known
                    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((source, 0))
            except OSError as error:
                return error.errno or errno.EINVAL
        return sock.connect_ex((self._plan.host, self._plan.port))

    def _advance(self, client: Client, events: int) -> None:
        now = time.perf_counter()
        if not client.connected:
            if events & (select.EPOLLERR | select.EPOLLHUP):
                code = client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                raise ClientError(os.strerror(code).lower() if code else "hung up")
            if not events & select.EPOLLOUT:
                return
            client.connected = True
            self._totals.connected(now - client.begun)
            if self._totals.wants_truth:
                client.note_local_address()
            self._ask(client, now)
            return
        client.send_rest()
        if events & ~select.EPOLLOUT:
            reply = client.receive()
            if reply is not None:
                self._answered(client, reply, now)

    def _answered(self, client: Client, reply: Reply, now: float) -> None:
        self._totals.answered(now - client.begun)
        if client.left == 0 or now >= self._end:
            self._finish(client)
        elif not reply.keep_alive:
            raise ClientError("closed by the server")
        elif self._plan.think_s:
            heapq.heappush(self._thinking, (now + self._plan.think_s, id(client), client))
        else:
            self._ask(client, now)

    def _ask(self, client: Client, now: float) -> None:
        client.begin_request(now)
        self._limit(client)

    def _limit(self, client: Client) -> None:
        self._limits.append((time.perf_counter() + self._plan.timeout_s, client.turn, client))

    def _resume_thinkers(self) -> None:
        now = time.perf_counter()
        while self._thinking and (self._thinking[0][0] <= now or now >= self._end):
            client = heapq.heappop(self._thinking)[2]
            if client.sock.fileno() < 0:
                continue
            if now >= self._end:
                self._finish(client)
                continue
            try:
                self._ask(client, now)
            except ClientError as failure:
                self._finish(client, str(failure))

    def _enforce_limits(self) -> None:
        now = time.perf_counter()
        while self._limits and self._limits[0][0] <= now:
            _, turn, client = self._limits.popleft()
            if client.still_at(turn):
                self._finish(client, "timed out")

    def _finish(self, client: Client, error: str | None = None) -> None:
        del self._clients[client.sock.fileno()]
        client.sock.close()  # nothing is unread after the last reply, so this is a FIN and not a reset
        self._totals.finished(client, error)
