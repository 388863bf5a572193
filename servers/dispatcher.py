"""The thread that reads, and the queue of requests to its workers."""

import os
import select
import socket
import threading
from collections import deque
from functools import partial
from queue import Empty, SimpleQueue

from .connection import Acceptor, Connection
from .http1 import Request
from .loop import Loop
from .model import Context
from .service import CLOSE, PAUSE, Service, after_replies

_AHEAD = 64
_SEND_WITHIN_MS = 10_000


class Job:
    """The requests of one connection. One worker at a time processes them, so replies keep their order."""

    __slots__ = ("broken", "busy", "connection", "waiting", "wanted_back")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.waiting: deque[Request] = deque()
        self.busy = False  # a worker has it, or it is queued for one
        self.wanted_back = False  # the dispatcher must hear when it is no longer busy
        self.broken = False


class Dispatcher:
    """Accepts, reads and parses in the thread that runs it; the methods for workers are marked."""

    def __init__(self, context: Context, listener: socket.socket, workers_reply: bool) -> None:
        self._context = context
        self._workers_reply = workers_reply
        self._service = Service(context, worker=-1)
        self._jobs: dict[Connection, Job] = {}
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._returned: deque[tuple[Job, Request | None]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._loop = Loop(context.ledger, self._advance, closed=self._forget)
        self._loop.watch(listener.fileno(), partial(self._loop.accept_from, Acceptor(listener)))
        self._loop.watch(self._wake, self._take_back)
        self._loop.watch(context.stop.fd, self._loop.stop)

    def run(self) -> None:
        """Dispatch until the server stops."""
        self._loop.run()

    def dismiss(self, workers: int) -> None:
        """Let `next_job` return None in all workers; queued requests are dropped."""
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            for _ in range(workers):
                self._queue.put(None)

    def close(self) -> None:
        """Close every connection, after all workers have ended."""
        self._loop.close()

    def next_job(self) -> Job | None:
        """For workers: wait for a job; return None after the end."""
        return self._queue.get()

    def finish(self, job: Job, worker: Service) -> None:
        """For workers: finish the first request of the job, and reply or let the dispatcher reply."""
        request = job.waiting.popleft()
        if not self._workers_reply:
            self._give_back(job, request)
            return
        job.connection.queue(worker.reply(job.connection, request, reader=self._service.who))
        sent = self._send(job.connection, worker.who)
        with self._lock:
            if not sent:
                job.broken = job.wanted_back = True
                job.waiting.clear()
            more = bool(job.waiting)
            job.busy = more
            wanted_back = job.wanted_back
        if more:
            self._queue.put(job)
        elif wanted_back:
            self._give_back(job, None)

    def _give_back(self, job: Job, request: Request | None) -> None:
        self._returned.append((job, request))
        os.eventfd_write(self._wake, 1)

    def _send(self, connection: Connection, who: str) -> bool:
        waiting = select.poll()
        try:
            while not connection.flush(who):
                waiting.register(connection.sock, select.POLLOUT)
                waiting.register(self._context.stop.fd, select.POLLIN)
                ready = [descriptor for descriptor, _ in waiting.poll(_SEND_WITHIN_MS)]
                if not ready or self._context.stop.fd in ready:
                    return False
        except OSError:
            return False
        return True

    def _take_back(self) -> None:
        os.eventfd_read(self._wake)  # first: what is returned from here on writes again
        while self._returned:
            job, request = self._returned.popleft()
            if request is not None:
                reply = self._service.reply(job.connection, request, reader=self._service.who)
                job.connection.queue(reply)
                job.busy = False
            self._loop.resume(job.connection)

    def _advance(self, connection: Connection, events: int) -> int:
        job = self._jobs.get(connection)
        if job is None:
            job = self._jobs[connection] = Job(connection)
        try:
            if not self._workers_reply:
                connection.flush(self._service.who)
            if events & ~select.EPOLLOUT and not connection.ended:
                connection.receive(self._service.who)
            return self._share_out(job)
        except OSError:
            job.broken = True
            return self._share_out(job)

    def _forget(self, connection: Connection) -> None:
        self._jobs.pop(connection, None)  # it has none before its first event

    def _share_out(self, job: Job) -> int:
        connection = job.connection
        parsed: list[Request] = []
        while len(job.waiting) + len(parsed) < _AHEAD and (request := connection.next_request()) is not None:
            parsed.append(request)
        blocked = not self._workers_reply and connection.unsent > 0
        with self._lock:
            job.waiting.extend(parsed)
            full = len(job.waiting) >= _AHEAD
            start = not job.busy and not job.broken and not blocked and bool(job.waiting)
            job.busy = job.busy or start
            busy = job.busy
            job.wanted_back = job.broken or connection.ended or connection.refused or full
            pause = busy and job.wanted_back
        if start:
            self._queue.put(job)
        if pause:
            return PAUSE
        if busy:
            return select.EPOLLIN
        if job.broken:
            return CLOSE
        if blocked:
            return select.EPOLLOUT
        return after_replies(connection)
