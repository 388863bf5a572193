"""Who counts as sharer, and what each has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sockscope.analysis.work_distribution import get_work_distribution
from sockscope.model.snapshot import Worker

World = Any


def ids(workers: tuple[Worker, ...]) -> list[int]:
    return [worker.id for worker in workers]


def test_accepts_reads_bytes_and_open_connections_are_distinguished(world: World) -> None:
    it = world()
    listeners = [it.listener(owners=[200 + n], reuseport=True) for n in range(2)]
    workers = [it.worker(pid=200 + n, parent=100) for n in range(2)]
    it.serve(50, listeners[0], workers[0], reads=1, read_bytes=10, write_bytes=90)
    it.serve(50, listeners[1], workers[1], reads=3, read_bytes=10, write_bytes=10, is_open=True)
    frame = it.frame()
    figures = get_work_distribution(frame.snapshot, frame.servers[0])
    assert figures.accepts.values == (50, 50)
    assert figures.reads.values == (50, 150)
    assert figures.bytes.values == (5000, 3000)
    assert figures.open.values == (0, 50)
    assert [figure.name for figure in figures] == [
        "accepts", "open connections", "reads", "bytes", "busy time", "CPU time",
    ]  # fmt: skip


def test_idle_workers_of_the_same_kind_share(world: World) -> None:
    it = world()
    listener = it.listener(owners=[100, 200, 201, 202])
    first = it.worker(pid=200, parent=100, comm="worker-0")
    idle = [it.worker(pid=201 + n, parent=100, comm=f"worker-{n + 1}") for n in range(2)]
    it.worker(pid=100, comm="main")
    it.serve(100, listener, first)
    frame = it.frame()
    figures = get_work_distribution(frame.snapshot, frame.servers[0])
    assert ids(figures.accepts.workers) == [first, *idle]
    assert figures.accepts.values == (100, 0, 0)
    assert figures.accepts.fairness.judgement == "skewed"


def test_threads_of_another_kind_do_not_share(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200, 300])
    loop = it.worker(pid=200, comm="node")
    it.worker(pid=200, tid=201, comm="node", waits=0, last_wait=202, flags=0)  # sleeps in futex
    it.worker(pid=200, tid=202, comm="node", waits=50)  # a timer thread: its own loop, not the main thread
    it.worker(pid=300, parent=7, comm="node")  # holds the socket, is of another family
    it.serve(100, listener, loop)
    frame = it.frame()
    figures = get_work_distribution(frame.snapshot, frame.servers[0])
    assert ids(figures.accepts.workers) == [loop]
    assert figures.accepts.fairness.judgement == "single_sharer"


def test_workers_that_came_late_or_have_ended_are_not_compared(world: World) -> None:
    it = world()
    listener = it.listener(owners=[100, 200, 201, 202])
    workers = [it.worker(pid=200 + n, parent=100) for n in range(3)]
    it.serve(300, listener, workers[0])
    it.serve(20, listener, workers[1], from_ms=9000)
    it.serve(10, listener, workers[2], until_ms=500)
    it.workers[1]["first_seen_ns"] = it.start_ns + 9_000_000_000
    it.workers[2]["ended_ns"] = it.start_ns + 500_000_000
    frame = it.frame()
    assert ids(get_work_distribution(frame.snapshot, frame.servers[0]).accepts.workers) == [workers[0]]


def test_behind_a_dispatcher_those_that_answer_share(world: World) -> None:
    it = world()
    listener = it.listener(owners=[100])
    reader = it.worker(pid=100, comm="dispatch")
    workers = [it.worker(pid=100, tid=101 + n, waits=0, last_wait=202, flags=0) for n in range(2)]
    it.serve(60, listener, reader, reader=reader, writer=workers[0])
    it.serve(40, listener, reader, reader=reader, writer=workers[1])
    frame = it.frame()
    figures = get_work_distribution(frame.snapshot, frame.servers[0])
    assert ids(figures.reads.workers) == workers
    assert figures.reads.values == (60, 40)
    assert figures.accepts.fairness.judgement == "single_sharer"


def test_few_connections_are_insufficient_data(world: World) -> None:
    it = world()
    listener = it.listener(owners=[100, 200, 201, 202])
    workers = [it.worker(pid=200 + n, parent=100) for n in range(3)]
    it.serve(2, listener, workers[1])
    frame = it.frame()
    figures = get_work_distribution(frame.snapshot, frame.servers[0])
    assert figures.accepts.fairness.judgement == "insufficient_data"
    assert figures.reads.fairness.judgement == "insufficient_data"


def test_a_server_that_has_ended_was_shared_by_those_that_were_there_to_its_end(world: World) -> None:
    it = world()
    listeners = [it.listener(owners=[200 + n], reuseport=True) for n in range(3)]
    workers = [it.worker(pid=200 + n, parent=100) for n in range(3)]
    for listener, worker in zip(listeners, workers, strict=True):
        it.serve(50, listener, worker)
    frame = it.frame()
    half = frame.snapshot.started_ns + frame.snapshot.elapsed_ns // 2

    def ended(*times_ns: int) -> Any:
        gone = dict(zip(workers, times_ns, strict=True))
        changed = {
            number: replace(worker, ended_ns=gone[number])
            for number, worker in frame.snapshot.workers.items()
        }
        server = frame.servers[0]
        parts = {
            name: tuple(changed[worker.id] for worker in getattr(server, name))
            for name in ("acceptors", "readers", "writers", "workers")
        }
        return get_work_distribution(replace(frame.snapshot, workers=changed), replace(server, **parts))

    at_once = ended(half, half - 1000, half)
    assert ids(at_once.accepts.workers) == workers
    assert at_once.accepts.fairness.judgement == "even"
    one_before = ended(half // 2 + frame.snapshot.started_ns // 2, half, half)
    assert ids(one_before.accepts.workers) == workers[1:]
    assert ids(ended(half, 0, 0).accepts.workers) == workers[1:]
