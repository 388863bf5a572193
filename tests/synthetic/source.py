"""A server that never was: batches from a seed, the same each time, without a kernel or root.

For tests and pictures.  Connections are drawn tick by tick with their whole life planned (when
accepted, read, answered, closed); what lies in the past of a tick's end goes into its batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sockscope.records.batch import OWNER, QUEUE, WAKE, Batch, HostCounters, Meta
from sockscope.records.histogram import EDGES
from sockscope.records.layout import BUCKETS, CONNECTION, LISTENER, WORKER, ConnectionFlag, WorkerFlag
from tests.synthetic import host
from tests.synthetic.scenario import NETNS, PROGRAMS, START_NS, Scenario

Array = np.ndarray[Any, np.dtype[Any]]

_EPOLL_WAIT = 232
_MAPPED = np.frombuffer(b"\0" * 10 + b"\xff\xff", np.uint8)
_MOMENTS = ("accepted_ns", "first_data_ns", "first_read_ns", "first_write_ns", "closed_ns")


class SyntheticSource:
    """Batches of one scenario, one a tick; the first is of the moment tracing began."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._random = np.random.default_rng(scenario.seed)
        self._tick = 0
        self._next_id = 1
        self._open = np.empty(0, CONNECTION)
        self._plan = np.empty((0, len(_MOMENTS)), np.int64)
        self._worker = np.zeros(_threads(scenario), WORKER)
        self._listener = np.zeros(scenario.workers if scenario.kind == "reuseport" else 1, LISTENER)
        self._lost = 0
        self._dropped = 0.0
        self._wakes = np.zeros(scenario.workers, np.int64)
        self._cpu = np.zeros(len(self._worker))
        self._born()

    @property
    def meta(self) -> Meta:
        return host.meta_of(self.scenario)

    def batches(self, ticks: int) -> Iterator[Batch]:
        for _ in range(ticks):
            yield self.batch()

    def batch(self) -> Batch:
        """The next tick."""
        scenario = self.scenario
        self._tick += 1
        now = START_NS + (self._tick - 1) * scenario.interval_ns
        gone = scenario.gone_at is not None and self._tick > scenario.gone_at
        new = (
            0
            if gone or self._tick == 1
            else int(self._random.poisson(scenario.rate * scenario.interval_ns / 1e9))
        )
        self._arrive(new, now)
        if gone:
            self._plan[:, -1] = np.where(self._plan[:, -1] > 0, np.minimum(self._plan[:, -1], now), now)
        closed = self._pass_time(now)
        self._work(now, gone)
        still = self._open.copy()
        self._forget_future(still)
        self._lost += scenario.lost if self._tick > 1 else 0
        return Batch(
            time_ns=now,
            connections=np.concatenate([closed, still]),
            workers=self._worker.copy(),
            listeners=self._listener.copy(),
            wakes=host.wakes(self._worker, self._wakes) if scenario.kind == "dispatch" else np.empty(0, WAKE),
            owners=np.empty(0, OWNER) if gone else host.owners(scenario, self._worker, self._listener),
            queues=np.empty(0, QUEUE) if gone else host.queues(scenario, self._listener),
            threads=host.threads(self._worker),
            processes=host.processes(scenario, self._worker),
            hosts=(HostCounters(NETNS, int(self._dropped), int(self._dropped), 4096),),
            health=host.health(self._worker, self._lost, now),
            final=gone,
        )

    def _born(self) -> None:
        scenario, worker, listener = self.scenario, self._worker, self._listener
        number = np.arange(len(worker))
        forks = scenario.kind in ("shared", "reuseport")
        worker["id"], worker["tid"] = number + 1, 4001 + number
        worker["pid"] = worker["tid"] if forks else 4001
        worker["parent_pid"] = 4000 if forks else 1
        worker["start_ns"] = worker["first_seen_ns"] = START_NS - 10**9
        worker["last_wait"] = _EPOLL_WAIT
        worker["flags"] = int(WorkerFlag.SEEDED | WorkerFlag.IN_WAIT)
        for index, record in enumerate(worker):
            name = scenario.names[index % len(scenario.names)] if scenario.names else self._thread_name(index)
            raw = name.encode()[:15]
            record["comm"][: len(raw)] = np.frombuffer(raw, np.uint8)
        listener["id"] = np.arange(len(listener)) + 1
        listener["inode"], listener["netns"] = 70_000 + np.arange(len(listener)), NETNS
        listener["backlog"], listener["port"], listener["family"] = scenario.backlog, scenario.port, 4
        listener["reuseport"] = scenario.kind == "reuseport"
        listener["address"][:, :12] = _MAPPED

    def _thread_name(self, index: int) -> str:
        program = PROGRAMS[self.scenario.kind]
        if self.scenario.kind in ("handoff", "dispatch"):
            return f"{program[:9]}-main" if index == 0 else f"worker-{index}"
        return program

    def _arrive(self, number: int, now: int) -> None:
        scenario, random = self.scenario, self._random
        weights = np.ones(scenario.workers)
        weights[0] += scenario.imbalance * scenario.workers / max(scenario.workers - 1, 1)
        owner = random.choice(scenario.workers, number, p=weights / weights.sum())
        made = np.zeros(number, CONNECTION)
        made["id"] = np.arange(self._next_id, self._next_id + number)
        self._next_id += number
        established = np.sort(now - random.integers(0, scenario.interval_ns, number))
        acceptor = owner if scenario.kind in ("shared", "reuseport") else np.zeros(number, np.int64)
        reader = owner + 1 if scenario.kind == "handoff" else acceptor
        writer = owner + 1 if scenario.kind == "dispatch" else reader
        slow = np.isin(reader, -1 if scenario.straggler is None else scenario.straggler)
        queue_wait = random.lognormal(np.log(60e3), 0.7, number) * np.where(slow, 80, 1)
        if scenario.overflow:
            queue_wait += random.uniform(0.3, 1.2, number) * 2e8
        data = random.lognormal(np.log(200e3), 0.8, number)
        data_wait = random.lognormal(np.log(30e3), 0.6, number) * np.where(slow, 300, 1)
        plan = np.zeros((number, len(_MOMENTS)), np.int64)
        plan[:, 0] = established + queue_wait
        plan[:, 1] = established + data
        plan[:, 2] = np.maximum(plan[:, 0], plan[:, 1]) + data_wait
        plan[:, 3] = plan[:, 2] + random.lognormal(np.log(400e3), 0.5, number)
        plan[:, 4] = plan[:, 3] + random.exponential(scenario.lifetime_s * 1e9, number)
        made["established_ns"] = established
        made["listener"] = owner + 1 if scenario.kind == "reuseport" else 1
        made["family"] = 4
        made["local"][:, :12] = made["remote"][:, :12] = _MAPPED
        made["local"][:, 12:] = made["remote"][:, 12:] = (127, 0, 0, 1)
        made["remote"][:, 15] = 1 + random.integers(0, 5, number)
        made["local_port"], made["remote_port"] = scenario.port, random.integers(32768, 60999, number)
        made["accepted_cpu"] = made["established_cpu"] = random.integers(0, 8, number)
        # who will accept, read and write is kept in fields that are filled in when it has happened
        made["acceptor"] = acceptor + 1
        made["io"]["worker"][:, 0] = reader + 1
        made["io"]["worker"][:, 1] = np.where(writer == reader, 0, writer + 1)
        room = self._room(made["listener"])
        self._plan, self._open = (
            np.concatenate([self._plan, plan[room]]),
            np.concatenate([self._open, made[room]]),
        )
        np.add.at(self._listener["established"], made["listener"][room] - 1, 1)

    def _room(self, listener: Array) -> Array:
        """Which of the new connections their queues have room for; the others are dropped."""
        if not self.scenario.overflow or not len(listener):
            return np.ones(len(listener), bool)
        take = np.arange(len(listener)) < self.scenario.backlog * len(self._listener)
        np.add.at(self._listener["drops"], listener[~take] - 1, 1)
        self._dropped += float((~take).sum())
        return take

    def _pass_time(self, now: int) -> Array:
        """Let happen what was planned until ``now``; gives the records of those that closed."""
        scenario, records, plan, worker = self.scenario, self._open, self._plan, self._worker
        done = plan <= now
        before = np.stack([records[name] for name in _MOMENTS], axis=1) > 0
        for index, name in enumerate(_MOMENTS):
            records[name] = np.where(done[:, index], plan[:, index], 0)
        fresh = done & ~before
        acceptor = self._planned(records, "acceptor")
        reader, other = (
            records["io"]["worker"][:, 0].astype(int) - 1,
            records["io"]["worker"][:, 1].astype(int) - 1,
        )
        writer = np.where(other >= 0, other, reader)
        reads = np.where(
            done[:, 2],
            self._random.poisson(scenario.requests_per_s * scenario.interval_ns / 1e9 + 0.3, len(records)),
            0,
        )
        reads = np.maximum(reads, fresh[:, 2])
        sent = reads * 2400
        io = records["io"]
        io["reads"][:, 0] += reads.astype(np.uint64)
        io["bytes_read"][:, 0] += (reads * 180).astype(np.uint64)
        slot = (other >= 0).astype(int)
        rows = np.arange(len(records))
        io["writes"][rows, slot] += reads.astype(np.uint64)
        io["bytes_written"][rows, slot] += sent.astype(np.uint64)
        records["io"] = io
        waited = np.maximum(plan[:, 2] - np.maximum(plan[:, 1], plan[:, 0]), 0)
        records["data_wait_max_ns"] = np.where(done[:, 2], waited, 0)
        records["touched_ns"] = now
        for name, who, amount in (
            ("accepts", acceptor, fresh[:, 0]), ("reads", reader, reads), ("bytes_read", reader, reads * 180),
            ("writes", writer, reads), ("bytes_written", writer, sent),
        ):  # fmt: skip
            worker[name] += np.bincount(who, amount, len(worker)).astype(np.uint64)
        queue_wait = plan[:, 0] - records["established_ns"].astype(np.int64)
        self._count("queue_wait", acceptor, queue_wait, fresh[:, 0].astype(int))
        self._count("data_wait", reader, waited, reads)
        self._count("answer", writer, plan[:, 3] - plan[:, 2], reads)
        accepted = records["listener"][fresh[:, 0]]
        np.add.at(self._listener["accepted"], accepted - 1, 1)
        ended = done[:, -1]
        records["flags"] |= np.where(
            ended, int(ConnectionFlag.CLOSED | ConnectionFlag.PEER_CLOSED_FIRST), 0
        ).astype(np.uint16)
        records["ending_ns"] = records["closed_ns"]
        self._open, self._plan = records[~ended], plan[~ended]
        self._queue_lengths()
        closed = records[ended]
        self._forget_future(closed)
        return closed

    def _planned(self, records: Array, name: str) -> Array:
        return records[name].astype(int) - 1

    def _forget_future(self, records: Array) -> None:
        records["acceptor"][records["accepted_ns"] == 0] = 0
        unread = records["first_read_ns"] == 0
        records["io"]["worker"][unread] = 0

    def _count(self, name: str, who: Array, waited: Array, times: Array) -> None:
        bucket = np.clip(np.searchsorted(EDGES, waited, side="right") - 1, 0, BUCKETS - 1)
        flat = np.bincount(who * BUCKETS + bucket, times, len(self._worker) * BUCKETS)
        self._worker[name] += flat.reshape(-1, BUCKETS).astype(np.uint32)

    def _queue_lengths(self) -> None:
        waiting = self._open["accepted_ns"] == 0
        lengths = np.bincount(self._open["listener"][waiting] - 1, minlength=len(self._listener))
        self._listener["queue"] = np.minimum(lengths, self._listener["backlog"] + 1)
        self._listener["queue_max"] = np.maximum(self._listener["queue_max"], self._listener["queue"])

    def _work(self, now: int, gone: bool) -> None:
        scenario, worker = self.scenario, self._worker
        if gone:
            worker["flags"] |= int(WorkerFlag.ENDED)
            worker["ended_ns"] = np.where(worker["ended_ns"], worker["ended_ns"], now)
            self._listener["closed_ns"] = np.where(
                self._listener["closed_ns"], self._listener["closed_ns"], now
            )
            return
        if self._tick == 1:
            return
        worker["touched_ns"] = now
        connection_io = worker["reads"].astype(float) + worker["accepts"]
        busy = np.minimum(
            np.diff(np.stack([self._cpu, connection_io]), axis=0)[0] * 30e3, 0.9 * scenario.interval_ns
        )
        self._cpu = connection_io
        stall = np.minimum(self._random.lognormal(np.log(150e3), 0.6, len(worker)), 5e6)
        if scenario.straggler is not None:
            busy[scenario.straggler] = 0.93 * scenario.interval_ns
            stall[scenario.straggler] = self._random.uniform(0.08, 0.3) * 1e9
        worker["busy_ns"] += busy.astype(np.uint64)
        worker["wait_ns"] += (scenario.interval_ns - busy).astype(np.uint64)
        worker["waits"] += 40
        worker["wakeups"] += 38
        worker["wakeups_spurious"] += np.uint64(9 if scenario.kind == "shared" else 1)
        worker["accepts_eagain"] += np.uint64(8 if scenario.kind == "shared" else 0)
        self._count("stall", np.arange(len(worker)), stall, np.ones(len(worker), int))
        longer = stall > worker["stall_max_ns"]
        worker["stall_max_at_ns"] = np.where(
            longer, now - scenario.interval_ns // 2, worker["stall_max_at_ns"]
        )
        worker["stall_max_ns"] = np.maximum(worker["stall_max_ns"], stall.astype(np.uint64))
        if scenario.kind == "dispatch":
            self._wakes = worker["writes"][1:].astype(np.int64)


def _threads(scenario: Scenario) -> int:
    return scenario.workers + (1 if scenario.kind in ("handoff", "dispatch") else 0)
