"""Simulate the connections of one server in event order.

Every connection arrives in an accept queue, is accepted by a worker, read, processed and answered.  Workers
are event loops (they accept a burst, then serve what was ready when the turn began) or run each connection to
completion.  The CPUs are shared by processor sharing among the workers that need one.  A full accept queue
drops the handshake, and the client repeats its SYN after 1, 2, 4, … seconds, as Linux does.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

Sharing = Literal["shared", "reuseport", "handoff", "dispatch"]
#: Which idle worker of a shared queue is woken; which member or reader gets a connection.
Choice = Literal["fifo", "lifo", "hash", "least-loaded", "round-robin", "least"]

#: Linux: tcp_syn_retries is 6, the first retransmission comes after one second.
SYN_RETRIES = 6
SYN_RETRY_S = 1.0

_RETRY, _DATA, _UNBLOCKED, _CLIENT = range(4)


@dataclass(frozen=True)
class Work:
    """What arrives: one entry per connection, times in seconds, sorted by ``arrivals``.

    ``data_delay`` is established → bytes readable, ``cpu`` and ``blocked`` the demand of the request,
    ``hashes`` the position of its 4-tuple's hash between 0 and 1.  ``overhead`` is CPU time per connection
    beside the requests (accept, close).  A connection has ``requests`` requests of the same demand; each but the
    first is sent ``pause`` seconds after the reply to the one before.
    """

    arrivals: Floats
    data_delay: Floats
    cpu: Floats
    blocked: Floats
    hashes: Floats
    requests: np.ndarray[Any, np.dtype[np.int64]]
    pause: float = 0.0
    overhead: float = 0.0


def take_first(work: Work, count: int) -> Work:
    """Return the first ``count`` connections."""
    return replace(
        work,
        arrivals=work.arrivals[:count],
        data_delay=work.data_delay[:count],
        cpu=work.cpu[:count],
        blocked=work.blocked[:count],
        hashes=work.hashes[:count],
        requests=work.requests[:count],
    )


@dataclass(frozen=True)
class Setup:
    """How the work is shared.

    ``backlog`` is the limit of each accept queue.  ``clients`` is 0 for an open loop (connections arrive when
    they were recorded), otherwise the number of clients of a closed loop, each of which connects again
    ``think`` seconds after its reply.  ``speeds`` divides the demand on each worker; empty: all are equal.
    """

    sharing: Sharing
    choice: Choice
    workers: int
    backlog: int = 4096
    cpus: float = float("inf")
    event_loop: bool = True
    burst: int = 1
    clients: int = 0
    think: float = 0.0
    speeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Run:
    """What happened to each connection, in seconds; NaN: never.

    ``begun`` is the first SYN, ``established`` the moment at which it entered the accept queue.
    ``read`` and ``replied`` are those of the first request, ``finished`` is the last reply.  ``data_waits`` and
    ``replies`` have one entry per request: readable → read, and read → replied.
    ``in_system`` is the time integral of the number of connections between ``begun`` and ``finished``.
    """

    begun: Floats
    established: Floats
    readable: Floats
    accepted: Floats
    read: Floats
    replied: Floats
    finished: Floats
    data_waits: Floats
    replies: Floats
    worker: np.ndarray[Any, np.dtype[np.int32]]
    busy: tuple[float, ...]
    queue_max: int
    overflows: int
    failed: int
    span: float
    in_system: float
    cpu_elapsed: float


def simulate(work: Work, setup: Setup) -> Run:
    """Run every connection of ``work`` and return when each step happened."""
    return _Simulation(work, setup).run()


class _Simulation:
    def __init__(self, work: Work, setup: Setup) -> None:
        self.setup = setup
        count, workers = len(work.arrivals), setup.workers
        self.count = count
        self.arrivals: list[float] = work.arrivals.tolist()
        self.delay: list[float] = work.data_delay.tolist()
        self.cpu: list[float] = work.cpu.tolist()
        self.blocked: list[float] = work.blocked.tolist()
        self.overhead = work.overhead
        self.member: Sequence[int] = np.minimum(
            (work.hashes * workers).astype(np.int64), workers - 1
        ).tolist()
        self.speeds = setup.speeds or (1.0,) * workers
        nothing = float("nan")
        self.begun, self.established = [nothing] * count, [nothing] * count
        self.readable, self.accepted = [nothing] * count, [nothing] * count
        self.read, self.replied = [nothing] * count, [nothing] * count
        self.finished = [nothing] * count
        self.left: list[int] = (work.requests - 1).tolist()
        self.pause = work.pause
        self.sent, self.read_at = [nothing] * count, [nothing] * count
        self.data_waits: list[float] = []
        self.replies: list[float] = []
        self.served_by = [-1] * count
        self.own_queue = setup.sharing == "reuseport"
        self.pushed = setup.sharing == "handoff"
        self.queues: list[deque[int]] = [deque() for _ in range(workers if self.own_queue else 1)]
        self.ready: list[deque[int]] = [deque() for _ in range(workers)]
        self.batch: list[deque[int]] = [deque() for _ in range(workers)]
        self.holding = [0] * workers
        self.is_idle = [True] * workers
        self.idle: deque[int] = deque(range(workers))
        self.busy, self.busy_since = [0.0] * workers, [0.0] * workers
        self.timers: list[tuple[float, int, int, int, int]] = []
        self.sequence = 0
        self.on_cpu: list[tuple[float, int, int, int]] = []  # (virtual end, worker, connection, phase)
        self.virtual = 0.0
        self.now = 0.0
        self.cpu_started = [0.0] * workers
        self.cpu_elapsed = 0.0
        self.turn = 0
        self.next_job = 0
        self.queue_max = self.overflows = self.failed = self.inside = 0
        self.in_system = 0.0
        # a hand-off acceptor and a dispatcher take connections at once: their queue never fills
        self.unlimited = setup.sharing in ("handoff", "dispatch")

    def run(self) -> Run:
        timers, on_cpu, cpus = self.timers, self.on_cpu, self.setup.cpus
        is_closed = self.setup.clients > 0
        starting = min(self.setup.clients, self.count) if is_closed else self.count
        position, arrivals = 0, self.arrivals
        self.next_job = starting
        infinity = float("inf")
        while True:
            arrival = arrivals[position] if position < starting else infinity
            timer = timers[0][0] if timers else infinity
            active = len(on_cpu)
            if active:
                rate = 1.0 if active <= cpus else cpus / active
                finish = self.now + max(on_cpu[0][0] - self.virtual, 0.0) / rate
            else:
                rate, finish = 1.0, infinity
            now = min(arrival, timer, finish)
            if now == infinity:
                break
            passed = now - self.now
            if passed > 0:
                self.in_system += passed * self.inside
                if active:
                    self.virtual += passed * rate
                self.now = now
            if finish <= now:
                end, worker, job, phase = heapq.heappop(on_cpu)
                self.virtual = max(self.virtual, end)
                self._after_cpu(worker, job, phase)
            elif timer <= now:
                _, _, kind, job, extra = heapq.heappop(timers)
                if kind == _UNBLOCKED:
                    self._start_cpu(extra, job, 0, self.cpu[job] / self.speeds[extra])
                elif kind == _DATA:
                    self._data_arrived(job, extra)
                elif kind == _CLIENT:
                    self._arrive(job, 0)
                else:
                    self._arrive(job, extra)
            else:
                self._arrive(position, 0)
                position += 1
        return self._result()

    def _result(self) -> Run:
        for worker in range(self.setup.workers):
            if not self.is_idle[worker]:
                self.busy[worker] += self.now - self.busy_since[worker]
        first = self.arrivals[0] if self.arrivals else 0.0
        return Run(
            np.array(self.begun),
            np.array(self.established),
            np.array(self.readable),
            np.array(self.accepted),
            np.array(self.read),
            np.array(self.replied),
            np.array(self.finished),
            np.array(self.data_waits),
            np.array(self.replies),
            np.array(self.served_by, np.int32),
            tuple(self.busy),
            self.queue_max,
            self.overflows,
            self.failed,
            max(self.now - first, 0.0),
            self.in_system,
            self.cpu_elapsed,
        )

    def _after(self, seconds: float, kind: int, job: int, extra: int) -> None:
        self.sequence += 1
        heapq.heappush(self.timers, (self.now + seconds, self.sequence, kind, job, extra))

    def _arrive(self, job: int, attempts: int) -> None:
        """A SYN: enter an accept queue, or be dropped because it is full."""
        if not attempts:
            self.begun[job] = self.now
            self.inside += 1
        target = self._target(job)
        queue = self.queues[target if self.own_queue else 0]
        if len(queue) > self.setup.backlog and not self.unlimited:
            self.overflows += 1
            if attempts >= SYN_RETRIES:
                self.failed += 1
                self._leave()
            else:
                self._after(SYN_RETRY_S * 2**attempts, _RETRY, job, attempts + 1)
            return
        self.established[job] = self.now
        self.readable[job] = self.sent[job] = self.now + self.delay[job]
        if self.pushed:
            self._take(job, target)
            return
        queue.append(job)
        self.queue_max = max(self.queue_max, len(queue))
        if self.own_queue:
            if self.is_idle[target]:
                self._wake(target)
        elif self.idle:
            self._wake(self.idle.pop() if self.setup.choice == "lifo" else self.idle.popleft())

    def _target(self, job: int) -> int:
        """The member of a SO_REUSEPORT group, or the reader, that gets a connection."""
        choice = self.setup.choice
        if choice == "hash":
            return self.member[job]
        if choice == "round-robin":
            self.turn += 1
            return (self.turn - 1) % self.setup.workers
        if choice in ("least-loaded", "least"):
            self.turn += 1
            workers = self.setup.workers
            order = ((self.turn + each) % workers for each in range(workers))  # no favourite among equals
            if self.own_queue:
                return min(order, key=lambda each: self.holding[each] + len(self.queues[each]))
            return min(order, key=self.holding.__getitem__)
        return 0

    def _take(self, job: int, worker: int) -> None:
        """A worker owns a connection from now on; it is served when its bytes are there."""
        self.accepted[job] = self.now
        self.served_by[job] = worker
        self.holding[worker] += 1
        if self.readable[job] > self.now:
            self._after(self.readable[job] - self.now, _DATA, job, worker)
        else:
            self._make_ready(job, worker)

    def _data_arrived(self, job: int, worker: int) -> None:
        if self.setup.event_loop or self.pushed:
            self._make_ready(job, worker)
        else:
            self._serve(worker, job)  # the worker was blocked in read()

    def _make_ready(self, job: int, worker: int) -> None:
        self.ready[worker].append(job)
        if self.is_idle[worker]:
            if not self.own_queue and not self.pushed:
                self.idle.remove(worker)
            self._wake(worker)

    def _wake(self, worker: int) -> None:
        self.is_idle[worker] = False
        self.busy_since[worker] = self.now
        self._next_turn(worker)

    def _next_turn(self, worker: int) -> None:
        """epoll_wait returns: accept, then serve what was ready; or take one connection to its end."""
        queue = self.queues[worker if self.own_queue else 0]
        if not self.setup.event_loop and not self.pushed:
            if queue:
                job = queue.popleft()
                self.accepted[job] = self.now
                self.served_by[job] = worker
                self.holding[worker] += 1
                if self.readable[job] > self.now:
                    self._after(self.readable[job] - self.now, _DATA, job, worker)
                else:
                    self._serve(worker, job)
                return
            self._sleep(worker)
            return
        while True:
            found = self.ready[worker]
            self.ready[worker] = deque()
            for _ in range(min(self.setup.burst, len(queue))):
                self._take(queue.popleft(), worker)
            if found:
                self.batch[worker] = found
                self._serve(worker, found.popleft())
                return
            if not self.ready[worker] and not queue:
                self._sleep(worker)
                return

    def _sleep(self, worker: int) -> None:
        self.is_idle[worker] = True
        self.busy[worker] += self.now - self.busy_since[worker]
        if not self.own_queue and not self.pushed:
            self.idle.append(worker)

    def _serve(self, worker: int, job: int) -> None:
        if self.read[job] != self.read[job]:  # NaN: its first request
            self.read[job] = self.now
        self.read_at[job] = self.now
        self.data_waits.append(self.now - self.sent[job])
        if self.blocked[job] > 0:
            self._after(self.blocked[job] / self.speeds[worker], _UNBLOCKED, job, worker)
        else:
            self._start_cpu(worker, job, 0, self.cpu[job] / self.speeds[worker])

    def _start_cpu(self, worker: int, job: int, phase: int, demand: float) -> None:
        self.cpu_started[worker] = self.now
        heapq.heappush(self.on_cpu, (self.virtual + demand, worker, job, phase))

    def _after_cpu(self, worker: int, job: int, phase: int) -> None:
        self.cpu_elapsed += self.now - self.cpu_started[worker]
        if phase == 0:
            self.replies.append(self.now - self.read_at[job])
            if self.replied[job] != self.replied[job]:
                self.replied[job] = self.now
            if self.left[job]:
                self.left[job] -= 1
                self.sent[job] = self.now + self.pause
                self._after(self.pause, _DATA, job, worker)
                if self.setup.event_loop or self.pushed:
                    self._go_on(worker)
                return  # otherwise the worker blocks in read() until the next request
            self.finished[job] = self.now
            self._leave()
            if self.overhead > 0:
                self._start_cpu(worker, job, 1, self.overhead)
                return
        self.holding[worker] -= 1
        self._go_on(worker)

    def _go_on(self, worker: int) -> None:
        if self.batch[worker]:
            self._serve(worker, self.batch[worker].popleft())
        else:
            self._next_turn(worker)

    def _leave(self) -> None:
        """A client has its last reply, or gave up; in a closed loop it connects again."""
        self.inside -= 1
        if self.setup.clients and self.next_job < self.count:
            self._after(self.setup.think, _CLIENT, self.next_job, 0)
            self.next_job += 1
