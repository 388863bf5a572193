"""How the work is shared, variant by variant."""

import os
import socket
import statistics
import time
from collections import Counter, defaultdict
from http.client import HTTPConnection
from pathlib import Path

import pytest

from servers.load import Plan, run

SLOW_US = 40_000


def worker(who):
    pid, tid = who.split("/")
    return Path(f"/proc/{pid}/task/{tid}/comm").read_text().strip()


def cpu_s(pid):
    """Seconds of CPU that each thread of the process has used, by its name."""
    used = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        used[worker(f"{pid}/{task.name}")] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("handoff", {}),
        ("handoff", {"processes": True}),
        ("dispatch", {}),
        ("shared", {"wait": "accept"}),
        ("shared", {"wait": "epoll", "threads": True}),
        ("reuseport", {}),
        ("reuseport", {"threads": True}),
    ],
)
def test_a_straggler_slows_what_it_serves_and_nothing_else(start, ask, model, options):
    server = start(model, workers=2, slow=f"1:{SLOW_US}", **options)
    times = defaultdict(list)
    deadline = time.monotonic() + 20
    while len(times) < 2 or min(map(len, times.values())) < 5:
        assert time.monotonic() < deadline, times
        connection = HTTPConnection(server.host, server.port, timeout=10)
        begin = time.monotonic()
        reply = ask(connection)
        times[worker(reply.getheader("X-Writer"))].append((time.monotonic() - begin) * 1e6)
        connection.close()
    assert min(times["ss-worker-1"]) >= SLOW_US
    assert statistics.median(times["ss-worker-0"]) < SLOW_US / 2


def test_work_is_burnt_by_the_worker_that_answers(start, ask):
    server = start("dispatch", workers=2, work=20_000, reply="dispatcher")
    connection = HTTPConnection(server.host, server.port, timeout=10)
    before = cpu_s(server.pid)
    for _ in range(5):
        ask(connection)
    connection.close()
    used = Counter(cpu_s(server.pid))
    used.subtract(before)
    assert 0.08 <= used["ss-worker-0"] + used["ss-worker-1"] <= 0.2, used
    assert used["ss-dispatch"] <= 0.04


def test_round_robin_gives_each_reader_the_same_number_of_connections(start):
    for processes in (False, True):
        server = start("handoff", workers=3, processes=processes)
        result = run(Plan(server.host, server.port, connections=300))
        assert sorted(result.readers.values()) == [100, 100, 100]
        assert len(result.acceptors) == 1


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_least_sends_newcomers_to_the_reader_that_has_the_fewest_open(start, ask, wait_until, processes):
    server = start("handoff", workers=2, pick="least", processes=processes)

    def opened():
        connection = HTTPConnection(server.host, server.port, timeout=10)
        return connection, ask(connection).getheader("X-Reader")

    held = [opened() for _ in range(10)]
    [one, other] = sorted({reader for _, reader in held})
    assert [reader for _, reader in held].count(one) == 5
    for connection, reader in held:
        if reader == one:
            connection.close()
    newcomers = []

    def all_five_go_to_the_emptied_one():
        newcomers.append(opened())
        return [reader for _, reader in newcomers].count(one) >= 5

    # The reader sees the closes in its own time, so the first newcomers may still go to either.
    wait_until(all_five_go_to_the_emptied_one, "newcomers go to the reader with the fewest")
    assert [reader for _, reader in newcomers].count(other) <= 2
    for connection, _ in held + newcomers:
        connection.close()


@pytest.mark.parametrize("threads", [False, True], ids=["processes", "threads"])
def test_steering_by_cpu_takes_the_listener_of_the_cpu_that_the_client_runs_on(start, ask, threads):
    cpus = sorted(os.sched_getaffinity(0))
    server = start("reuseport", workers=2, steer="cpu", threads=threads)
    listeners = defaultdict(set)
    try:
        for _ in range(3):
            for cpu in cpus:
                os.sched_setaffinity(0, {cpu})
                for _ in range(5):
                    connection = HTTPConnection(server.host, server.port, timeout=10)
                    reply = ask(connection)
                    connection.close()
                    listeners[cpu % 2].add(reply.getheader("X-Listener"))
                    assert worker(reply.getheader("X-Writer")) == f"ss-worker-{cpu % 2}"
    finally:
        os.sched_setaffinity(0, cpus)
    assert all(len(found) == 1 for found in listeners.values())
    assert len(set.union(*listeners.values())) == len(listeners)


@pytest.mark.parametrize("options", [{}, {"threads": True}], ids=["processes", "threads"])
def test_hashing_reaches_every_listener(start, options):
    server = start("reuseport", workers=4, **options)
    result = run(Plan(server.host, server.port, connections=400))
    assert len(result.listeners) == len(result.acceptors) == 4
    assert min(result.listeners.values()) > 50


@pytest.mark.parametrize("wait", ["accept", "epoll", "exclusive", "lock"])
@pytest.mark.parametrize("threads", [False, True], ids=["processes", "threads"])
def test_workers_that_share_a_socket_all_take_part_when_all_are_needed(start, wait, threads):
    server = start("shared", workers=3, wait=wait, threads=threads, work=1000)
    result = run(Plan(server.host, server.port, connections=400, concurrency=48))
    assert result.failed == 0
    assert len(result.listeners) == 1
    assert len(result.acceptors) == 3
    assert result.acceptors == result.writers


def test_a_worker_that_blocks_in_accept_serves_one_connection_at_a_time(start, ask, wait_until):
    server = start("shared", workers=2, wait="accept")
    first, second, third = (HTTPConnection(server.host, server.port, timeout=10) for _ in range(3))
    assert ask(first).getheader("X-Acceptor") != ask(second).getheader("X-Acceptor")
    third.connect()
    third.sock.setblocking(False)
    third.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    for _ in range(20):
        ask(first)
        ask(second)
    with pytest.raises(BlockingIOError):
        third.sock.recv(1, socket.MSG_PEEK)
    freed = ask(first).getheader("X-Acceptor")
    first.close()
    third.sock.settimeout(10)
    assert f"X-Acceptor: {freed}".encode() in third.sock.recv(4096)
    second.close()
    third.close()


def test_an_idle_client_does_not_keep_others_out_for_ever(start, ask):
    server = start("shared", workers=1, wait="accept")
    idle = HTTPConnection(server.host, server.port, timeout=10)
    ask(idle)
    waiting = HTTPConnection(server.host, server.port, timeout=10)
    ask(waiting)
    assert idle.sock.recv(1) == b""
    idle.close()
    waiting.close()
