"""The model: batches in, snapshots out.  No input or output, no clock: time comes with the batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.model.compaction import (
    Compactor,
    listener_group_key,
    merge_listeners,
    merge_threads,
    of_old_addresses,
    thread_group_key,
)
from sockscope.model.connections import Connections
from sockscope.model.snapshot import AcceptError, Listener, Snapshot, SocketOwner, Waiting, Wake, Worker
from sockscope.records.batch import ACCEPT_ERRORS, Batch, Health, HostCounters, Process
from sockscope.records.layout import ConnectionFlag, WorkerFlag
from sockscope.records.sanitize import sanitize

_PLAIN = tuple(
    field.name
    for field in fields(Worker)
    if field.name
    not in {
        "comm",
        "flags",
        "queue_wait",
        "data_wait",
        "answer",
        "stall",
        "cpu_ns",
        "cpu_wait_ns",
        "last_cpu",
        "threads",
    }
)
#: Listeners that were closed, told one by one; and addresses at which nobody listens any more: each is a
#: listen group, for which a frame has a verdict.
_KEPT_LISTENERS = 200
_HISTOGRAMS = ("queue_wait", "data_wait", "answer", "stall")


class State:
    """Everything known so far.

    :param keep_closed: how many closed connections a snapshot still shows, and how many threads that
        ended it tells one by one; None: all
    """

    def __init__(self, keep_closed: int | None = None) -> None:
        self._connections = Connections(keep_closed)
        self._ended = None if keep_closed is None else Compactor(keep_closed, merge_threads)
        self._closed = None if keep_closed is None else Compactor(_KEPT_LISTENERS, merge_listeners)
        self._workers: dict[int, Worker] = {}
        self._listeners: dict[int, Listener] = {}
        self._holders: dict[tuple[int, int], tuple[SocketOwner, ...]] = {}
        self._queues: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        self._queue_peaks: dict[tuple[int, int], int] = {}
        self._wakes: dict[tuple[int, int], Wake] = {}
        self._waiting: dict[tuple[int, int], Waiting] = {}
        self._accept_errors: dict[tuple[int, int, int], AcceptError] = {}
        self._processes: dict[int, Process] = {}
        self._hosts: dict[int, HostCounters] = {}
        self._cpu: dict[tuple[int, int], tuple[int, int, int]] = {}
        self._health = Health()
        self._started_ns = 0
        self._time_ns = 0

    def apply(self, batch: Batch) -> None:
        """Take in one batch; batches come in the order of their times."""
        self._started_ns = self._started_ns or batch.time_ns
        self._time_ns = batch.time_ns
        for record in batch.listeners:
            listener = self._listeners[int(record["id"])] = _listener(record)
            if self._closed and listener.closed_ns:
                self._closed.add(listener.id)
        for record in batch.workers:
            worker = self._workers[int(record["id"])] = _worker(record)
            if self._ended and worker.ended_ns:
                self._ended.add(worker.id)
        self._connections.apply(self._resolve(batch.connections), batch.io_overflow)
        for row in batch.wakes:
            wake = Wake(*(int(row[name]) for name in ("waker", "wakee", "wakes", "after_read")))
            self._wakes[wake.waker, wake.wakee] = wake
        for row in batch.waiting:
            waiting = Waiting(*(int(row[name]) for name in ("listener", "worker", "samples")))
            self._waiting[waiting.listener, waiting.worker] = waiting
        for row in batch.accept_errors:
            failed = AcceptError(*(int(row[name]) for name in ACCEPT_ERRORS.names or ()))
            self._accept_errors[failed.listener, failed.worker, failed.error] = failed
        if len(batch.owners):
            self._holders = _holders(batch.owners)
        for row in batch.queues:
            key = (int(row["netns"]), int(row["inode"]))
            self._queues[key] = tuple(int(row[name]) for name in ("queue", "backlog", "drops", "syn_queue"))  # type: ignore[assignment]
            self._queue_peaks[key] = max(self._queue_peaks.get(key, 0), int(row["queue"]))
        for row in batch.threads:
            thread = (int(row["pid"]), int(row["tid"]))
            self._cpu[thread] = (int(row["cpu_ns"]), int(row["cpu_wait_ns"]), int(row["last_cpu"]))
        for process in batch.processes:
            self._processes[process.pid] = sanitize(process)
        for host in batch.hosts:
            self._hosts[host.netns] = host
        self._health = sanitize(batch.health)
        if self._ended and self._closed and (self._ended.is_long() or self._closed.is_long()):
            self._compact(self._ended, self._closed, batch)

    def started_at(self, time_ns: int) -> None:
        """When tracing began, if that was before the first batch."""
        self._started_ns = time_ns

    def snapshot(self) -> Snapshot:
        connections = self._connections.all()
        roles, role_counts = self._connections.roles()
        return Snapshot(
            time_ns=self._time_ns,
            started_ns=self._started_ns,
            listeners=tuple(self._with_queue(listener) for listener in self._listeners.values()),
            workers={number: self._with_cpu(worker) for number, worker in self._workers.items()},
            connections=connections,
            connection_io=self._connections.all_connection_io(),
            roles=roles,
            role_counts=role_counts,
            closed_total=self._connections.closed_total,
            listener_io=self._connections.listener_io(),
            wakes=tuple(self._wakes.values()),
            waiting=tuple(self._waiting.values()),
            accept_errors=tuple(self._accept_errors.values()),
            ends=self._connections.ends(),
            processes=dict(self._processes),
            hosts=tuple(self._hosts.values()),
            health=self._health,
        )

    def _compact(self, ended: Compactor[Worker], closed: Compactor[Listener], batch: Batch) -> None:
        """What ended long ago becomes few records, and what was known of it besides goes."""
        threads, listeners = self._connections.named()
        threads |= {listener.listened_by for listener in self._listeners.values()}
        living = {worker.pid for worker in self._workers.values() if not worker.ended_ns}
        living |= {held.pid for holdings in self._holders.values() for held in holdings}
        for number, worker in self._workers.items():
            if worker.ended_ns:
                self._workers[number] = self._with_cpu(worker)
        of_threads = ended.compact(self._workers, thread_group_key(living), threads)
        of_listeners = closed.compact(self._listeners, listener_group_key, listeners)
        self._connections.rename(of_threads, of_listeners)
        old = of_old_addresses(self._listeners, _KEPT_LISTENERS)
        closed.forget(old)
        self._connections.forget(old)
        for number in old:
            del self._listeners[number]
        self._wakes = {pair: wake for pair, wake in self._wakes.items() if wake.waker not in of_threads}
        waited = self._waiting.values()
        self._waiting = {}
        for one in waited:
            pair = of_listeners.get(one.listener, one.listener), of_threads.get(one.worker, one.worker)
            if pair[0] in self._listeners:
                before = self._waiting.get(pair)
                self._waiting[pair] = Waiting(*pair, one.samples + (before.samples if before else 0))
        self._accept_errors = self._renamed_errors(of_listeners, of_threads)
        known = {(worker.pid, worker.tid) for worker in self._workers.values()}
        known |= {(int(row["pid"]), int(row["tid"])) for row in batch.threads}
        self._cpu = {thread: spent for thread, spent in self._cpu.items() if thread in known}
        pids = living | {pid for worker in self._workers.values() for pid in (worker.pid, worker.parent_pid)}
        self._processes = {pid: process for pid, process in self._processes.items() if pid in pids}
        sockets = {(listener.netns, listener.inode) for listener in self._listeners.values()}
        self._queues = {socket: queue for socket, queue in self._queues.items() if socket in sockets}
        self._queue_peaks = {socket: peak for socket, peak in self._queue_peaks.items() if socket in sockets}

    def _renamed_errors(
        self, listeners: Mapping[int, int], threads: Mapping[int, int]
    ) -> dict[tuple[int, int, int], AcceptError]:
        """What accept() returned, of threads and listeners that stand for several by now."""
        found: dict[tuple[int, int, int], AcceptError] = {}
        for one in self._accept_errors.values():
            listener, worker = listeners.get(one.listener, one.listener), threads.get(one.worker, one.worker)
            if listener and listener not in self._listeners:
                continue
            key = (listener, worker, one.error)
            before = found.get(key)
            found[key] = AcceptError(
                *key,
                one.count + (before.count if before else 0),
                min(one.first_ns, before.first_ns) if before else one.first_ns,
                max(one.last_ns, before.last_ns) if before else one.last_ns,
            )
        return found

    def _resolve(self, records: Any) -> Any:
        """Give connections that were open before tracing the listener that only they can have."""
        unknown = np.flatnonzero(records["listener"] == 0)
        if not len(unknown):
            return records
        records = records.copy()
        for index in unknown:
            local = formatting.address(records["local"][index].tobytes())
            port = int(records["local_port"][index])
            fitting = [
                item
                for item in self._listeners.values()
                if item.port == port and _covers(item.address, local)
            ]
            if len(fitting) == 1:
                records["listener"][index] = fitting[0].id
            elif fitting:
                records["flags"][index] |= int(ConnectionFlag.LISTENER_GUESSED)
        return records

    def _with_queue(self, listener: Listener) -> Listener:
        key = (listener.netns, listener.inode)
        owners = self._holders.get(key, ())
        sampled = self._queues.get(key)
        if sampled is None or listener.closed_ns:
            return replace(listener, owners=owners, queue=0 if listener.closed_ns else listener.queue)
        queue, backlog, drops, syn_queue = sampled
        return replace(
            listener,
            owners=owners,
            queue=queue,
            queue_max=max(listener.queue_max, self._queue_peaks[key]),
            backlog=backlog or listener.backlog,
            drops=max(drops, listener.drops),
            syn_queue=syn_queue,
        )

    def _with_cpu(self, worker: Worker) -> Worker:
        spent = self._cpu.get((worker.pid, worker.tid))
        if spent is None:
            return worker
        return replace(
            worker,
            cpu_ns=max(spent[0] - worker.cpu_before_ns, 0),
            cpu_wait_ns=max(spent[1] - worker.cpu_wait_before_ns, 0),
            last_cpu=spent[2],
        )


def _covers(listening: str, local: str) -> bool:
    return listening in ("0.0.0.0", "::", local)


def _listener(record: Any) -> Listener:
    return Listener(
        id=int(record["id"]),
        inode=int(record["inode"]),
        netns=int(record["netns"]),
        address=formatting.address(record["address"].tobytes()),
        port=int(record["port"]),
        family=int(record["family"]),
        reuseport=bool(record["reuseport"]),
        v6only=bool(record["v6only"]),
        backlog=int(record["backlog"]),
        queue=int(record["queue"]),
        queue_max=int(record["queue_max"]),
        drops=int(record["drops"]),
        syn_queue=0,
        established=int(record["established"]),
        accepted=int(record["accepted"]),
        listened_ns=int(record["listened_ns"]),
        listened_by=int(record["listened_by"]),
        closed_ns=int(record["closed_ns"]),
        samples=int(record["samples"]),
        samples_several=int(record["samples_several"]),
        samples_changed=int(record["samples_changed"]),
        waiters=int(record["waiters"]),
        exclusive=int(record["exclusive"]),
        mptcp=bool(record["mptcp"]),
        defer_accept=bool(record["defer_accept"]),
    )


def _worker(record: Any) -> Worker:
    values: dict[str, Any] = {name: int(record[name]) for name in _PLAIN}
    values.update((name, record[name].copy()) for name in _HISTOGRAMS)
    values["comm"] = formatting.text(record["comm"].tobytes())
    values["flags"] = WorkerFlag(int(record["flags"]))
    return Worker(**values)


def _holders(rows: Any) -> dict[tuple[int, int], tuple[SocketOwner, ...]]:
    held: dict[tuple[int, int], dict[int, list[int]]] = {}
    for row in rows:
        processes = held.setdefault((int(row["netns"]), int(row["inode"])), {})
        processes.setdefault(int(row["pid"]), []).append(int(row["fd"]))
    return {
        key: tuple(SocketOwner(pid, tuple(sorted(numbers))) for pid, numbers in sorted(processes.items()))
        for key, processes in held.items()
    }
