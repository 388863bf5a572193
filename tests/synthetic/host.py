"""What a synthetic host says of its server: sockets, processes, CPU times, and the tracer's own health."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope.records.batch import (
    OWNER,
    QUEUE,
    THREAD_CPU,
    WAKE,
    AttachedSignal,
    Cost,
    Health,
    Meta,
    Process,
)
from tests.synthetic.scenario import NETNS, PROGRAMS, START_NS, Scenario

Array = np.ndarray[Any, np.dtype[Any]]


def meta_of(scenario: Scenario) -> Meta:
    return Meta(
        host="testbed", kernel="6.8.0", version="0", target=f"port {scenario.port}", command="",
        cpus=8, started_ns=START_NS, monotonic_offset_ns=1_700_000_000 * 10**9,
        signals=(
            AttachedSignal("established", "sock:inet_sock_set_state", ""),
            AttachedSignal("accepted", "sys_exit_accept4", ""),
            AttachedSignal("read", "sock:sock_recv_length", ""),
            AttachedSignal("data ready", "sock:sk_data_ready", ""),
            AttachedSignal("woken", "", "hand-off of requests is not seen"),
        ),
    )  # fmt: skip


def wakes(workers: Array, times: Array) -> Array:
    """The first worker wakes each of the others."""
    rows = np.zeros(len(times), WAKE)
    rows["waker"], rows["wakee"] = 1, workers["tid"][1:]
    rows["wakes"] = rows["after_read"] = times
    return rows


def owners(scenario: Scenario, workers: Array, listeners: Array) -> Array:
    pids = np.unique(workers["pid"])
    pairs = [
        (NETNS, int(listener["inode"]), int(pid), 6)
        for index, listener in enumerate(listeners)
        for order, pid in enumerate(pids)
        if scenario.kind != "reuseport" or order == index
    ]
    return np.array(pairs, OWNER)


def queues(scenario: Scenario, listeners: Array) -> Array:
    rows = np.zeros(len(listeners), QUEUE)
    for name in ("netns", "inode", "address", "port", "family", "queue", "backlog", "drops"):
        rows[name] = listeners[name]
    rows["syn_queue"] = 3 if scenario.overflow else 0
    return rows


def threads(workers: Array) -> Array:
    rows = np.zeros(len(workers), THREAD_CPU)
    for name in ("pid", "tid"):
        rows[name] = workers[name]
    rows["cpu_ns"] = 5 * 10**9 + (workers["busy_ns"] * 0.8).astype(np.uint64)
    rows["cpu_wait_ns"] = (workers["busy_ns"] * 0.02).astype(np.uint64)
    rows["last_cpu"] = np.arange(len(rows)) % 8
    return rows


def processes(scenario: Scenario, workers: Array) -> tuple[Process, ...]:
    program = PROGRAMS[scenario.kind]
    parents = (Process(4000, 1, program, f"{program}: master process"),)
    children = tuple(
        Process(int(pid), 4000, program, f"{program}: worker process")
        for pid in np.unique(workers["pid"])
        if int(pid) != 4000
    )
    return parents + children


def health(workers: Array, lost: int, now: int) -> Health:
    elapsed = max(now - START_NS, 1)
    runs = int(workers["reads"].sum() * 3)
    told = (("connections: closed faster than they were read", lost),) if lost else ()
    return Health(
        told,
        Cost(runs // 8 * 180, runs // 8, elapsed // 8, elapsed, int(elapsed * 0.012), 84_000_000, runs // 24),
    )
